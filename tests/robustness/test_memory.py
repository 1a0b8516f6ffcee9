"""Many scans in one process."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest

from cascade.io.nifti import write_volume
from cascade.pipeline import Segmenter
from tests.synthetic import coded_scan

GROWTH_MIB = 20.0


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hundred_scans_in_one_process_take_no_more_memory_than_ten(oracle_weights: Path, tmp_path: Path) -> None:
    write_volume(coded_scan()[0], tmp_path / "t2.nii.gz")
    segmenter = Segmenter.from_pretrained("cpu", oracle_weights)
    sizes = []
    for _ in range(int(os.environ.get("CASCADE_CALLS", "100"))):
        segmenter.segment(tmp_path / "t2.nii.gz").save(tmp_path / "l.nii.gz")
        gc.collect()
        sizes.append(_resident_mib())
    early, late = max(sizes[: len(sizes) // 10]), max(sizes[-len(sizes) // 10 :])
    print(f"resident after a tenth of {len(sizes)} calls {early:.1f} MiB, at the end {late:.1f} MiB")  # noqa: T201
    assert late - early < GROWTH_MIB


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
