"""``cascade-train``: weights from labelled scans."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cascade._version import __version__
from cascade.cli import console
from cascade.cli.parser import Parser
from cascade.labels import SCHEMES
from cascade.notices import Notice, count_of

if TYPE_CHECKING:
    from cascade.networks.checkpoint import Checkpoint
    from cascade.training.recipe import Recipe

_STAGES = ("stage1", "stage2")
_EXAMPLES = """\
examples:
  cascade-train stage1 --data cases/ --out runs/spine                     both stages from one folder of cases
  cascade-train stage2 --data cases/cases.tsv --out runs/levels --minutes 110
  cascade-train stage2 --data cases/ --out runs/levels --resume           go on after a kill, as if it had not happened
  cascade-train stage2 --data mine/ --out runs/mine --init runs/levels    start from weights
  cascade-train stage2 --mean runs/before runs/levels --odds disc=0.6 --out runs/both               the mean of the weights of two runs
  torchrun --nproc-per-node 4 -m cascade.cli.train stage2 --data cases/ --out runs/levels           on four GPUs
  cascade-segment scan.nii.gz -o levels.nii.gz --weights runs/both        use stage1_spine.* and stage2_levels.* of a folder

A table has the tab-separated column case and, if there are, dataset, patient, split, scheme; the files are
<dataset>/<case>_image.nii.gz and <case>_labels.nii.gz beside it. A folder without a table holds such pairs.
<case>_points.nii.gz or .tsv names points of levels, beside labels or instead of them. Scans may be single slices.
Structures that a scan does not label are not taken for background.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.odds and not options.mean:
        parser.error("--odds needs --mean")
    if options.teacher and options.stage != "stage2":
        parser.error("--teacher needs stage2")
    return console.run(lambda: _write_mean(options) if options.mean else _train(options))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "cascade-train",
        "Train one stage of the cascade on labelled scans; partly labelled ones are welcome.",
        _EXAMPLES,
    )
    parser.add_argument("stage", choices=_STAGES, help="stage1: one tag for the column; stage2: body, disc, sacrum, canal")
    job = parser.add_mutually_exclusive_group(required=True)
    job.add_argument("--data", type=Path, nargs="+", metavar="DIR", help="cases.tsv, its folder, or a folder of image and label pairs")
    job.add_argument("--mean", type=Path, nargs="+", metavar="DIR", help="no training: the mean of the weights in these folders")
    parser.add_argument(
        "--odds",
        type=_class_factor,
        action="append",
        default=[],
        metavar="CLASS=FACTOR",
        help="with --mean: weigh a class before all compete",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, state and log")
    parser.add_argument("--recipe", type=Path, help="JSON recipe (default: the one of the shipped weights)")
    parser.add_argument("--scheme", choices=tuple(SCHEMES), default="verse", help="numbers of the label files where the table names none")
    parser.add_argument("--split", default="train", help="use the cases of this split and those without one (default: train)")
    parser.add_argument("--steps", type=console.positive, help="length of the schedule (default: the recipe's)")
    parser.add_argument("--minutes", type=_minutes, default=math.inf, help="stop after this time, ready for --resume")
    parser.add_argument("--resume", action="store_true", help="go on from the state in OUT")
    parser.add_argument("--init", type=Path, metavar="DIR", help="start from the weights in this folder")
    parser.add_argument(
        "--teacher", type=Path, metavar="DIR", help="self-training: stage 2 weights whose sure answers fill what the labels leave open"
    )
    parser.add_argument("--learning-rate", type=float, help="peak learning rate (default: the recipe's)")
    parser.add_argument("--seed", type=console.positive, help="of patches and their order (default: the recipe's)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--threads", type=console.positive, metavar="N", help="CPU threads (default: all cores)")
    parser.add_argument("--compile", action="store_true", help="compile the network: minutes at first, then each step is a fifth faster")
    parser.add_argument("--version", action="version", version=f"cascade {__version__}")
    return parser


def _minutes(text: str) -> float:
    minutes = float(text)
    if not minutes >= 0:
        raise ValueError(text)
    return minutes


def _class_factor(text: str) -> tuple[str, float]:
    name, _, factor = text.partition("=")
    return name, float(factor)


def _write_mean(options: argparse.Namespace) -> int:
    from cascade.stages import STAGES
    from cascade.training.mean import write_mean

    spec = write_mean(STAGES[options.stage].name, options.mean, options.out, dict(options.odds))
    console.tell(f"{options.out / spec.stage}.safetensors\tmean of {len(options.mean)}")
    return console.DONE


def _train(options: argparse.Namespace) -> int:
    import torch

    from cascade.io.cases import read_cases
    from cascade.networks.checkpoint import choose_device, load_checkpoint
    from cascade.stages import STAGES
    from cascade.training.examples import prepare_examples
    from cascade.training.loop import RunOptions, train
    from cascade.training.ranks import joined, rank
    from cascade.training.recipe import Recipe
    from cascade.training.selftraining import answer_open_questions
    from cascade.training.shape import with_models_of
    from cascade.training.spineless import spineless_examples
    from cascade.training.spines import measured_spines
    from cascade.training.widen import widened

    if options.threads:
        torch.set_num_threads(options.threads)
    stage, wanted_device = STAGES[options.stage], choose_device(options.device)
    overrides = {"steps": options.steps, "seed": options.seed, "learning_rate": options.learning_rate, "compiled": options.compile or None}
    recipe = Recipe.read(options.recipe or stage.recipe, **overrides)
    start = load_checkpoint(stage.name, options.init) if options.init else None
    init = widened(start, recipe.spec) if start else None
    teacher = load_checkpoint(stage.name, options.teacher) if options.teacher else None
    recipe = _with_origins(recipe, start, teacher, own=options.recipe is not None)
    cases = [case for source in options.data for case in read_cases(source, options.split, options.scheme)]
    console.say(f"preparing {count_of(len(cases), 'case')} ...")
    examples, problems = prepare_examples(cases, recipe.spec, stage.target)
    for problem in problems:
        console.warn(options.data[0], Notice("case-not-used", None, problem))
    for example in examples:
        for notice in example.notices:
            console.warn(example.case.image, notice)
    if teacher:
        console.say("asking the teacher what the labels leave open ...")
        examples = answer_open_questions(examples, teacher)
    naming, unfitted = with_models_of(start.spec.naming if start else {}, stage.naming(measured_spines(examples, recipe.spec.classes)))
    for model in unfitted:
        console.say(f"too few spines for {model}: {'that of --init stays' if naming[model] else 'names go without it'}")
    recipe = dataclasses.replace(recipe, spec=dataclasses.replace(recipe.spec, naming=naming))
    examples += spineless_examples(recipe.spec, recipe.spineless, recipe.seed)
    with joined(wanted_device) as device, contextlib.closing(_Progress()) as progress:
        run = RunOptions(device, options.resume, init, options.minutes * 60, progress)
        spec = train(examples, recipe, options.out, run)
        first = not rank()
    if first:
        console.tell(f"{options.out / spec.stage}.safetensors\tstep {spec.training['steps_done']} of {recipe.steps}")
    return console.DONE


def _with_origins(recipe: Recipe, start: Checkpoint | None, teacher: Checkpoint | None, *, own: bool) -> Recipe:
    """Record where the run starts; what the shipped recipe tells of earlier runs is true of weights that go on from them only."""
    earlier = start.spec.training.get("recipe", {}).get("legs", ()) if start else ()
    started_from, taught_by = (one.spec.checkpoint_sha256 if one else "" for one in (start, teacher))
    return dataclasses.replace(recipe, legs=recipe.legs if own else tuple(earlier), started_from=started_from, teacher=taught_by)


class _Progress:
    """A progress bar on stderr with the smoothed loss and the time left."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._smooth = math.nan

    def __call__(self, step: int, steps: int, loss: float) -> None:
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(total=steps, initial=step - 1, unit="step", file=sys.stderr, mininterval=5.0, dynamic_ncols=True)
        self._smooth = loss if math.isnan(self._smooth) else 0.98 * self._smooth + 0.02 * loss
        self._bar.set_postfix(loss=f"{self._smooth:.3f}", refresh=False)
        self._bar.update(1)

    def close(self) -> None:
        """End the bar's line, so that what follows has its own."""
        if self._bar is not None:
            self._bar.close()


if __name__ == "__main__":
    sys.exit(main())
