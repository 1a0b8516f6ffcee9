"""A real PACS: store a series, fetch it, store the segmentation back, find it in the same study."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from cascade.cli import segment
from cascade.io.dicom import DicomSource
from cascade.io.dicom_sr import SrRow, write_dicom_sr
from cascade.io.formats import read_scan_file, write_labels_file
from cascade.measure import measure, numbers
from cascade.phantom import PhantomSpec, render
from tests import blocks
from tests.dicom_files import slices, write_series
from tests.full.test_validators import program, run
from tests.study import made

pytestmark = [pytest.mark.full, pytest.mark.outside]


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


class Pacs:
    """An Orthanc on the loopback interface."""

    def __init__(self, dicom_port: int, http_port: int) -> None:
        self.dicom_port, self.http_port = dicom_port, http_port

    def get(self, what: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/{what}", timeout=60) as answer:
            content: bytes = answer.read()
        return content

    def ask(self, what: str) -> Any:
        return json.loads(self.get(what))

    def store(self, files: list[Path]) -> None:
        """C-STORE; every file must be accepted."""
        pynetdicom = pytest.importorskip("pynetdicom", reason="needs pynetdicom (PyPI)")
        entity = pynetdicom.AE(ae_title="CASCADE")
        datasets = [pydicom.dcmread(file) for file in files]
        for kind in {dataset.SOPClassUID for dataset in datasets}:
            entity.add_requested_context(kind, pydicom.uid.ExplicitVRLittleEndian)
        link = entity.associate("127.0.0.1", self.dicom_port, ae_title="ORTHANC")
        assert link.is_established
        try:
            assert {link.send_c_store(dataset).Status for dataset in datasets} == {0x0000}
        finally:
            link.release()


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Pacs]:
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if not program:
        pytest.skip("needs Orthanc (Debian: orthanc)")
    for last in (False, False, True):  # a port that was free may be taken before Orthanc opens it
        server = Pacs(_free_port(), _free_port())
        (tmp_path / "orthanc.json").write_text(json.dumps(settings(server, str(tmp_path / "orthanc"))))
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen([program, str(tmp_path / "orthanc.json")], stdout=log, stderr=log)
        if _answers(server, process):
            break
        process.kill()
        assert not last, f"Orthanc does not answer: {(tmp_path / 'log').read_text(encoding='utf-8')[-2000:]}"
    yield server
    process.terminate()
    process.wait(timeout=60)


def settings(server: Pacs, store: str) -> dict[str, Any]:
    ports = {"DicomPort": server.dicom_port, "HttpPort": server.http_port}
    return ports | {
        "StorageDirectory": store,
        "IndexDirectory": store,
        "Plugins": [],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowGet": True,
        "UnknownSopClassAccepted": True,
    }


def _answers(server: Pacs, process: subprocess.Popen[bytes]) -> bool:
    """Whether it does, within 150 s."""
    for _ in range(300):
        if process.poll() is not None:
            return False
        try:
            server.ask("system")
        except OSError:
            time.sleep(0.5)
        else:
            return True
    return False


@pytest.mark.parametrize("seg_type", ["binary", "labelmap"])
def test_a_seg_comes_back_to_the_study_its_series_was_fetched_from(seg_type: str, pacs: Pacs, tmp_path: Path) -> None:
    folder = write_series(slices(blocks.scan("PSR")), tmp_path / "series")
    pacs.store(sorted(folder.iterdir()))
    (series,) = pacs.ask("series")
    fetched = tmp_path / "fetched.zip"
    fetched.write_bytes(pacs.get(f"series/{series}/archive"))
    scan, source = read_scan_file(fetched)
    assert scan.reoriented("PSR").grid.matches(blocks.scan("PSR").grid, tol_mm=1e-3)

    write_labels_file(blocks.labels("PSR"), tmp_path / "levels.dcm", source, seg_type)
    pacs.store([tmp_path / "levels.dcm"])
    assert modalities_of_the_only_study(pacs) == ["MR", "SEG"]


def test_a_report_of_measurements_is_listed_under_the_study_it_tells_of(pacs: Pacs, tmp_path: Path) -> None:
    """As ``cascade-segment -o seg.dcm --sr sr.dcm`` writes both."""
    scan, labels = (part.reoriented("PSR") for part in render(PhantomSpec(shape=(13, 83, 101), spacing_mm=(4.0, 2.9, 2.9))))
    folder = write_series(slices(scan), tmp_path / "series")
    _, source = read_scan_file(folder)
    write_labels_file(labels, tmp_path / "seg.dcm", source)
    assert isinstance(source, DicomSource)
    rows = [SrRow(row.structure, row.kind, numbers(row), row.signal_reference) for row in measure(labels, scan)]
    write_dicom_sr(rows, tmp_path / "sr.dcm", tmp_path / "seg.dcm", source)
    pacs.store([*sorted(folder.iterdir()), tmp_path / "seg.dcm", tmp_path / "sr.dcm"])
    assert modalities_of_the_only_study(pacs) == ["MR", "SEG", "SR"]


def test_the_recipe_of_the_documentation_works(pacs: Pacs, tmp_path: Path) -> None:
    """As in docs/formats.md: fetch by C-GET, segment with the networks, store by C-STORE."""
    files = slices(render(PhantomSpec())[0].reoriented("PSR"))
    pacs.store(sorted(write_series(files, tmp_path / "series").iterdir()))
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    which = [f"{keyword}={files[0][keyword].value}" for keyword in ("StudyInstanceUID", "SeriesInstanceUID")]
    query = [word for text in ("QueryRetrieveLevel=SERIES", *which) for word in ("-k", text)]
    _pynetdicom("getscu", "127.0.0.1", str(pacs.dicom_port), "-aec", "ORTHANC", "-S", *query, "-od", str(fetched))
    assert len(list(fetched.iterdir())) == len(files)
    assert segment.main([str(fetched), "-o", str(tmp_path / "levels.dcm")]) == 0
    _pynetdicom("storescu", "127.0.0.1", str(pacs.dicom_port), str(tmp_path / "levels.dcm"), "-aec", "ORTHANC", "-cx")
    assert modalities_of_the_only_study(pacs) == ["MR", "SEG"]


def _pynetdicom(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pynetdicom", *words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def modalities_of_the_only_study(pacs: Pacs) -> list[str]:
    (study,) = pacs.ask("studies")
    return sorted(pacs.ask(f"series/{each}")["MainDicomTags"]["Modality"] for each in pacs.ask(f"studies/{study}")["Series"])


def test_a_study_comes_back_with_a_valid_seg_for_each_series_and_each_stack(pacs: Pacs, tmp_path: Path) -> None:
    """Sagittal T2 and T1 and multi-angle axial blocks: stored, fetched as one archive, segmented, stored back."""
    t2, t1 = PhantomSpec(), PhantomSpec(contrast="T1", seed=1)
    views = {2: [made.sagittal(t2)], 3: [made.sagittal(t1, turned_deg=4.0)], 4: list(made.axial_blocks(t2))}
    for number, each in views.items():
        write_series(made.dicom(each, number, echo_ms=12.0 if number == 3 else 100.0), tmp_path / "sent")
    pacs.store(sorted((tmp_path / "sent").iterdir()))
    (study,) = pacs.ask("studies")
    fetched = tmp_path / "fetched.zip"
    fetched.write_bytes(pacs.get(f"studies/{study}/archive"))

    out = tmp_path / "out"
    assert segment.main([str(fetched), "--study", "-o", str(out), "--format", "dcm", "--scheme", "verse"]) == 0
    written = sorted(out.glob("*/*.dcm"))
    assert [path.relative_to(out).as_posix() for path in written] == [
        *("series-2/levels.dcm", "series-3/levels.dcm"),
        *(f"series-4/stack-{number}.dcm" for number in range(1, 7)),
    ]
    pacs.store(written)
    assert modalities_of_the_only_study(pacs) == ["MR"] * 3 + ["SEG"] * 8
    for path in written:
        said = run(program("dciodvfy", "Debian: dicom3tools"), path)
        assert said.startswith("Segmentation")
        assert "Error" not in said, said
        reading = ("--inputDICOM", path, "--outputDirectory", tmp_path, "--mergeSegments", "-t", "nrrd", "-p", path.stem)
        run(program("segimage2itkimage", "PyPI: dcmqi"), *reading)
        assert list(tmp_path.glob(f"{path.stem}-*.nrrd"))
