from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from cascade.errors import OutputError
from cascade.notices import Notice
from cascade.phantom import PhantomSpec
from cascade.report import ReportIndex, save_report
from cascade.report.views import curved_view, slice_views
from cascade.segmentation import Segmentation
from cascade.volume import LabelMap
from tests.phantom_result import phantom_result

WARNINGS = (Notice("few-slices", None, "only <3> slices & more"), Notice("missing-disc", "L4-L5", "not found"))


@pytest.fixture(scope="module")
def result() -> Segmentation:
    return phantom_result(warnings=WARNINGS)


@pytest.fixture(scope="module")
def page(result: Segmentation, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "deep" / "qc.html"
    save_report(result, path, "scan <1>.nii.gz")
    return path.read_text(encoding="utf-8")


def embedded(page: str, name: str) -> object:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_nothing_is_fetched(page: str) -> None:
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_the_page_is_whole_and_small(page: str) -> None:
    assert not re.search(r"\$\{?[a-z]+\b(?!\.)", re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL))
    assert len(page) < 6_000_000


def test_names_and_measurements_are_on_the_page(page: str, result: Segmentation) -> None:
    for name in ("L1", "L2", "L3", "L4", "L5", "L4/L5", "L5/S1"):
        assert f">{name}</text>" in page
        assert f"</i>{name}</button>" in page
    l3 = next(row for row in result.measurements if row.structure == "L3")
    assert f"<td>{l3.depth_mm:.1f}</td>" in page


def test_what_others_wrote_is_escaped(page: str) -> None:
    assert "<1>" not in page
    assert "scan &lt;1&gt;.nii.gz" in page
    assert "only &lt;3&gt; slices &amp; more" in page


def test_warnings_come_before_the_pictures_and_provenance_last(page: str) -> None:
    assert page.index("few-slices") < page.index('id="sagittal"') < page.index("Vertebral bodies") < page.index("sha256 of stage1_spine")


def test_no_warnings_no_box(tmp_path: Path) -> None:
    save_report(phantom_result(), tmp_path / "qc.html", "scan")
    assert 'role="alert"' not in (tmp_path / "qc.html").read_text(encoding="utf-8")


def test_the_slices_hold_their_outlines(page: str) -> None:
    slices = embedded(page, "slice-data")
    assert isinstance(slices, list)
    assert len(slices) > 5
    assert all(view["src"].startswith("data:image/jpeg;base64,") for view in slices)
    middle = slices[len(slices) // 2]
    assert {"L1", "L5", "canal"} <= {outline[0] for outline in middle["o"]}
    assert set(embedded(page, "colour-data")) >= {outline[0] for outline in middle["o"]}  # type: ignore[call-overload]


def test_outlines_lie_where_the_labels_are(result: Segmentation) -> None:
    view = curved_view(result.scan, result.labels, result.spine.centreline_mm, "coronal")
    heights = {o.structure: o.at[1] for o in view.outlines if o.structure != "canal"}
    assert [name for name in heights if name in ("L1", "L2", "L3", "L4", "L5")] == sorted(
        (name for name in heights if name in ("L1", "L2", "L3", "L4", "L5")), key=heights.__getitem__
    )
    distance_mm = (heights["L4"] - heights["L2"]) * 0.6
    l2, l4 = (next(level for level in result.levels if level.name == name) for name in ("L2", "L4"))
    assert distance_mm == pytest.approx(l2.centroid_mm[2] - l4.centroid_mm[2], abs=2.5)


def test_slices_run_from_right_to_left_whatever_the_storage_order(result: Segmentation) -> None:
    flipped = slice_views(result.scan.reoriented("LPS"), result.labels.reoriented("LPS"))
    assert [view.title for view in flipped] == [view.title for view in slice_views(result.scan, result.labels)]
    assert "to the right" in flipped[0].title
    assert "to the left" in flipped[-1].title


def test_a_label_map_with_nothing_in_it_still_gives_a_page(tmp_path: Path, result: Segmentation) -> None:
    import dataclasses

    empty = LabelMap(np.zeros_like(result.labels.data), result.labels.grid, result.labels.scheme)
    save_report(dataclasses.replace(result, labels=empty, levels=()), tmp_path / "qc.html", "scan")
    assert "None found" in (tmp_path / "qc.html").read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path, result: Segmentation) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_report(result, tmp_path / "file" / "qc.html", "scan")


def test_what_is_measured_is_not_measured_again_to_be_drawn(tmp_path: Path, result: Segmentation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert result.measurements
    monkeypatch.setattr("cascade.measure.fitted.fit_morphometries", None)
    monkeypatch.setattr("cascade.measure.fitted.cut_canal", None)
    save_report(result, tmp_path / "qc.html", "scan")


def test_the_index_puts_the_least_confident_scan_first(tmp_path: Path) -> None:
    index = ReportIndex(tmp_path)
    sure, unsure = phantom_result(confidence=0.98), phantom_result(confidence=0.6, warnings=WARNINGS)
    save_report(sure, tmp_path / "a" / "sure.html", "sure.nii.gz")
    save_report(unsure, tmp_path / "unsure.html", "unsure.nii.gz")
    index.add(tmp_path / "a" / "sure.html")
    index.add(tmp_path / "unsure.html")
    index.add_failed(tmp_path / "broken.html", "broken <x>.nii.gz", "expected <y>")
    index.save()
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.index("<h2>unsure.nii.gz") < page.index("<h2>a/sure.nii.gz")
    assert set(re.findall(r'href="([^"]*)"', page)) == {"data:,", "a/sure.html", "unsure.html"}
    assert all(source.startswith("data:image/") for source in re.findall(r'src="([^"]*)"', page))
    assert "<b>broken &lt;x&gt;.nii.gz</b> expected &lt;y&gt;" in page
    assert "<h1>2 scans</h1>" in page
    assert "1 with warnings, 1 not segmented" in page


def test_slips_and_the_canal_are_drawn_and_told_narrowest_first(tmp_path: Path) -> None:
    spec = PhantomSpec(shape=(15, 140, 170), spacing_mm=(5.0, 1.8, 1.8), thoracic=0, slip=("L4", 8.0), stenosis=("L2", 7.0))
    save_report(phantom_result(spec), tmp_path / "page.html", "phantom")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    sagittal = page[page.index('id="sagittal"') : page.index('id="coronal"')]
    assert '<g class="mark slip" data-s="L4">' in sagittal
    assert sagittal.count('<g class="mark canal"') >= 4
    first = re.search(r'<table id="canal">.*?<th scope="row">(.*?)</th>', page, re.DOTALL)
    assert first is not None
    assert first[1] == "L2/L3"
    assert "Meyerding 1" in page
    assert re.search(r"Anterolisthesis of L4 on the level below: [\d.]+ mm \(\d+ % of its end plate\), Meyerding 1\.", page)


def test_signal_slip_bone_and_errors_stand_where_one_looks(result: Segmentation, tmp_path: Path) -> None:
    unsure = dataclasses.replace(result, again=[list(result.measurements)] * 3)
    pages = {}
    for name, each in (("plain", result), ("unsure", unsure)):
        save_report(each, tmp_path / f"{name}.html", "phantom")
        pages[name] = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    assert re.search(r"Bone of L1 to L4 over the fluid at L3: 0\.\d\d", pages["plain"])
    assert "--repeat 5" in pages["plain"]
    assert "--repeat 5" not in pages["unsure"]
    assert re.search(r"The canal is narrowest at \S+: [\d.]+ mm from front to rear", pages["plain"])
    assert pages["unsure"].count("\N{PLUS-MINUS SIGN}") > 80


def test_what_is_not_measured_is_told_with_its_reason(tmp_path: Path) -> None:
    result = phantom_result()
    labels = result.labels
    bare = dataclasses.replace(result, labels=LabelMap(np.where(labels["canal"], 0, labels.data), labels.grid, labels.scheme))
    save_report(bare, tmp_path / "page.html", "phantom")
    assert "no canal is labelled" in (tmp_path / "page.html").read_text(encoding="utf-8")
