"""Disks that are full, processes that are stopped, and two that write one file: an output is whole, or it is not there."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cascade.errors import OutputError
from cascade.io.formats import read_labels_file, read_scan_file, write_labels_file
from cascade.io.nifti import write_volume
from cascade.report import save_report
from cascade.training.loop import Run, RunOptions, train
from tests import blocks
from tests.dicom_files import slices, write_series
from tests.phantom_result import phantom_result
from tests.robustness.conftest import files_no_longer_than
from tests.synthetic import coded_scan

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".mha", ".dcm")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_on_a_full_disk_are_an_output_error_wherever_it_fills_up(suffix: str, tmp_path: Path) -> None:
    labels = blocks.labels("PSR")
    source = read_scan_file(write_series(slices(blocks.scan("PSR")), tmp_path / "series"))[1]
    path = tmp_path / "out" / f"l{suffix}"
    write_labels_file(labels, path, source)
    size = path.stat().st_size
    path.unlink()
    for room in (0, 10, size // 2, size - 1):
        with files_no_longer_than(room), pytest.raises(OutputError, match=r"^[^\n]+: cannot write here \([^\n]+$"):
            write_labels_file(labels, path, source)
        assert not list(path.parent.iterdir())


def test_everything_beside_the_labels_on_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    result = phantom_result()
    writers: dict[str, Callable[[Path], None]] = {
        "run.json": result.save_json,
        "table.tsv": result.save_table,
        "picture.png": result.save_picture,
        "report.html": lambda path: save_report(result, path, "scan"),
    }
    for name, write in writers.items():
        with files_no_longer_than(100), pytest.raises(OutputError, match="cannot write here"):
            write(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_training_on_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    from tests.training.test_loop import RECIPE

    run = Run.start(RECIPE, "cpu")
    with files_no_longer_than(1000), pytest.raises(OutputError, match="cannot write here"):
        run.save(tmp_path / "state.pt")
    assert not list(tmp_path.iterdir())
    with files_no_longer_than(5), pytest.raises(OutputError, match="cannot write here"):
        train([], RECIPE, tmp_path, RunOptions(max_seconds=0))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(place)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.full
def test_on_a_disk_that_is_really_full_old_results_stay(small_disk: Path, tmp_path: Path) -> None:
    labels = coded_scan()[1]
    noisy = type(labels)(np.random.default_rng(0).permuted(labels.data, axis=1), labels.grid, labels.scheme)
    for suffix in SUFFIXES[:-1]:
        (small_disk / f"l{suffix}").write_bytes(b"old")
        # ITK sometimes notices, but does not say why.
        with pytest.raises(OutputError, match=r"cannot write here \(No space left on device\)|expected room here"):
            write_labels_file(noisy, small_disk / f"l{suffix}")
        assert [path.read_bytes() for path in small_disk.iterdir()] == [b"old"]
        (small_disk / f"l{suffix}").unlink()


# ---------------------------------------------------------------------------------------------- processes


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


SLOW_WRITER = """
import sys, time
from pathlib import Path
from cascade.cli import console
from cascade.io.files import replacing
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs in the background ignore it

def write():
    with replacing(Path(sys.argv[1])) as temporary:
        temporary.write_text("half")
        print("half", flush=True)
        time.sleep(60)
    return 0

sys.exit(console.run(write))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_stopped_while_it_writes_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    with start(SLOW_WRITER, tmp_path / "l.nii.gz") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        assert process.wait(60) == 128 + number
    assert not list(tmp_path.iterdir())


WRITER = """
import sys
from pathlib import Path
import numpy as np
from cascade.io.nifti import write_labels
from cascade.labels import CASCADE
from cascade.volume import Grid, LabelMap
value, path = int(sys.argv[1]), Path(sys.argv[2])
labels = LabelMap(np.full((40, 40, 40), value, np.uint8), Grid((40, 40, 40), np.eye(4)), CASCADE)
print("ready", flush=True)
for _ in range(60):
    write_labels(labels, path)
"""


def values_in(path: Path) -> set[int]:
    """The labels in a file that `WRITER` wrote."""
    return set(gzip.decompress(path.read_bytes())[-(40**3) :])


def test_two_processes_that_write_one_file_leave_one_of_their_files_whole(tmp_path: Path) -> None:
    path = tmp_path / "l.nii.gz"
    writers = [start(WRITER, value, path) for value in (3, 5)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    seen: list[set[int]] = []
    while any(writer.poll() is None for writer in writers):
        seen += [values_in(file) for file in tmp_path.glob("l.nii.gz")]
        time.sleep(0.005)
    assert [writer.wait() for writer in writers] == [0, 0]
    for writer in writers:
        writer.communicate()
    seen.append(values_in(path))
    assert all(values in ({3}, {5}) for values in seen)
    assert [file.name for file in tmp_path.iterdir()] == ["l.nii.gz"]


SEGMENT = "import sys; from cascade.cli.segment import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.full
def test_a_run_that_is_stopped_at_any_moment_leaves_whole_files_or_none(tmp_path: Path, oracle_weights: Path) -> None:
    write_volume(coded_scan()[0], tmp_path / "t2.nii.gz")
    out = tmp_path / "out"
    names = {"-o": "l.nii.gz", "--json": "run.json", "--picture": "qc.png", "--table": "l.tsv", "--report": "qc.html"}
    options = [word for option, name in names.items() for word in (option, out / name)]
    arguments = [tmp_path / "t2.nii.gz", *options, "--weights", oracle_weights, "--device", "cpu", "--threads", 1]
    begun = time.monotonic()
    with start(SEGMENT, *arguments) as process:
        assert process.wait() == 0
    whole, seconds = time.monotonic() - begun, random.Random(0)
    expected = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(expected) == set(names.values())
    assert read_labels_file(out / "l.nii.gz")[0].any()
    for _ in range(int(os.environ.get("CASCADE_STOPS", "10"))):
        shutil.rmtree(out)
        with start(SEGMENT, *arguments) as process:
            time.sleep(seconds.uniform(0.3, 1.1) * whole)
            process.terminate()
            process.wait()
        left = list(out.iterdir()) if out.exists() else []
        assert {path.name for path in left} <= set(expected)
        whole_labels = [path.read_bytes() for path in left if path.name == "l.nii.gz"]
        assert whole_labels in ([], [expected["l.nii.gz"]])
        out.mkdir(exist_ok=True)
