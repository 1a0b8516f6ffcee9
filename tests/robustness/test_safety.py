"""What the package never does: reach the network, run what it reads, repeat who the patient is."""

from __future__ import annotations

import ast
import gzip
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.valuerep import PersonName

import cascade
from cascade.cli import evaluate, prepare, segment, train
from cascade.io.cases import list_cases
from cascade.io.formats import read_scan_file
from cascade.io.nifti import write_volume
from cascade.volume import LabelMap, Volume
from tests.cli.test_train import write_recipe
from tests.datasets import miniatures
from tests.dicom_files import slices, write_series
from tests.synthetic import coded_scan

ROOT = Path(cascade.__file__).parent
_watched: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook stays for good, so there is one, which is asked or not."""
    if _watched is not None and event.partition(".")[0] in ("socket", "urllib", "http", "ftplib", "smtplib"):
        _watched.append(event)
        raise PermissionError(f"{event}: no network here")


sys.addaudithook(_watch)


@pytest.fixture
def no_network() -> Iterator[list[str]]:
    """Sockets cannot be made; attempts are listed."""
    global _watched
    _watched = []
    yield _watched
    _watched = None


def test_the_watch_sees_a_socket(no_network: list[str]) -> None:
    import socket

    with pytest.raises(PermissionError):
        socket.create_connection(("192.0.2.1", 80), timeout=0.1)
    assert no_network


def test_no_command_reaches_for_the_network(tmp_path: Path, oracle_weights: Path, no_network: list[str]) -> None:
    write_volume(coded_scan()[0], tmp_path / "t2.nii.gz")
    report = ["--json", tmp_path / "run.json", "--report", tmp_path / "qc.html", "--picture", tmp_path / "qc.png"]
    miniatures.chu(tmp_path / "raw", {"02": 0})
    recipe = write_recipe(tmp_path / "recipe.json")
    runs: list[tuple[Callable[[list[str]], int], list[object]]] = [
        (segment.main, [tmp_path / "t2.nii.gz", "-o", tmp_path / "l.nii.gz", "--weights", oracle_weights, "--device", "cpu", *report]),
        (prepare.main, ["chu", tmp_path / "raw", "-o", tmp_path / "cases"]),
        (train.main, ["stage2", "--data", tmp_path / "cases", "--split", "train", "--recipe", recipe, "--out", tmp_path / "run"]),
        (evaluate.main, [tmp_path / "cases" / "02_labels.nii.gz", tmp_path / "cases" / "02_labels.nii.gz", "-o", tmp_path / "figures"]),
    ]
    for command, arguments in runs:
        assert command([str(word) for word in arguments]) == 0, command.__module__
    assert not no_network


# ---------------------------------------------------------------------------------------------- code from data


def test_no_line_of_the_package_runs_what_it_reads() -> None:
    forbidden = {
        "eval",
        "exec",
        "compile",
        "__import__",
        "os.system",
        "os.popen",
        "yaml.load",
        "pickle.load",
        "pickle.loads",
        "marshal.loads",
    }
    modules = {"subprocess", "pickle", "marshal", "shelve", "dill", "joblib", "yaml", "ctypes", "code", "runpy"}
    nodes = [(path, node) for path in sorted(ROOT.rglob("*.py")) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    calls = [(path, node) for path, node in nodes if isinstance(node, ast.Call)]
    assert len(calls) > 1000
    assert not [(path, node.lineno) for path, node in calls if ast.unparse(node.func) in forbidden]
    pickled = [k for _, node in calls for k in node.keywords if k.arg == "allow_pickle" and ast.unparse(k.value) != "False"]
    assert not pickled
    imported = [(path, alias.name) for path, node in nodes if isinstance(node, ast.Import) for alias in node.names]
    assert not [(path, name) for path, name in imported if name.split(".")[0] in modules]
    taken = [(node.module or "", alias.name) for _, node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert {name for module, name in taken if module.split(".")[0] in modules} <= {"UnpicklingError"}


# ---------------------------------------------------------------------------------------------- patients


#: As no program would write them by chance.
WHO = ("Zyxwvut", "Quetzalfeder", "PID8675309X", "19310417", "ACC5551212Y", "St Nimbus Hospital", "Dr Ocelot")


def planted(volume: Volume) -> list[Any]:
    """A series that says who the patient is wherever DICOM has a place for it, and in free text."""
    text = " ".join(WHO[:3])
    return slices(
        volume,
        PatientName=PersonName(f"{WHO[0]}^{WHO[1]}"),
        PatientID=WHO[2],
        PatientBirthDate=WHO[3],
        AccessionNumber=WHO[4],
        InstitutionName=WHO[5],
        ReferringPhysicianName=WHO[6],
        StudyDescription=text,
        SeriesDescription=f"T2 {text}",
        ProtocolName=text,
        ImageComments=text,
        PatientComments=text,
    )


def written(folder: Path) -> str:
    """All that was written, as text, unpacked where it is packed."""
    found = []
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        found.append(f"{path.relative_to(folder)}\n{content.decode('latin-1')}\n{content[::1].decode('utf-16-le', 'ignore')}")
    return "\n".join(found)


def run_on(scan: Path, out: Path, weights: Path, suffix: str) -> int:
    kinds = {"json": ".json", "picture": ".png", "table": ".tsv", "report": ".html"}
    beside = [word for kind, end in kinds.items() for word in (f"--{kind}", str(out / f"x{end}"))]
    return segment.main([str(scan), "-o", str(out / f"l{suffix}"), "--weights", str(weights), "--device", "cpu", *beside])


@pytest.fixture
def silent(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[Path], None]:
    """Checks that neither the files of a folder, nor the log, nor the terminal say who the patient is."""
    caplog.set_level(logging.DEBUG)

    def check(folder: Path) -> None:
        shown = capfd.readouterr()
        for place, text in (("files", written(folder)), ("log", caplog.text), ("stdout", shown.out), ("stderr", shown.err)):
            for word in (*WHO, *(word.encode().hex() for word in WHO)):
                assert word.lower() not in text.lower(), f"{word} in {place}"

    return check


def test_who_the_patient_is_stays_in_the_dicom_files(tmp_path: Path, oracle_weights: Path, silent: Callable[[Path], None]) -> None:
    scan = write_series(planted(coded_scan()[0].reoriented("PSR")), tmp_path / "in" / "series")
    assert run_on(scan, tmp_path / "out", oracle_weights, ".nii.gz") == 0
    assert len(list((tmp_path / "out").iterdir())) == 5
    silent(tmp_path / "out")


def test_errors_about_dicom_files_do_not_say_who_the_patient_is(tmp_path: Path, silent: Callable[[Path], None]) -> None:
    from cascade.errors import CascadeError

    volume = coded_scan()[0].reoriented("PSR").data[:20, :20, :8]
    small = Volume(np.ascontiguousarray(volume), coded_scan()[0].reoriented("PSR").grid.cropped((slice(0, 20), slice(0, 20), slice(0, 8))))
    for number, attribute in enumerate(("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "PixelData", "Rows")):
        datasets = planted(small)
        delattr(datasets[3], attribute)
        folder = write_series(datasets, tmp_path / "in" / str(number))
        with pytest.raises(CascadeError) as caught:
            read_scan_file(folder)
        assert not any(word in str(caught.value) for word in WHO)
    other = planted(small)
    other[2].PatientID = "other"
    folder = write_series(other, tmp_path / "in" / "two")
    with pytest.raises(CascadeError, match="one patient"):
        read_scan_file(folder)
    silent(tmp_path / "nothing")


def test_what_a_nifti_header_says_of_the_patient_is_not_repeated(
    tmp_path: Path, oracle_weights: Path, silent: Callable[[Path], None]
) -> None:
    volume = coded_scan()[0]
    image = nib.Nifti1Image(volume.data, volume.grid.vox2world)
    image.header["descrip"], image.header["db_name"], image.header["aux_file"] = WHO[5], WHO[2], WHO[0]
    image.header["intent_name"] = WHO[4]
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, " ".join(WHO).encode()))
    (tmp_path / "in").mkdir()
    nib.save(image, tmp_path / "in" / "t2.nii.gz")
    assert run_on(tmp_path / "in" / "t2.nii.gz", tmp_path / "out", oracle_weights, ".nii.gz") == 0
    silent(tmp_path / "out")


def test_what_an_nrrd_header_says_of_the_patient_is_not_repeated(tmp_path: Path, silent: Callable[[Path], None]) -> None:
    from cascade.io.formats import write_labels_file
    from tests import blocks

    head = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 5 7 11\nspacings: 1 2 3\nencoding: raw\n"
    (tmp_path / "plain.nrrd").write_bytes(f"{head}# {WHO[0]}\ncontent: {WHO[1]}\nPatient:={WHO[2]}\n\n".encode() + bytes(range(5 * 7)) * 11)
    scan, source = read_scan_file(tmp_path / "plain.nrrd")
    labels = LabelMap(np.ones(scan.grid.shape, np.uint8), scan.grid, blocks.labels().scheme)
    for suffix in (".nii.gz", ".seg.nrrd", ".nrrd", ".mha"):
        write_labels_file(labels, tmp_path / "out" / f"l{suffix}", source)
    silent(tmp_path / "out")


def test_prepared_cases_do_not_say_who_the_patient_is(tmp_path: Path, silent: Callable[[Path], None]) -> None:
    miniatures.pair(tmp_path / "raw", "one")
    image = nib.load(tmp_path / "raw" / "one_image.nii.gz")
    image.header["descrip"], image.header["db_name"] = WHO[5], WHO[2]
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header), tmp_path / "raw" / "one_image.nii.gz")
    assert prepare.main(["folder", str(tmp_path / "raw"), "-o", str(tmp_path / "out")]) == 0
    assert list_cases(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "problems.json").read_text(encoding="utf-8")) is not None
    silent(tmp_path / "out")
