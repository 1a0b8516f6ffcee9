"""However a scan is stored, the packaged networks give the same labels, at the size of clinical scans."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cascade import Segmentation, Segmenter
from cascade.io.nifti import write_volume
from cascade.networks.checkpoint import packaged_weights
from cascade.phantom import PhantomSpec, render
from cascade.volume import Volume

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet"),
]


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.from_pretrained("cpu")


@cache
def phantom() -> Volume:
    scan, _ = render(PhantomSpec(shape=(17, 300, 360), spacing_mm=(4.0, 0.8, 0.8)))
    assert scan.data.size > 1_000_000
    return scan


@pytest.fixture(scope="module")
def usual(segmenter: Segmenter) -> Segmentation:
    return segmenter.segment(phantom(), scheme="verse")


@pytest.mark.parametrize("axcodes", ["LPS", "PIR", "SAR", "IRP"])
def test_flips_and_permutations_change_no_voxel(axcodes: str, usual: Segmentation, segmenter: Segmenter, tmp_path: Path) -> None:
    write_volume(phantom().reoriented(axcodes), tmp_path / "turned.nii.gz")
    turned = segmenter.segment(tmp_path / "turned.nii.gz", scheme="verse")
    assert turned.labels.grid.axcodes == axcodes
    back = turned.labels.reoriented(usual.labels.grid.axcodes)
    assert {"L1", "L5", "L4-L5", "sacrum"} <= set(usual.labels.structures)
    assert np.array_equal(back.data, usual.labels.data)
    assert [level.confidence for level in turned.levels] == [level.confidence for level in usual.levels]
