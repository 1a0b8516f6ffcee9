"""What the pages tell people to type, typed: each command and each piece of Python, page by page, in a folder that has what they name.

What is not typed here is listed in CONTRIBUTING.md with the reason, where a reader sees it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cascade.io.formats import read_scan_file, write_labels_file
from cascade.io.nifti import write_labels, write_volume
from cascade.phantom import render
from cascade.volume import Grid, LabelMap, Volume
from tests.datasets import miniatures
from tests.dicom_files import slices, write_series
from tests.docs.pages import ROOT, text_of
from tests.docs.test_commands import COMMANDS, LIVING

#: Tutorials have a test of their own, and so have the recipes.
TYPED = [page for page in LIVING if "tutorials" not in page.parts and page.name not in {"extending.md", "CONTRIBUTING.md"}]
BLOCK = re.compile(r"^ *```([^\n]*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SHELL = {"", "sh", "bash", "console"}
#: First words of what is a command and none of ours.
OTHERS = {"python", "pip", "docker", "dask", "torchrun", "monailabel", "integrations/monailabel/make_env.sh"}
#: Where the point that pages call L5 lies, RAS+ mm.
L5_MM = (3.0, -20.0, -85.0)
#: What pieces of Python take from a program around them.
AROUND = """
from pathlib import Path
from cascade.io.formats import read_scan_file
from cascade.io.nifti import read_label_array
import cascade
scans = ["a.nii.gz", "b.nii.gz"]
scan = read_scan_file(Path("t2_sag.nii.gz"))[0]
numbers, grid = read_label_array(Path("levels.nii.gz"))
labels = cascade.LabelMap(numbers, grid, cascade.CASCADE)
"""


def not_typed() -> list[str]:
    """What stands in the table of CONTRIBUTING.md: a command or piece of Python that holds one of these is not typed."""
    table = text_of(ROOT / "CONTRIBUTING.md").partition("| not typed | because |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `([^`]+)`", table, flags=re.MULTILINE)


def pieces(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each command on a line of its own, and of each piece of Python."""
    for language, block in BLOCK.findall(text_of(page)):
        if language == "python":
            yield "python", block
        for line in block.replace("\\\n", " ").splitlines() if language in SHELL else ():
            for part in line.split(" #")[0].split("\t")[0].split("&&"):
                words = part.strip().split(" ")
                if words[0] in COMMANDS or words[0] in OTHERS:
                    yield "sh", part.strip()


def test_each_command_of_others_is_listed_and_nothing_is_listed_in_vain() -> None:
    everything = [piece for page in TYPED for piece in pieces(page)]
    listed = not_typed()
    assert [text for language, text in everything if language == "sh" and text.split()[0] in OTHERS and not holds(text, listed)] == []
    assert [entry for entry in listed if not any(holds(text, [entry]) for _, text in everything)] == []


def holds(text: str, listed: list[str]) -> bool:
    """Whether a text holds something that is listed."""
    return any(entry in text for entry in listed)


@pytest.mark.full
@pytest.mark.parametrize("page", [page for page in TYPED if list(pieces(page))], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_says_works(page: Path, world: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(world, tmp_path / "world", symlinks=True)
    around: dict[str, object] = {"__name__": "__main__"}
    for language, text in pieces(page):
        if not holds(text, not_typed()):
            typed = in_shell if language == "sh" else in_python
            typed(text, folder, around)


def in_shell(text: str, folder: Path, _: dict[str, object]) -> None:
    """Type a command."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(["bash", "-c", text], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"


def in_python(text: str, folder: Path, around: dict[str, object]) -> None:
    """Run a piece of Python, after those before it on the page."""
    with contextlib.chdir(folder):
        if len(around) == 1:
            exec(AROUND, around)
        exec(compile(text, "<page>", "exec"), around)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages name: scans of one phantom in every form, its labels, a study, a BIDS data set, cases, clicks."""
    folder = tmp_path_factory.mktemp("pages") / "world"
    scan, labels = placed()
    for name in ("t2_sag", "t2", "scan", "a", "b", "scans/a", "scans/b", "CASES/d/a_image", "d/a_image"):
        write_volume(scan, folder / f"{name}.nii.gz")
    write_labelled(labels, folder)
    whole = Volume(np.rint(scan.data / scan.data.max() * 4000), scan.grid)
    for name in ("dicom_study", "study", "STUDY", "series", "studies/a/series"):
        write_series(slices(whole.reoriented("PSR"), number=5), folder / name)
    stored = "".join(read_scan_file(folder / "studies" / "a" / "series")[0].grid.axcodes)
    write_labels_file(labels.to_scheme("cascade", lost="drop").reoriented(stored), folder / "results" / "a" / "series.nii.gz")
    for name in ("dataset", "DATASET"):
        bids(folder / name, scan)
    miniatures.write(scan.data, scan.grid, folder / "t2.mha")
    miniatures.chu(folder / "downloads" / "chu", {"02": 0, "05": 1})
    clicks = [{"position_mm": L5_MM, "structure": "L5"}]
    (folder / "clicks.json").write_text(json.dumps(clicks), encoding="utf-8")
    (folder / "WEIGHTS").symlink_to(ROOT / "weights")
    return folder


def placed() -> tuple[Volume, LabelMap]:
    """The phantom and its labels, moved to where the pages click."""
    scan, labels = render()
    centre = labels.grid.to_world(np.argwhere(labels["L5"]).mean(axis=0))
    affine = scan.grid.vox2world.copy()
    affine[:3, 3] += np.array(L5_MM) - centre
    grid = Grid(scan.grid.shape, affine)
    return Volume(scan.data, grid), LabelMap(labels.data, grid, labels.scheme)


def write_labelled(labels: LabelMap, folder: Path) -> None:
    """The labels in the numbers, and under the names, that the pages give them."""
    verse = ("seg_vert", "reference", "references/a", "CASES/d/a_labels", "d/a_labels")
    schemes = {
        "levels": "cascade",
        "out/a": "cascade",
        "labels/a": "totalspineseg",
        "labels/b": "totalspineseg",
        **dict.fromkeys(verse, "verse"),
    }
    for name, scheme in schemes.items():
        write_labels(labels.to_scheme(scheme, lost="drop"), folder / f"{name}.nii.gz")
    for table in (folder / "CASES" / "cases.tsv", folder / "cases.tsv"):
        table.write_text("dataset\tcase\tsplit\tscheme\nd\ta\tval\tverse\n", encoding="utf-8")


def bids(folder: Path, scan: Volume) -> None:
    """A BIDS data set of two participants."""
    for person in ("01", "02"):
        write_volume(scan, folder / f"sub-{person}" / "anat" / f"sub-{person}_T2w.nii.gz")
    described = {"Name": "phantoms", "BIDSVersion": "1.8.0"}
    (folder / "dataset_description.json").write_text(json.dumps(described), encoding="utf-8")
