"""The page in a real browser: names seen and moved, undone, voxels taken away, accepted; nothing lost, nothing asked of anybody else."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cascade.io.nifti import read_label_array, write_volume
from cascade.phantom import PhantomSpec, render

pytestmark = [pytest.mark.full, pytest.mark.outside]
FLAGS = (
    "--headless=new --no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync "
    "--use-angle=swiftshader --enable-unsafe-swiftshader --ignore-gpu-blocklist --window-size=1500,950"
)
UNDO, ENTER, ESCAPE, DOWN, UP = "z", "\ue007", "\ue00c", "\ue015", "\ue013"
NAMES = "return view.scan ? view.scan.structures.map((one) => one.name) : []"


def start(folder: Path) -> Any:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("needs the Debian packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS.split(), f"--user-data-dir={folder}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    driver = start(tmp_path / "profile")
    yield driver
    driver.quit()


class Page:
    """What a person does with the keyboard alone, and sees."""

    def __init__(self, browser: Any, address: str) -> None:
        self.browser = browser
        browser.get(address)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)

    def until(self, condition: str, seconds: float = 900.0) -> None:
        end = time.monotonic() + seconds
        while not self.browser.execute_script(f"return Boolean({condition})"):
            told = self.browser.execute_script("return find('said').textContent + ' | ' + find('cover-text').textContent")
            assert time.monotonic() < end, f"never: {condition}; the page says: {told}"
            time.sleep(0.1)

    def opened(self, key: str) -> None:
        self.until(f"document.body.dataset.open === '{key}' && view.scan && view.id === '{key}'")

    def revision(self, number: int) -> None:
        self.until(f"view.scan && view.scan.revision === {number} && !view.busy")

    @property
    def names(self) -> list[str]:
        return list(self.browser.execute_script(NAMES))

    @property
    def written(self) -> list[str]:
        """Names in the picture."""
        return list(self.browser.execute_script("return [...document.querySelectorAll('#overlay text')].map((t) => t.textContent)"))

    def go(self, name: str) -> None:
        """From structure to structure until one is reached."""
        self.press(*[UP] * len(self.names))
        while self.browser.execute_script("return here() && here().name") != name:
            self.press(DOWN)


def serve(folder: Path, out: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "cascade.cli.review", str(folder), "-o", str(out), "--no-open", "--who", "Ann", *options]
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - a shell lets what it runs in the background ignore it
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heard)
    assert process.stdout
    return process, process.stdout.readline().strip()


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for number, name in enumerate(("a", "b", "c")):
        write_volume(render(PhantomSpec(shape=(16, 150, 190 + 5 * number), spacing_mm=(4.0, 1.5, 1.5)))[0], folder / f"{name}.nii.gz")
    return folder


def test_three_scans_are_reviewed_with_the_keyboard_and_a_kill_loses_nothing(browser: Any, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process, address = serve(scans, out)
    page = Page(browser, address)
    page.until("view.list && view.list.scans.length === 3 && view.list.left <= 1 && view.scan")
    page.press("\ue00c")
    first, second, *_ = browser.execute_script("return view.list.scans.map((row) => row.id)")
    browser.execute_script("open(arguments[0])", first)
    page.opened(first)
    assert {"L1", "L2", "L3", "L4", "L5"} <= set(page.names)
    page.until("document.querySelectorAll('#overlay text').length > 5")

    page.press("n")
    page.opened(second)
    before = page.names
    page.go("L3")
    page.press("4")  # this is L4
    page.revision(1)
    after = page.names
    assert after[before.index("L3")] == "L4"
    assert after[before.index("L1")] == "L2"
    page.until("[...document.querySelectorAll('#overlay text')].some((t) => t.textContent === 'L4')")
    title = browser.find_element("id", "title").text
    clicks = out / "labels" / f"{title}.clicks.json"
    page.until("rowOf(view.id).kept && rowOf(view.id).revision === 1")
    assert [click["structure"] for click in json.loads(clicks.read_text(encoding="utf-8"))] == ["L4"]
    changed = (out / "labels" / f"{title}.nii.gz").read_bytes()

    page.press(UNDO)
    page.revision(2)
    assert page.names == before
    page.until("rowOf(view.id).kept && rowOf(view.id).revision === 2")
    assert not clicks.exists()

    page.go("L2-L3")
    page.press("-", " ")  # take away, at the crosshair
    page.until("view.preview && !view.busy")
    assert browser.find_element("id", "preview").is_displayed()
    page.press(ENTER)
    page.revision(3)
    assert [name for name in before if name not in page.names] == ["L2-L3"]
    browser.find_element("id", "note").send_keys("no disc", ENTER)
    page.press(ESCAPE, "a")
    page.until("view.list.scans.some((row) => row.state === 'corrected' && row.kept)")
    process.kill()
    process.communicate()

    table = (out / "review.tsv").read_text(encoding="utf-8")
    assert f"{title}\tcorrected\tAnn\t" in table
    assert "no disc" in table
    values, _ = read_label_array(out / "labels" / f"{title}.nii.gz")
    assert changed != (out / "labels" / f"{title}.nii.gz").read_bytes()
    assert 7 not in values  # L2/L3

    process, address = serve(scans, out)
    try:
        again = Page(browser, address + f"#{second}")
        again.opened(second)
        assert "L2-L3" not in again.names
        again.until("document.querySelector('#state .badge')?.textContent === 'corrected'")
        assert "no disc" in browser.find_element("id", "note").get_attribute("value")
        assert_nothing_foreign(browser, address)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130


def assert_nothing_foreign(browser: Any, address: str) -> None:
    """No error in the console but for the server that was killed, and no request but to this machine."""
    told = [entry["message"] for entry in browser.get_log("browser")]
    assert [text for text in told if "ERR_CONNECTION" not in text and "Failed to fetch" not in text] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    sent = [a["request"]["url"] for a in asked if a["documentURL"].startswith("http")]
    assert sent
    assert not [url for url in sent if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))]
    del address
