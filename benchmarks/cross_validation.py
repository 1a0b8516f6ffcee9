"""Cross-validate a shortened stage 2 over data sets of which a split keeps too few scans apart to judge.

    python benchmarks/cross_validation.py DATA OUT [--judged chu zukic menezes] [--fold 0] [--threads 1] [--compile]

DATA is a folder with cases.tsv; its splits do not count here. The patients of the judged data sets are dealt to folds. One network is
trained on the other data sets, then for each fold one goes on from there with all scans but those of the fold, which it is scored on:
no scan is scored with weights that have seen it. As in the packaged weights, discs are weighed at the end. Stage 1, which only says
where to look, is the packaged one, and has seen some.
OUT gets the weights, labels of every judged scan, and an evaluation; what is done is not done again, and what was stopped goes on.
``--fold`` leaves the others out, so that folds can run side by side. ``weights/README.md`` quotes the result.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from cascade import Segmenter
from cascade.errors import CascadeError
from cascade.evaluation.page import write_page
from cascade.evaluation.pairs import Pair
from cascade.evaluation.results import write_table
from cascade.evaluation.summary import evaluate_all, write_summary
from cascade.io.cases import Case, read_cases
from cascade.labels import VERSE
from cascade.networks.checkpoint import load_checkpoint
from cascade.stages import STAGES
from cascade.training.examples import prepare_examples
from cascade.training.loop import RunOptions, train
from cascade.training.mean import write_mean
from cascade.training.recipe import PatchChoice, Recipe

#: About half the voxels a step of the shipped recipe, fewer steps, and no self-training; in the end all data sets are drawn equally often.
PATCHES = (PatchChoice((16, 128, 128), 2), PatchChoice((32, 96, 96), 2), PatchChoice((48, 128, 128), 1))
SHARED = {"steps": 1000, "learning_rate": 2e-3, "seed": 11, "patches": PATCHES}
LEGS = (
    {"steps": 2000, "learning_rate": 1.5e-3, "seed": 12, "patches": PATCHES},
    {"steps": 3500, "learning_rate": 1.2e-3, "seed": 13, "patches": PATCHES, "balance": 1.0},
    {"steps": 3000, "learning_rate": 1e-3, "seed": 14, "patches": PATCHES, "balance": 1.0},
    {"steps": 5000, "learning_rate": 1e-3, "seed": 15, "patches": PATCHES, "balance": 1.0},
)
#: Factors on the odds at the end, chosen on scans of the training.
ODDS = {"disc": 0.45}


def main() -> None:
    """Train what is not trained yet, segment the scans of each fold, and score them together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--judged", nargs="+", metavar="DATASET", default=["chu", "zukic", "menezes"])
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--fold", type=int, help="only this one, counted from 0")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads or torch.get_num_threads())

    cases = read_cases(options.data)
    folds = dealt([case for case in cases if case.dataset in options.judged], options.folds)
    shared = fit(options.out / "shared", [c for c in cases if c.dataset not in options.judged], SHARED | {"compiled": options.compile})
    pairs = []
    for number, held_out in enumerate(folds):
        if options.fold in (None, number):
            seen = [case for case in cases if case not in held_out]
            weights = shared
            for leg, how in enumerate(LEGS, start=1):
                weights = fit(options.out / f"fold-{number}-leg-{leg}", seen, how | {"compiled": options.compile}, start=weights)
            write_mean("stage2_levels", [weights], options.out / f"fold-{number}", ODDS)
            weights = options.out / f"fold-{number}"
            pairs += [segmented(case, weights, options.out / "labels") for case in tqdm(held_out, desc=f"fold {number}")]
    evaluation = evaluate_all(pairs)
    for group in evaluation.groups:
        shown = {name: figure for name, figure in group.figures.items() if name in ("dice", "matched_dice", "all_right", "extra")}
        print(
            group.dataset, group.kind, f"{group.cases} scans, {group.patients} patients", *(f"{n} {f.mean:.3f}" for n, f in shown.items())
        )
    write_table(evaluation.results, options.out / "results.csv")
    write_summary(evaluation, options.out / "summary.json")
    write_page(evaluation, options.out / "report.html")


def dealt(cases: Sequence[Case], folds: int) -> list[list[Case]]:
    """Deal the patients of each data set to the folds in turn."""
    dealt_to: dict[tuple[str, str], int] = {}
    for dataset in sorted({case.dataset for case in cases}):
        patients = sorted({case.patient for case in cases if case.dataset == dataset})
        dealt_to |= {(dataset, patient): number % folds for number, patient in enumerate(patients)}
    return [[case for case in cases if dealt_to[case.dataset, case.patient] == fold] for fold in range(folds)]


def fit(folder: Path, cases: Sequence[Case], how: Mapping[str, Any], start: Path | None = None) -> Path:
    """Train stage 2 on `cases` into `folder`, unless that is done; go on where it was stopped."""
    stage = STAGES["stage2"]
    recipe = Recipe.read(stage.recipe, **how)
    if _steps_done(folder) < recipe.steps:
        examples, _ = prepare_examples(cases, recipe.spec, stage.target)
        recipe = replace(recipe, spec=replace(recipe.spec, naming=stage.naming(case.load_labels() for case in cases)))
        init = load_checkpoint("stage2_levels", start).network if start else None
        with tqdm(total=recipe.steps, desc=folder.name, mininterval=5) as bar:
            train(examples, recipe, folder, RunOptions(resume=True, init=init, progress=lambda step, *_: bar.update(step - bar.n)))
    return folder


def _steps_done(folder: Path) -> int:
    try:
        return int(load_checkpoint("stage2_levels", folder).spec.training["steps_done"])
    except CascadeError:
        return 0


def segmented(case: Case, weights: Path, folder: Path) -> Pair:
    """Segment one scan with the weights of its fold, unless that is done; a scan without result counts as empty."""
    path = folder / f"{case.dataset}_{case.name}.nii.gz"
    try:
        if not path.is_file():
            stage1, stage2 = load_checkpoint("stage1_spine"), load_checkpoint("stage2_levels", weights)
            Segmenter(stage1, stage2).segment(case.image, scheme=VERSE).save(path)
        return Pair(case, path, VERSE)
    except CascadeError as problem:
        return Pair(case, None, VERSE, str(problem))


if __name__ == "__main__":
    main()
