"""The report in a real browser: no error, no request, and its controls work."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cascade.notices import Notice
from cascade.phantom import PhantomSpec
from cascade.report import ReportIndex, save_report
from tests.phantom_result import phantom_result

pytestmark = [pytest.mark.full, pytest.mark.outside]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --window-size=1280,1000"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    result = phantom_result(PhantomSpec(shape=(13, 160, 200), spacing_mm=(4.0, 1.4, 1.4)), warnings=(Notice("missing-disc", None, "no"),))
    index = ReportIndex(folder)
    for name in ("one", "two"):
        save_report(result, folder / f"{name}.html", f"{name}.nii.gz")
        index.add(folder / f"{name}.html")
    index.save()
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("needs the Debian packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    yield driver
    driver.quit()


def requests(browser: Any) -> list[str]:
    """Addresses that the page asked for, without those that are part of it."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    sent = [a["request"]["url"] for a in asked if a["documentURL"].startswith("file:")]  # not the browser's own start page
    return [url for url in sent if not url.startswith("data:")]


def test_the_report_opens_without_errors_or_requests_and_its_slider_moves(browser: Any, folder: Path) -> None:
    browser.get((folder / "one.html").as_uri())
    text = browser.find_element("css selector", "body").text
    assert all(name in text for name in ("L1", "L2", "L3", "L4", "L5", "missing-disc"))
    before = browser.find_element("id", "slice-title").text
    picture = browser.find_element("id", "slice-image").get_attribute("src")
    browser.find_element("id", "slice").send_keys("\ue014")
    assert browser.find_element("id", "slice-title").text != before
    assert browser.find_element("id", "slice-image").get_attribute("src") != picture
    assert browser.execute_script("return document.querySelectorAll('#slice-outlines path').length") > 5
    assert browser.execute_script("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert browser.get_log("browser") == []
    assert requests(browser) == [(folder / "one.html").as_uri()]


def test_overlay_and_names_follow_controls_and_keys(browser: Any, folder: Path) -> None:
    browser.get((folder / "one.html").as_uri())
    path = browser.find_element("css selector", "#sagittal path")
    before = path.value_of_css_property("fill-opacity")
    browser.find_element("id", "opacity").send_keys("\ue010")
    assert float(path.value_of_css_property("fill-opacity")) > float(before)
    label = browser.find_element("css selector", "#sagittal text")
    browser.find_element("id", "names").click()
    assert not label.is_displayed()
    browser.find_element("css selector", "body").send_keys("o")
    assert not path.is_displayed()
    browser.find_element("css selector", "body").send_keys("o")
    button = browser.find_element("css selector", "button[data-s='L4']")
    button.send_keys("\n")
    assert button.get_attribute("aria-pressed") == "true"
    assert "on" in browser.find_element("css selector", "#sagittal path[data-s='L4']").get_attribute("class").split()
    assert browser.get_log("browser") == []


def test_the_index_filters_and_leads_to_the_reports(browser: Any, folder: Path) -> None:
    browser.get_log("performance")
    browser.get((folder / "index.html").as_uri())
    browser.find_element("id", "filter").send_keys("two")
    shown = [card for card in browser.find_elements("css selector", "#cards > li") if card.is_displayed()]
    assert [card.find_element("css selector", "h2").text for card in shown] == ["two.nii.gz"]
    shown[0].find_element("css selector", "a").click()
    assert browser.current_url == (folder / "two.html").as_uri()
    assert browser.get_log("browser") == []
    assert all(url.startswith("file:") for url in requests(browser))


@pytest.mark.parametrize("page", ["one.html", "index.html"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_nothing_is_wider_than_the_screen(browser: Any, folder: Path, width: int, page: str) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        browser.get((folder / page).as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        tables = browser.execute_script("return [...document.querySelectorAll('.scroll')].map(t => t.scrollWidth - t.clientWidth)")
        assert width < 1000 or not any(tables), "on a desk the tables need no scrolling"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_dark_system_gets_a_dark_page(browser: Any, folder: Path) -> None:
    backs = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get((folder / "one.html").as_uri())
        colour = browser.find_element("tag name", "body").value_of_css_property("background-color")
        backs.append(sum(int(number) for number in re.findall(r"\d+", colour)[:3]))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert backs[0] > 600 > 150 > backs[1]
