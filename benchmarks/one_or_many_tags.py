"""One tag, five tags or the cascade, from the same few scans in the same time; and what wrongly oriented copies cost.

    python benchmarks/one_or_many_tags.py DATA OUT [--minutes 3] [--arms one-tag five-tags ...]

DATA is a folder with cases.tsv that holds the data set `chu`. Every arm trains on its training cases with the same seed and the same
CPU time (a timed start tells how many steps fit; the cascade's two stages share the time) and is scored on its validation cases.
The arms that train on wrongly oriented copies take as many steps as those that do not.
OUT gets a folder for each arm, results.json, and a picture of every validation case; arms that are done are not trained again.
``docs/one-or-many-tags.md`` quotes the result.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cascade import LabelMap, Segmenter, Volume
from cascade.datasets.axes import mirrored
from cascade.errors import NoSpineError, NumberingError
from cascade.evaluation.metrics import dice
from cascade.io.cases import Case, read_cases
from cascade.io.nifti import read_label_array, write_labels
from cascade.labels import CASCADE, VERSE, LabelScheme
from cascade.networks.checkpoint import Checkpoint, load_checkpoint
from cascade.networks.patches import patch_shape_for, predict_at, tiles
from cascade.networks.preprocess import network_input
from cascade.networks.spec import StageSpec
from cascade.report.picture import curved_sagittal, to_grey, window
from cascade.stage1_spine import target as stage1
from cascade.stage2_levels import target as stage2
from cascade.terminology import colour_of
from cascade.training.augmentation import Augmentation
from cascade.training.examples import Example, Target, prepare_examples
from cascade.training.loop import train
from cascade.training.recipe import PatchChoice, Recipe
from cascade.training.shape import fit_naming, levels_of
from cascade.volume import FloatArray, resample_array

LUMBAR = ("L1", "L2", "L3", "L4", "L5")
ONE_TAG = LabelScheme("one-tag", {"spine": 1}, "all bodies in one")
#: A body is mixed if its second tag fills this share of what is tagged in it.
MIXED_SHARE = 0.1
#: The whole scan in one patch; the cascade's second stage takes patches along the spine.
FINE_MM, COARSE_MM = (5.0, 3.0, 3.0), (5.0, 6.0, 6.0)
WHOLE_SCAN, COARSE, ALONG_SPINE = PatchChoice((16, 128, 128), 2), PatchChoice((16, 64, 64), 2), PatchChoice((16, 48, 64), 4)
#: No cut fields of view, metal, ghosts or other contrasts, which these scans do not have.
VARIED = Augmentation(cut_probability=0, void_probability=0, ghost_probability=0, invert_probability=0)
_TIMED_STEPS = 4
HALF_REVERSED = "-half-reversed"


@dataclass(frozen=True)
class Part:
    """One network of an arm, and its share of the arm's time."""

    spec: StageSpec
    target: Target
    patch: PatchChoice
    share: float = 1.0


@dataclass(frozen=True)
class Arm:
    """What is trained, the labels that come out, and whether half of the training cases are as they were downloaded."""

    parts: tuple[Part, ...]
    scheme: LabelScheme
    half_reversed: bool = False


@dataclass(frozen=True)
class Reversed(Case):
    """A case as it was downloaded: the second axis runs against the header."""

    def load(self) -> tuple[Volume, LabelMap]:
        """Read and reverse."""
        return mirrored(*super().load(), axis=1)


def main() -> None:
    """Train what is not trained yet, predict what is not predicted yet, score, draw and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=3.0, help="CPU time of each arm")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = {split: [c for c in read_cases(options.data, split) if c.dataset == "chu"] for split in ("train", "val")}
    print(f"{len(cases['train'])} training cases, {len(cases['val'])} validation cases")
    variants = {"true-axes": cases["val"], "reversed-axis": [Reversed(**vars(case)) for case in cases["val"]]}
    results = {}
    for arm in options.arms:
        folder = options.out / arm
        if not (folder / "training.json").is_file():
            straight = options.out / arm.removesuffix(HALF_REVERSED) / "training.json"
            steps = json.loads(straight.read_text(encoding="utf-8"))["steps"] if straight.is_file() else None
            fit(ARMS[arm], cases["train"], folder, options.minutes * 60, steps)
        results[arm] = {"training": json.loads((folder / "training.json").read_text(encoding="utf-8"))}
        results[arm] |= {name: [score(predict(arm, folder / name, c), c) for c in scans] for name, scans in variants.items()}
        print(row(arm, results[arm]), flush=True)
    (options.out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    for name, scans in variants.items():
        for case in scans:
            answers = {arm: predict(arm, options.out / arm / name, case) for arm in options.arms}
            draw(case, answers, options.out / f"{case.name}-{name}.png")


# --- the arms ---------------------------------------------------------------------------------------------------------------------


def one_tag(labels: LabelMap) -> NDArray[np.uint8]:
    """Every labelled body is tag 1, all the rest background, as one who has this data set alone would have it."""
    return np.where(labels.data > 0, 2, 1).astype(np.uint8)


def five_tags(labels: LabelMap) -> NDArray[np.uint8]:
    """L1 to L5 are five tags, all the rest background."""
    bits = np.ones(labels.grid.shape, dtype=np.uint8)
    for tag, name in enumerate(LUMBAR, start=1):
        bits[labels[name]] = 1 << tag
    return bits


def bodies(labels: LabelMap) -> NDArray[np.uint8]:
    """Stage 2's target where a data set knows neither discs nor sacrum: these are background."""
    allowed = stage2.target(labels)
    return np.where(allowed & 3, allowed & 3, allowed).astype(np.uint8)


def network(stage: str, classes: Sequence[str], spacing_mm: tuple[float, float, float], patch: PatchChoice) -> StageSpec:
    """The same U-Net for every part but for its number of classes."""
    arguments = {
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": len(classes),
        "channels": [8, 16, 32, 64, 128],
        "strides": [[1, 2, 2], 2, 2, 2],
        "num_res_units": 2,
        "norm": "instance",
    }
    return StageSpec(stage, "UNet", arguments, tuple(classes), spacing_mm, patch.shape, stride=(8, 16, 16))


_ONE = (Part(network("stage2_levels", ("background", "spine"), FINE_MM, WHOLE_SCAN), one_tag, WHOLE_SCAN),)
_FIVE = (Part(network("stage2_levels", ("background", *LUMBAR), FINE_MM, WHOLE_SCAN), five_tags, WHOLE_SCAN),)
_CASCADE = (
    Part(network("stage1_spine", ("background", "column"), COARSE_MM, COARSE), stage1.target, COARSE, share=0.25),
    Part(network("stage2_levels", stage2.CLASSES, FINE_MM, ALONG_SPINE), bodies, ALONG_SPINE, share=0.75),
)
ARMS = {
    "one-tag": Arm(_ONE, ONE_TAG),
    "five-tags": Arm(_FIVE, CASCADE),
    "cascade": Arm(_CASCADE, VERSE),
    f"five-tags{HALF_REVERSED}": Arm(_FIVE, CASCADE, half_reversed=True),
    f"cascade{HALF_REVERSED}": Arm(_CASCADE, VERSE, half_reversed=True),
}


# --- training ---------------------------------------------------------------------------------------------------------------------


def fit(arm: Arm, cases: Sequence[Case], folder: Path, seconds: float, steps: Sequence[int] | None) -> None:
    """Train the parts of an arm for `steps`, or as many as fit into `seconds`, and note steps and CPU time."""
    if arm.half_reversed:
        cases = [Reversed(**vars(case)) if i < len(cases) // 2 else case for i, case in enumerate(cases)]
    naming = fit_naming(levels_of(case.load()[1]) for case in cases).to_json()
    notes: dict[str, Any] = {"cases": len(cases), "steps": [], "cpu_seconds": []}
    for n, part in enumerate(arm.parts):
        spec = replace(part.spec, naming=naming)
        examples, _ = prepare_examples(cases, spec, part.target)
        recipe = Recipe(spec, _TIMED_STEPS, (part.patch,), learning_rate=4e-3, augmentation=VARIED)
        count = steps[n] if steps else round(seconds * part.share * _TIMED_STEPS / _cpu_seconds(examples, recipe))
        recipe = replace(recipe, steps=count)
        print(f"{spec.stage}: {recipe.steps} steps", flush=True)
        start = time.process_time()
        train(examples, recipe, folder)
        notes["steps"].append(recipe.steps)
        notes["cpu_seconds"].append(round(time.process_time() - start))
        (folder / "state.pt").unlink()
    (folder / "training.json").write_text(json.dumps(notes) + "\n", encoding="utf-8")


def _cpu_seconds(examples: Sequence[Example], recipe: Recipe) -> float:
    """CPU time of a few steps, after one that warms up."""
    with tempfile.TemporaryDirectory() as folder:
        train(examples, replace(recipe, steps=1), Path(folder))
        start = time.process_time()
        train(examples, recipe, Path(folder))
    return time.process_time() - start


# --- prediction and scores --------------------------------------------------------------------------------------------------------


def predict(arm: str, folder: Path, case: Case) -> LabelMap:
    """The arm's labels of a case, computed once and kept in `folder`."""
    path = folder / f"{case.name}_labels.nii.gz"
    if not path.is_file():
        write_labels(_predicted(ARMS[arm], folder.parent, case.load()[0]), path)
    values, grid = read_label_array(path)
    return LabelMap(values.astype(np.uint8), grid, ARMS[arm].scheme)


def _predicted(arm: Arm, weights: Path, scan: Volume) -> LabelMap:
    """Labels of a scan; none where the cascade finds no spine, or no chain that can be named."""
    levels = load_checkpoint("stage2_levels", weights)
    if len(arm.parts) == 1:
        return direct(scan, levels, arm.scheme)
    try:
        return Segmenter(load_checkpoint("stage1_spine", weights), levels).segment(scan, scheme=arm.scheme).labels
    except (NoSpineError, NumberingError):
        return LabelMap(np.zeros(scan.grid.shape, dtype=np.uint8), scan.grid, arm.scheme)


def direct(scan: Volume, checkpoint: Checkpoint, scheme: LabelScheme) -> LabelMap:
    """One network over the whole scan; each voxel takes the likeliest tag."""
    working = network_input(scan, checkpoint.spec)
    patch = patch_shape_for(working.grid.shape, checkpoint.spec)
    probabilities = predict_at(working.data, tiles(working.grid.shape, patch), patch, checkpoint)
    target = scan.grid.reoriented(checkpoint.spec.axcodes)
    tags = np.stack([resample_array(p, working.grid, target, order=1) for p in probabilities]).argmax(axis=0)
    return LabelMap(tags.astype(np.uint8), target, scheme).reoriented(scan.grid.axcodes)


def score(prediction: LabelMap, case: Case) -> dict[str, Any]:
    """Dice of all bodies as one (those that the arm has a tag for), of each tag, and the bodies whose tags are mixed or wrong."""
    reference = case.load()[1]
    known = [name for name in reference.structures if name in LUMBAR or prediction.scheme is not CASCADE]
    bodies_there = np.isin(reference.data, [reference.scheme[name] for name in known])
    if prediction.scheme is ONE_TAG:
        return {"case": case.name, "all": dice(prediction.data > 0, bodies_there)}
    shares = {name: tag_shares(prediction, reference[name]) for name in LUMBAR}
    return {
        "case": case.name,
        "all": dice(np.isin(prediction.data, [prediction.scheme[name] for name in known]), bodies_there),
        "tags": {name: dice(prediction[name], reference[name]) for name in LUMBAR},
        "mixed": [name for name, share in shares.items() if sum(part >= MIXED_SHARE for part in share.values()) > 1],
        "wrong": [name for name, share in shares.items() if max(share, key=lambda tag: share[tag], default="") != name],
    }


def tag_shares(prediction: LabelMap, body: NDArray[np.bool_]) -> dict[str, float]:
    """The tags inside a body, as shares of what is tagged there."""
    counts = np.bincount(prediction.data[body])
    counts[0] = 0
    return {prediction.scheme.structure(int(tag)): counts[tag] / counts.sum() for tag in np.flatnonzero(counts)}


def row(arm: str, result: dict[str, Any]) -> str:
    """One line of the table."""
    training = result["training"]
    cells = [arm, "+".join(map(str, training["steps"])), f"{sum(training['cpu_seconds']) / 60:.1f} min"]
    for name in ("true-axes", "reversed-axis"):
        scores = result[name]
        cells.append(f"{np.mean([s['all'] for s in scores]):.3f}")
        if "tags" in scores[0]:
            cells.append(f"{np.mean([list(s['tags'].values()) for s in scores]):.3f}")
            count = len(scores) * len(LUMBAR)
            cells += [f"{sum(len(s[what]) for s in scores)} of {count}" for what in ("mixed", "wrong")]
        else:
            cells += ["-"] * 3
    return f"| {' | '.join(cells)} |"


# --- pictures ---------------------------------------------------------------------------------------------------------------------


def draw(case: Case, answers: Mapping[str, LabelMap], path: Path) -> None:
    """The reference and the answer of each arm on one curved cut, side by side."""
    scan, reference = case.load()
    line = np.array([reference.grid.to_world(np.argwhere(reference[name]).mean(axis=0)) for name in ("T11", "T12", *LUMBAR)])
    panels = [panel(title, scan, labels, line) for title, labels in ({"reference": reference} | dict(answers)).items()]
    Image.fromarray(np.hstack(panels)).save(path, optimize=True)


def panel(title: str, scan: Volume, labels: LabelMap, line: FloatArray) -> NDArray[np.uint8]:
    """One cut in colour, cropped to the spine, with its title."""
    image, tags = curved_sagittal(scan, labels, line)
    grey = to_grey(image, window(image))
    colours = np.array([(0, 0, 0), *(tag_colour(labels.scheme, tag) for tag in range(1, int(tags.max()) + 1))])
    tinted = np.repeat(grey[..., None], 3, axis=2).astype(float)
    tinted[tags > 0] = 0.5 * tinted[tags > 0] + 0.5 * colours[tags[tags > 0]]
    middle = tinted.shape[1] // 2
    picture = Image.fromarray(tinted[:, middle - 130 : middle + 130].astype(np.uint8))
    ImageDraw.Draw(picture).text((6, 4), title, fill=(255, 255, 255), font=ImageFont.load_default(size=15))
    return np.asarray(picture)


def tag_colour(scheme: LabelScheme, tag: int) -> tuple[int, int, int]:
    """The colour of a tag; one tag for all bodies is green."""
    return (0, 158, 115) if scheme is ONE_TAG else colour_of(scheme.structure(tag)) if tag in scheme.ids.values() else (0, 0, 0)


if __name__ == "__main__":
    main()
