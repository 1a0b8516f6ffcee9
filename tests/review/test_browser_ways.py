"""The page in a real browser, by the other ways: a DICOM study, an earlier run, two windows, every tool, a file that is dropped."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cascade.cohorts.find import Request, find_jobs
from cascade.errors import InputError
from cascade.io.nifti import read_label_array, write_volume
from cascade.labels import VERSE
from cascade.pipeline import Segmenter
from cascade.review.desk import Desk
from cascade.review.items import Item, items_of_jobs, items_of_run
from cascade.review.server import served
from cascade.volume import LabelMap, Volume
from tests.dicom_files import slices, write_series
from tests.review.test_browser import ESCAPE, Page, assert_nothing_foreign, start
from tests.review_work import desk_of, write_scans

pytestmark = pytest.mark.full
Coded = tuple[Volume, LabelMap]
Opened = tuple[Page, Desk]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@contextlib.contextmanager
def opened(browser: Any, desk: Desk) -> Iterator[Page]:
    """The page of a desk, with its first scan open; at the end nothing may be wrong in the console, and nothing asked elsewhere."""
    with served(desk) as page:
        shown = Page(browser, page.address)
        shown.until("view.scan && document.body.dataset.open === view.id")
        yield shown
        assert_nothing_foreign(browser, page.address)
        browser.get("about:blank")


@pytest.fixture
def one(browser: Any, coded: Coded, oracle_weights: Path, tmp_path: Path) -> Iterator[Opened]:
    """One scan, and the networks' answer at hand."""
    desk = desk_of(write_scans(coded[0], tmp_path / "scans", ["one"]), tmp_path / "out", oracle_weights)
    with opened(browser, desk) as page:
        page.until("rowOf(view.id).atHand && !rowOf(view.id).working")
        yield page, desk


def place(page: Page, name: str) -> list[float]:
    return list(page.browser.execute_script("return view.scan.structures.find((one) => one.name === arguments[0]).centroid_mm", name))


def click(page: Page, mm: Sequence[float]) -> None:
    """A real click of the mouse, in the sagittal slice of a place."""
    from selenium.webdriver import ActionChains

    page.browser.execute_script("viewer.go(arguments[0])", list(mm))
    x, y = page.browser.execute_script("return viewer.place(arguments[0], PLANES.sagittal)", list(mm))
    canvas = page.browser.find_element("id", "canvas")
    middle = canvas.size["width"] / 2, canvas.size["height"] / 2
    ActionChains(page.browser).move_to_element_with_offset(canvas, x - middle[0], y - middle[1]).click().perform()


def keep_preview(page: Page, revision: int) -> str:
    page.until("view.preview && !view.busy")
    said = str(page.browser.find_element("id", "preview-text").text)
    page.browser.find_element("id", "keep").click()
    page.revision(revision)
    return said


def volume(page: Page, name: str) -> float:
    return float(page.browser.execute_script("return view.scan.structures.find((one) => one.name === arguments[0]).volume_ml", name))


def kept_file(desk: Desk, page: Page, suffix: str) -> Path:
    page.until("rowOf(view.id).kept && rowOf(view.id).revision === view.scan.revision")
    return desk.files("s1").beside(suffix)


def test_a_structure_grows_where_it_is_clicked_and_undo_and_redo_go_back_and_forth(one: Opened) -> None:
    page, desk = one
    x, y, z = place(page, "L3")
    voxels = np.argwhere(desk.shown("s1").labels["L3"])
    front = max(float(desk.shown("s1").labels.grid.to_world(v)[1]) for v in voxels)
    before = volume(page, "L3")
    click(page, (x, y, z))
    page.browser.find_element("css selector", "[data-tool=add]").click()
    assert page.browser.execute_script("return find('add-to').value") == "L3"
    click(page, (x, front + 2.0, z))
    assert "L3 +" in keep_preview(page, 1)
    grown = volume(page, "L3")
    assert grown > before
    page.press(ESCAPE)
    page.browser.find_element("id", "undo").click()
    page.revision(2)
    assert volume(page, "L3") == pytest.approx(before)
    page.browser.find_element("id", "redo").click()
    page.revision(3)
    assert volume(page, "L3") == pytest.approx(grown)
    assert json.loads(kept_file(desk, page, ".clicks.json").read_text(encoding="utf-8"))[0]["structure"] == "L3"


def test_a_body_that_is_split_moves_the_names_above_it(one: Opened) -> None:
    page, desk = one
    before = page.names
    page.browser.find_element("css selector", "[data-tool=split]").click()
    click(page, place(page, "L3"))
    keep_preview(page, 1)
    assert len([name for name in page.names if "-" not in name]) == len([name for name in before if "-" not in name]) + 1
    assert [c["structure"] for c in json.loads(kept_file(desk, page, ".clicks.json").read_text(encoding="utf-8"))] == ["split"]
    page.press(ESCAPE, "z")
    page.revision(2)
    assert page.names == before


def test_what_is_too_much_is_taken_away_and_a_preview_that_is_discarded_changes_nothing(one: Opened) -> None:
    page, desk = one
    before = page.names
    click(page, place(page, "L2-L3"))
    page.browser.find_element("id", "delete").click()
    page.until("view.preview && !view.busy")
    assert "L2/L3 goes" in page.browser.find_element("id", "preview-text").text
    page.browser.find_element("id", "discard").click()
    page.until("!view.preview && !view.busy")
    assert (page.names, desk.record("s1").revision) == (before, 0)
    page.browser.find_element("css selector", "[data-tool=take]").click()
    click(page, place(page, "L2-L3"))
    keep_preview(page, 1)
    assert "L2-L3" not in page.names


def test_the_pieces_of_a_body_are_joined(browser: Any, coded: Coded, oracle_weights: Path, tmp_path: Path) -> None:
    scan, labels = coded
    upright = scan.reoriented("RAS")
    inside = labels.reoriented("RAS")["L3"]
    rows = np.flatnonzero(inside.any(axis=(0, 1)))
    gap = np.zeros_like(inside)
    middle = int(rows[len(rows) // 2])
    gap[:, :, middle - 1 : middle + 2] = True
    air = float(np.median(upright.data[~(labels.reoriented("RAS").data > 0)]))
    cut = Volume(np.where(inside & gap, np.float32(air), upright.data).astype(np.float32), upright.grid)
    desk = desk_of(write_scans(cut, tmp_path / "scans", ["one"]), tmp_path / "out", oracle_weights)
    with opened(browser, desk) as page:
        page.until("rowOf(view.id).atHand && !rowOf(view.id).working")
        grid, instances = upright.grid, np.argwhere(inside)
        pieces = [grid.to_world(instances[side].mean(axis=0)) for side in (instances[:, 2] < middle - 1, instances[:, 2] > middle + 1)]
        assert len({str(desk_structure(desk, piece)) for piece in pieces}) == 2
        page.browser.find_element("css selector", "[data-tool=join]").click()
        for piece in pieces:
            click(page, piece)
        keep_preview(page, 1)
        assert len({str(desk_structure(desk, piece)) for piece in pieces}) == 1


def desk_structure(desk: Desk, mm: Sequence[float]) -> str | None:
    labels = desk.shown("s1").labels
    value = int(labels.data[tuple(np.rint(labels.grid.to_voxels(mm)).astype(int))])
    return labels.scheme.structure(value) if value else None


def test_lowest_and_count_are_chosen_in_the_side(one: Opened) -> None:
    page, _ = one
    page.browser.execute_script("find('lowest').value = 'L4'; find('lowest').dispatchEvent(new Event('change'))")
    page.revision(1)
    assert [name for name in page.names if name.startswith("L") and "-" not in name][-1] == "L4"
    assert page.browser.find_element("id", "undo").get_attribute("title") == "Undo: numbering: lowest L4 (Z)"


def test_the_pointer_tells_structure_and_value_and_the_table_lights_the_picture(one: Opened) -> None:
    from selenium.webdriver import ActionChains

    page, desk = one
    click(page, place(page, "L4"))
    assert page.browser.find_element("id", "here-name").text == "L4"
    page.until("document.querySelectorAll('tr[data-structure]').length > 5")
    assert page.browser.execute_script("return document.querySelector('tr.on').dataset.structure") == "L4"
    mm = place(page, "L4")
    value = desk.shown("s1").scan.data[tuple(np.rint(desk.shown("s1").scan.grid.to_voxels(mm)).astype(int))]
    under = page.browser.find_element("id", "under").text
    assert under.startswith("L4")
    assert float(under.split("value ")[1].split(" ")[0]) == pytest.approx(float(value), rel=0.3)
    row = page.browser.find_element("css selector", "tr[data-structure=L2]")
    page.browser.execute_script("arguments[0].scrollIntoView()", row)
    ActionChains(page.browser).move_to_element(row).perform()
    page.until(f"viewer.lit === {VERSE['L2']}")


def test_what_is_remarked_leads_to_its_place(one: Opened) -> None:
    page, desk = one
    cut = next(notice.level for notice in desk.shown("s1").warnings if notice.code == "cut-by-border")
    page.browser.find_element("xpath", "//section[@id='remarks']//button[.//code[text()='cut-by-border']]").click()
    page.until(f"here() && here().name === '{cut}'")


def test_a_file_that_is_dropped_is_segmented_and_opened(one: Opened, coded: Coded, tmp_path: Path) -> None:
    page, desk = one
    write_volume(coded[0], tmp_path / "new scan.nii.gz")
    content = base64.b64encode((tmp_path / "new scan.nii.gz").read_bytes()).decode()
    page.browser.execute_script(
        """
        const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0)), data = new DataTransfer();
        data.items.add(new File([bytes], "new scan.nii.gz"));
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        """,
        content,
    )
    page.until("view.scan && view.scan.title === 'dropped/new_scan' && document.body.dataset.open === view.id")
    assert {"L1", "L5"} <= set(page.names)
    assert [path.name for path in (desk.folder / "dropped").iterdir()] == ["new_scan.nii.gz"]


def test_two_windows_see_each_other_and_neither_undoes_what_it_has_not_seen(one: Opened) -> None:
    page, desk = one
    browser, first = page.browser, page.browser.current_window_handle
    address = browser.current_url
    browser.switch_to.new_window("window")
    second = Page(browser, address)
    second.until("view.scan && document.body.dataset.open === view.id")
    # What the first window does before it has heard of it is refused, and it shows what holds.
    browser.switch_to.window(first)
    browser.execute_script("view.list.version = 1e9; poll = async () => {}")
    browser.switch_to.window(browser.window_handles[-1])
    second.press(ESCAPE, "r")
    second.until("view.scan.state === 'rejected'")
    browser.switch_to.window(first)
    page.press(ESCAPE, "a")
    page.until("find('said').textContent.includes('changed meanwhile') && view.scan.state === 'rejected'")
    assert desk.record("s1").state == "rejected"
    assert [entry for entry in browser.get_log("browser") if "409 (Conflict)" in entry["message"]]
    # A window that listens shows it by itself.
    browser.find_element("id", "reopen").click()
    page.until("view.scan.state === 'new'")
    browser.switch_to.window(browser.window_handles[-1])
    second.until("view.scan.state === 'new' && find('said').textContent.includes('changed in another window')")
    browser.close()
    browser.switch_to.window(first)


def test_an_earlier_run_is_looked_at_without_networks_and_corrected_with_them(
    browser: Any, coded: Coded, oracle_weights: Path, tmp_path: Path
) -> None:
    items = write_scans(coded[0], tmp_path / "scans")
    segmenter = Segmenter.from_pretrained("cpu", oracle_weights)
    list(segmenter.map([item.image for item in items], tmp_path / "run", root=tmp_path / "scans", scheme="verse"))
    loads: list[int] = []
    desk = Desk(items_of_run(tmp_path / "run"), tmp_path / "run" / "review", counted(segmenter, loads), who="Ann")
    with opened(browser, desk) as page:
        page.until("view.list.scans.every((row) => row.thumbnail !== null)")
        page.press(ESCAPE, "a")
        page.until("view.list.scans.some((row) => row.state === 'accepted' && row.kept) && view.scan && view.scan.state === 'new'")
        assert loads == []
        page.go("L3")
        page.press("4")
        page.revision(1)
        assert loads == [1]
        key = page.browser.execute_script("return view.id")
        assert "L4" in [level.name for level in desk.shown(key).levels]
    kept = desk.files("s1").labels
    np.testing.assert_array_equal(read_label_array(kept)[0], read_label_array(tmp_path / "run" / kept.name)[0])


def counted(segmenter: Segmenter, loads: list[int]) -> Callable[[], Segmenter]:
    def load() -> Segmenter:
        loads.append(1)
        return segmenter

    return load


def test_a_scan_that_changed_since_it_was_segmented_is_said(browser: Any, coded: Coded, oracle_weights: Path, tmp_path: Path) -> None:
    items = write_scans(coded[0], tmp_path / "scans", ["one"])
    segmenter = Segmenter.from_pretrained("cpu", oracle_weights)
    list(segmenter.map([items[0].image], tmp_path / "run", root=tmp_path / "scans"))
    write_volume(dataclasses.replace(coded[0], data=coded[0].data + 1), items[0].image)
    desk = desk_of(items_of_run(tmp_path / "run"), tmp_path / "run" / "review", oracle_weights)
    with pytest.raises(InputError, match="has changed"):
        desk.shown("s1")
    with served(desk) as address:
        page = Page(browser, address.address)
        page.until("find('cover-text').textContent.includes('has changed since it was segmented')")
        browser.get_log("browser")  # the refusal itself is told there
        browser.get("about:blank")


def test_a_dicom_study_is_opened_corrected_and_kept_and_tells_no_patient(
    browser: Any, coded: Coded, oracle_weights: Path, tmp_path: Path
) -> None:
    study = write_series(slices(coded[0], patient="Doe"), tmp_path / "study")
    jobs, problems = find_jobs(Request((study,), tmp_path / "out", None, None))
    assert not problems
    items: list[Item] = items_of_jobs(jobs, tmp_path / "out", "cascade")
    desk = desk_of(items, tmp_path / "out", oracle_weights)
    with opened(browser, desk) as page:
        page.until("rowOf(view.id).atHand && !rowOf(view.id).working")
        page.go("L3")
        page.press("2")
        page.revision(1)
        page.press("a")
        page.until("view.list.scans[0].state === 'corrected' && view.list.scans[0].kept")
        assert "Doe" not in browser.page_source
        assert "Doe" not in browser.current_url
    labels = desk.files("s1").labels
    assert labels.is_file()
    assert "L2" in [level.name for level in desk.shown("s1").levels]
