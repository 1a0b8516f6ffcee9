"""A transform for pipelines of MONAI."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

import cascade
from cascade.bundle.transform import CascadeSegmentd

SCAN = "sub/a.nii.gz"


@pytest.fixture(scope="module")
def result(scans: Path, oracle_weights: Path) -> cascade.Segmentation:
    return cascade.Segmenter.from_pretrained("cpu", oracle_weights).segment(scans / SCAN, scheme="verse")


@pytest.mark.parametrize("steps", [[], [LoadImaged("image")], [LoadImaged("image"), EnsureChannelFirstd("image")]], ids=len)
def test_labels_lie_beside_the_image_on_its_grid(
    steps: list[object], scans: Path, oracle_weights: Path, result: cascade.Segmentation
) -> None:
    segment = CascadeSegmentd("image", result_postfix="all", scheme="verse", device="cpu", weights=oracle_weights)
    item = Compose([*steps, pickle.loads(pickle.dumps(segment))])({"image": scans / SCAN, "other": 1})
    labels = item["image_levels"]
    assert set(item) >= {"image", "image_levels", "image_all", "other"}
    assert np.array_equal(labels.numpy().reshape(result.labels.data.shape), result.labels.data)
    assert labels.ndim == getattr(item["image"], "ndim", 3)
    assert np.allclose(labels.affine, result.labels.grid.vox2world)
    assert item["image_all"].levels == result.levels


def test_a_key_may_be_missing_if_it_is_said(oracle_weights: Path) -> None:
    assert CascadeSegmentd("image", allow_missing_keys=True, device="cpu", weights=oracle_weights)({"a": 1}) == {"a": 1}


def test_it_is_among_the_public_names() -> None:
    assert cascade.CascadeSegmentd is CascadeSegmentd
