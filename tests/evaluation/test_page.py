from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade.evaluation.page import write_page
from cascade.evaluation.pairs import pair_up
from cascade.evaluation.summary import Evaluation, evaluate_all
from cascade.io.nifti import write_labels, write_volume
from cascade.volume import Volume
from tests.evaluation.results import result, structure
from tests.evaluation.spines import GRID, stack


class Page(HTMLParser):
    """What a page refers to, and what it says."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.references: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The report on one case with its scan, and one without scan and prediction."""
    folder = tmp_path_factory.mktemp("report")
    scan = np.random.default_rng(0).uniform(size=GRID.shape).astype(np.float32)
    scan[0, 0, 0] = np.nan
    write_volume(Volume(scan, GRID), folder / "ref/1_image.nii.gz")
    for name in ("1", "2"):
        write_labels(stack(["L5", "L4-L5", "L4"]), folder / f"ref/{name}_labels.nii.gz")
    write_labels(stack(["L5", "L4-L5", "L4"], names=("L4", "", "L3")), folder / "pred/1.nii.gz")
    write_page(evaluate_all(pair_up(folder / "pred", folder / "ref")), folder / "report.html")
    return Page(folder / "report.html")


def test_the_page_refers_to_nothing_outside_itself(page: Page) -> None:
    assert page.references
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)


def test_a_case_with_a_scan_is_shown_as_three_panels(page: Page) -> None:
    (picture,) = page.references
    image = Image.open(io.BytesIO(base64.b64decode(picture.split(",")[1])))
    assert image.width % 3 == 0
    pixels = np.asarray(image).astype(int)
    plain, reference, prediction = np.split(pixels, 3, axis=1)
    assert np.ptp(plain, axis=2).max() == 0
    assert np.ptp(reference, axis=2).max() > 50
    assert not np.array_equal(reference, prediction)


def test_the_page_says_what_went_wrong(page: Page) -> None:
    assert "found none; it is scored as empty" in page.text
    assert "No picture" in page.text
    assert "L5 0.000 (found as L4)" in page.text


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    nasty = "<script>x</script>"
    results = (result(nasty, "1", structure("L5", 0.9)), result("b", "&2", structure("L5", 0.8)))
    write_page(Evaluation(results, (nasty,)), tmp_path / "r.html")
    assert nasty not in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert nasty in Page(tmp_path / "r.html").text
