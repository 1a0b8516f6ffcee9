"""A made study and the networks' answers to it, which all tests of the room share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cascade.phantom import PhantomSpec
from cascade.study.result import Study
from cascade.study.segment import segment_study
from tests.dicom_files import write_series
from tests.study import made
from tests.study.made import Remembering, View

T2, T1, STIR = PhantomSpec(), PhantomSpec(contrast="T1", seed=1), PhantomSpec(contrast="STIR", seed=3)


@pytest.fixture(scope="session")
def views() -> dict[str, View]:
    """The sagittal views: a T2 that ends above L5, a T1 and a narrow STIR that do not, the middle slices of a localiser."""
    return {
        "t2": made.sagittal(T2, centre_mm=(0.0, 0.0, 20.0), turned_deg=3.0).without_rows(below_mm=-35.0),
        "t1": made.sagittal(T1, centre_mm=(0.0, -5.0, -15.0), turned_deg=-2.0),
        "stir": made.sagittal(STIR, (9, 104, 144), centre_mm=(2.0, 0.0, -10.0), turned_deg=1.0),
        "localiser": made.sagittal(dataclasses.replace(T2, seed=2), (5, 84, 116), (10.0, 2.0, 2.0)),
    }


@pytest.fixture(scope="session")
def axial() -> list[View]:
    """Blocks of axial slices, 4 mm apart, of which one slice each is half a degree off."""
    return list(made.axial_blocks(T2))


@pytest.fixture(scope="session")
def study_folder(views: dict[str, View], axial: list[View], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study as DICOM, all series in one folder."""
    folder = tmp_path_factory.mktemp("study")
    planes = [views["localiser"], *made.localiser_planes(T2)]
    write_series(made.dicom(planes, 1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), folder)
    write_series(made.dicom([views["t2"]], 2), folder)
    write_series(made.dicom([views["t1"]], 3, echo_ms=12.0), folder)
    write_series(made.dicom(axial, 4), folder)
    write_series(made.dicom([views["stir"]], 5, echo_ms=40.0, InversionTime="150", ScanningSequence=["SE", "IR"]), folder)
    return folder


@pytest.fixture(scope="session")
def segmenter() -> Iterator[Remembering]:
    """The packaged networks, with a memory."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Remembering.fresh()
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def study(study_folder: Path, segmenter: Remembering) -> Study:
    """Its result."""
    return segment_study(study_folder, scheme="verse", segmenter=segmenter)
