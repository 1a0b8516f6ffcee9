"""How long the review page takes, how many clicks a correction takes, and its pictures for the documentation.

    python benchmarks/review.py CASES walk                 # a val scan spoilt: names off by two levels, a disc that leaks
    python benchmarks/review.py CASES rename [--times 21]  # from "this is L4" to the new picture
    python benchmarks/review.py large                      # 200 x 512 x 512 voxels: opens and turns
    python benchmarks/review.py CASES pictures docs/pictures/review

CASES is a folder of scans as ``shared/data/README.md`` has it, or any folder with ``spider/*_image.nii.gz``. Everything happens in headless
Chromium with software WebGL2 (Debian: ``apt-get install chromium chromium-driver``; ``pip install selenium``).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from selenium import webdriver
from selenium.webdriver import ActionChains

from cascade import LabelMap, Numbering, Segmentation, Volume
from cascade.io.nifti import write_labels, write_volume
from cascade.labels import CASCADE, LabelScheme
from cascade.phantom import PhantomSpec, render
from cascade.pipeline import Segmenter
from cascade.review.desk import Desk
from cascade.review.items import Item
from cascade.review.server import served
from cascade.segmentation import Perception

FLAGS = (
    "--headless=new --no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync "
    "--use-angle=swiftshader --enable-unsafe-swiftshader --ignore-gpu-blocklist --hide-scrollbars --window-size=1500,1000"
)
SCANS = ("spider/118", "spider/152", "spider/177")
#: What the result is spoilt with: bodies and discs that are taken away at the lower end, and a leak of this radius beside a disc.
LOST, LEAK_MM = ("L4", "L4-L5", "L5", "L5-S1", "sacrum"), 7.0


#: Say something; done when the pixels of the new picture can be read.
_SAY = """
const end = arguments[arguments.length - 1], pixel = new Uint8Array(4), gl = viewer.nv.gl;
const drawn = () => { gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel); end(); };
change('say', arguments[0]).then(drawn);
"""


#: One slice further; done when its pixels can be read, in ms.
_TURN = """
const end = arguments[arguments.length - 1], pixel = new Uint8Array(4), gl = viewer.nv.gl, started = performance.now();
viewer.step(1, 0, 0);
gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
end(performance.now() - started);
"""


class Page:
    """The page in a browser, used with the mouse; clicks are counted."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver, self.clicks = driver, 0
        driver.get(address)
        self.until("view.scan && !view.busy")

    def js(self, code: str, *arguments: Any) -> Any:
        """Run a script on the page."""
        return self.driver.execute_script(code, *arguments)

    def until(self, condition: str, seconds: float = 900.0) -> None:
        """Wait until something holds on the page."""
        end = time.monotonic() + seconds
        while not self.js(f"return Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(f"{condition}: {self.js('return find(`said`).textContent + find(`cover-text`).textContent')}")
            time.sleep(0.05)

    def press(self, selector: str) -> None:
        """Click on a button."""
        self.clicks += 1
        self.driver.find_element("css selector", selector).click()

    def turn_to(self, mm: Sequence[float]) -> None:
        """Turn the wheel until the sagittal slice of a place is seen."""
        step = "return viewer.nv.frac2vox(viewer.nv.mm2frac(arguments[0], 0, true))[0] - viewer.point().voxel[0]"
        self.js("viewer.step(arguments[0], 0, 0)", self.js(step, list(mm)))

    def point(self, mm: Sequence[float]) -> None:
        """Click on a place in the sagittal picture."""
        self.clicks += 1
        x, y = self.js("return viewer.place(arguments[0], PLANES.sagittal)", list(mm))
        canvas = self.driver.find_element("id", "canvas")
        size = canvas.size
        ActionChains(self.driver).move_to_element_with_offset(canvas, x - size["width"] / 2, y - size["height"] / 2).click().perform()

    @property
    def names(self) -> list[str]:
        """Structures of the scan that is open."""
        return list(self.js("return view.scan.structures.map((one) => one.name)"))

    def place(self, name: str) -> list[float]:
        """Middle of a structure, RAS+ mm."""
        return list(self.js("return view.scan.structures.find((one) => one.name === arguments[0]).centroid_mm", name))


@dataclasses.dataclass(frozen=True)
class Spoilt(Segmenter):
    """Networks whose answer is spoilt: the lower end is missing, all names are off by two, and a disc leaks."""

    def perceive(self, image: Any, series: str | None = None) -> Perception:
        """The networks' answer, spoilt."""
        seen = super().perceive(image, series)
        return dataclasses.replace(seen, evidence=spoilt(seen, self))

    def name(self, seen: Perception, *, numbering: Numbering | None = None, clicks: Any = (), **options: Any) -> Segmentation:
        """Names as if the lowest body in view were L5, until somebody names one."""
        known = any(click.is_level for click in clicks)
        return super().name(seen, numbering=numbering if known else Numbering(lowest="L5"), clicks=clicks, **options)


def spoilt(seen: Perception, segmenter: Segmenter) -> Any:
    """Take away what is `LOST`, and let L1/L2 leak to the front."""
    evidence = seen.evidence
    found = Segmenter.name(segmenter, seen, scheme="verse")
    probabilities = evidence.probabilities.copy()
    lost = np.zeros(found.labels.data.shape, dtype=bool)
    for name in LOST:
        lost |= found.labels[name]
    mask = Volume(ndimage.binary_dilation(lost, iterations=2).astype(np.float32), found.labels.grid).reoriented("RAS")
    gone = mask.resampled(evidence.grid).data > 0.2
    low = min(np.argwhere(found.labels.reoriented("RAS")["L3"])[:, 2])
    z = evidence.grid.to_voxels(found.labels.reoriented("RAS").grid.to_world([0, 0, low]))[2]
    gone[:, :, : max(int(z) - 2, 0)] = True
    probabilities[1:, gone], probabilities[0, gone] = 0.0, 1.0
    away = (np.moveaxis(np.indices(gone.shape), 0, -1) - evidence.grid.to_voxels(leak(found))) * evidence.grid.spacing_mm
    ball = (np.linalg.norm(away, axis=-1) < LEAK_MM) & (probabilities.argmax(axis=0) == 0)
    probabilities[:, ball], probabilities[0, ball] = 0.02, 0.36
    probabilities[evidence.classes.index("disc"), ball] = 0.6
    return dataclasses.replace(evidence, probabilities=probabilities)


def leak(found: Any) -> np.ndarray[Any, Any]:
    """A place in front of the disc L1/L2, in the slice of its middle."""
    labels = found.labels.reoriented("RAS")
    voxels = np.argwhere(labels["L1-L2"])
    middle = voxels.mean(axis=0)
    front = voxels[np.abs(voxels[:, 0] - middle[0]) < 1][:, 1].max()
    x, y, z = labels.grid.to_world([round(middle[0]), front, middle[2]])
    return np.array([x, y + 0.5 * LEAK_MM, z])


@contextlib.contextmanager
def page_of(
    images: dict[str, Path],
    load: Callable[[], Segmenter],
    size: str = "1500,1000",
    earlier: tuple[Path | None, LabelScheme] = (None, CASCADE),
) -> Iterator[tuple[Page, Desk]]:
    """The page of some scans, open in a browser."""
    with tempfile.TemporaryDirectory() as folder:
        items = [
            Item(f"s{n}", name, path, None, ".nii.gz", earlier[1], earlier[0]) for n, (name, path) in enumerate(images.items(), start=1)
        ]
        desk = Desk(items, Path(folder) / "out", load, who="reviewer")
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for flag in [*FLAGS.split(), f"--user-data-dir={folder}/profile"]:
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(shutil.which("chromedriver"))))
        driver.set_window_size(*map(int, size.split(",")))
        driver.set_script_timeout(600)
        driver.command_executor.client_config.timeout = 900
        try:
            with served(desk) as page:
                yield Page(driver, page.address), desk
        finally:
            driver.quit()


def walk(cases: Path) -> None:
    """Put a spoilt result right, and count the clicks."""
    image = {"spoilt": cases / f"{SCANS[0]}_image.nii.gz"}
    honest = Segmenter.from_pretrained("cpu")
    truth = honest.segment(image["spoilt"], scheme="verse")
    spoiling = Spoilt(honest.stage1, honest.stage2, "cpu")
    with page_of(image, lambda: spoiling) as (page, desk):
        before, leaky = page.names, disc_ml(desk)
        print("before:", " ".join(before), f"disc {leaky:.2f} ml")
        wrong = "L5"
        page.turn_to(page.place(wrong))
        page.point(page.place(wrong))
        page.until("here() && here().name === 'L5'")
        page.press("#chips [data-name=L3]")
        page.until("view.scan.revision === 1 && !view.busy")
        named = page.clicks
        page.press("[data-tool=take]")
        place = [float(v) for v in leak(truth)]
        page.turn_to(place)
        page.point(place)
        page.until("view.preview && !view.busy")
        print("preview:", page.driver.find_element("id", "preview-text").text)
        page.press("#keep")
        page.until("view.scan.revision === 2 && !view.busy")
        taken = page.clicks - named
        page.press("#accept")
        page.until("view.scan.state === 'corrected'")
        print("after:", " ".join(page.names), f"disc {disc_ml(desk):.2f} ml; unspoilt {volume(truth, 'L1-L2'):.2f} ml")
        right = [level.name for level in truth.levels if level.name in page.names]
        print(f"names right: {page.names == right}; clicks: names {named}, leak {taken}, accept 1; together {page.clicks}")


def disc_ml(desk: Desk) -> float:
    """Of the disc that leaks, whatever it is called."""
    names = [level.name for level in desk.shown("s1").levels]
    return volume(desk.shown("s1"), "L1-L2" if desk.record("s1").history.now else "L3-L4") if "L3-L4" in names or "L1-L2" in names else 0.0


def volume(result: Any, name: str) -> float:
    """Of one structure, in ml."""
    return next((level.volume_ml for level in result.levels if level.name == name), 0.0)


def rename(cases: Path, times: int) -> None:
    """From the key to the new picture, the answer at hand."""
    segmenter = Segmenter.from_pretrained("cpu")
    with page_of({"scan": cases / f"{SCANS[0]}_image.nii.gz"}, lambda: segmenter) as (page, desk):
        page.until("rowOf(view.id).atHand && !rowOf(view.id).working")
        page.js("viewer.go(arguments[0])", page.place("L3"))
        took, served_s = [], []
        for number in range(times):
            said = {"verb": "name", "structure": ("L4", "L2")[number % 2], "points_mm": [page.place(page.js("return here().name"))]}
            page.until("rowOf(view.id).kept")  # a person looks at the picture before he says the next thing
            for old in list(desk.shelf.get("s1")._results)[:-1]:
                del desk.shelf.get("s1")._results[old]
            started = time.perf_counter()
            page.driver.execute_async_script(_SAY, said)
            took.append(time.perf_counter() - started)
            started = time.process_time()
            record = desk.record("s1").history.now
            segmenter.name(desk.shelf.get("s1").seen, scheme="verse", clicks=record.clicks)
            served_s.append(time.process_time() - started)
        page.until("rowOf(view.id).kept")
    print(f"rename to new picture, {times} times: median {statistics.median(took):.2f} s, {min(took):.2f} to {max(took):.2f} s")
    print(f"of which naming needs {statistics.median(served_s):.2f} s of one core{others()}")


def others() -> str:
    """What else the machine had to do."""
    return f"; the machine's load was {os.getloadavg()[0] / (os.cpu_count() or 1):.1f} a core"


def large() -> None:
    """A scan of 200 x 512 x 512 that was segmented before: opened, and turned through 10 slices."""
    image, labels = render(PhantomSpec(shape=(40, 512, 512), spacing_mm=(2.5, 0.6, 0.6)))
    grid = image.grid.with_spacing((0.5, 0.6, 0.6))
    with tempfile.TemporaryDirectory() as folder:
        path, earlier = Path(folder) / "large.nii.gz", Path(folder) / "labels.nii.gz"
        write_volume(Volume(np.repeat(image.data, 5, axis=0).astype(np.float32), grid), path)
        write_labels(LabelMap(np.repeat(labels.data, 5, axis=0), grid, labels.scheme), earlier)
        print("shape", grid.shape, flush=True)
        started = time.perf_counter()
        with page_of({"large": path}, Segmenter.from_pretrained, earlier=(earlier, labels.scheme)) as (page, desk):
            print(f"opened in {time.perf_counter() - started:.1f} s; {desk.shelf.nbytes / 2**20:.0f} MiB at hand in the server", flush=True)
            print(f"a slice takes {statistics.median(page.driver.execute_async_script(_TURN) for _ in range(10)):.0f} ms{others()}")


def pictures(cases: Path, folder: Path) -> None:
    """Two screenshots, one light and one dark."""
    folder.mkdir(parents=True, exist_ok=True)
    segmenter = Segmenter.from_pretrained("cpu")
    images = {name.replace("/", "-"): cases / f"{name}_image.nii.gz" for name in SCANS}
    with page_of(images, lambda: segmenter, "1500,1000") as (page, _):
        page.until("view.list.left === 0 && view.list.scans.every((row) => row.thumbnail !== null)")
        page.js("open('s1')")
        page.until("view.scan && view.id === 's1' && document.querySelector('#tables tr')")
        save(page, folder / "look.jpg", "light")
        place = page.place("L3-L4")
        page.turn_to(place)
        page.press("[data-tool=take]")
        page.js("viewer.go(arguments[0])", place)
        page.js("act(viewer.point())")
        page.until("view.preview && !view.busy")
        save(page, folder / "preview.jpg", "dark")


def save(page: Page, path: Path, scheme: str) -> None:
    """Take a screenshot on a light or dark system."""
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    time.sleep(1.0)
    Image.open(io.BytesIO(page.driver.get_screenshot_as_png())).convert("RGB").save(path, quality=88, optimize=True)
    print(path, path.stat().st_size // 1024, "KiB")


def main() -> None:
    """Do what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="[CASES] WHAT")
    parser.add_argument("--times", type=int, default=21)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.words == ["large"]:
        large()
    elif options.words[1] == "walk":
        walk(Path(options.words[0]))
    elif options.words[1] == "rename":
        rename(Path(options.words[0]), options.times)
    else:
        pictures(Path(options.words[0]), Path(options.words[2]))


if __name__ == "__main__":
    main()
