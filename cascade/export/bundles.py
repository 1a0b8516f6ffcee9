"""Writing MONAI bundles: folders with configs, weights and a description, which ``python -m monai.bundle`` runs."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any

from cascade._version import __version__
from cascade.bundle.weights import save_weights
from cascade.export.configs import configs
from cascade.export.metadata import metadata
from cascade.export.networks import write_torchscript
from cascade.export.plans import CASCADE, LEVELS, PLANS, SPINE, BundlePlan
from cascade.io.files import replacing
from cascade.networks.checkpoint import Checkpoint, load_checkpoint, packaged_weights
from cascade.networks.spec import CASCADE_STAGES, StageSpec

_MORE = {
    SPINE.name: "",
    LEVELS.name: f"""
The spine has to be located first: run the bundle `{SPINE.name}` on the same folder, and name its output with `--spine_dir` (by default
`../{SPINE.name}/eval`). `{CASCADE.name}` does both and names the levels.
""",
    CASCADE.name: """
`--scheme` chooses other label numbers (`cascade-extended`, `verse`, `spider`, `totalspineseg`, `mrspineseg`, `totalsegmentator_mr`). The
labels are those of `cascade-segment`, but for single voxels where two classes are equally likely and rounding decides; it also reads
DICOM and takes what you know about the levels.
""",
}
_SCORES = {
    "ScoreClasses": "`results.csv`: Dice of each class where the labels tell it",
    "ScoreLevels": "`results.csv`, `summary.json`, `report.html`: Dice, surface distances, levels; label numbers of `--scheme verse`",
}


def export_bundles(out: Path, weights: Path | None = None) -> Iterator[Path]:
    """Write the three bundles into folders of `out`, and yield each folder when it is done.

    Parameters
    ----------
    out : Path
    weights : Path, optional
        Folder of the checkpoints; by default the packaged one.

    Raises
    ------
    CheckpointError
        A checkpoint is missing or altered.
    ExportError
        TorchScript does not compute what torch does.
    OutputError
        `out` cannot be written.
    """
    checkpoints = {stage: load_checkpoint(stage, weights) for stage in CASCADE_STAGES}
    card = (weights or packaged_weights()) / "README.md"
    for plan in PLANS:
        write_bundle(plan, checkpoints, out / plan.name, card)
        yield out / plan.name


def write_bundle(plan: BundlePlan, checkpoints: Mapping[str, Checkpoint], folder: Path, card: Path) -> None:
    """Write one bundle.

    Parameters
    ----------
    plan : BundlePlan
    checkpoints : mapping of str to Checkpoint
        By stage, on the CPU.
    folder : Path
    card : Path
        Model card of the weights; left out if there is none.
    """
    specs = {stage: checkpoint.spec for stage, checkpoint in checkpoints.items()}
    files = {name: _json(content) for name, content in {"metadata": metadata(plan, specs), **configs(plan, specs)}.items()}
    for name, text in files.items():
        _write(folder / "configs" / f"{name}.json", text)
    for name in ("metadata_schema.json", "logging.conf"):
        _write(folder / "configs" / name, _resource(name))
    for model, stage in plan.models.items():
        save_weights(checkpoints[stage], folder / "models" / f"{model}.pt")
        inside = {f"{name}.json": text.encode() for name, text in files.items()} | {"spec.json": specs[stage].to_json().encode()}
        write_torchscript(checkpoints[stage], folder / "models" / f"{model}.ts", inside)
    _write(folder / "docs" / "README.md", _readme(plan, specs[plan.stage]))
    if card.is_file():
        _write(folder / "docs" / "model_card.md", card.read_text(encoding="utf-8"))
    _write(folder / "LICENSE", licence())


def licence() -> str:
    """Return the text of the licence: that of the installed package, or of the source tree."""
    beside = Path(__file__).parents[2] / "LICENSE"
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    files = importlib.metadata.files("cascade-spine") or ()
    return next(file for file in files if file.name == "LICENSE").read_text(encoding="utf-8")


def _readme(plan: BundlePlan, spec: StageSpec) -> str:
    train_one = " It trains the second network; the first is trained by its own bundle." if plan.second_stage else ""
    spine = "| `models/spine.*` | the same three files of the network that finds the spine |\n" if plan.second_stage else ""
    normalisation = spec.normalisation
    return Template(_resource("bundle_readme.md")).substitute(
        title=plan.title,
        description=plan.description,
        result=plan.result,
        name=plan.name,
        version=__version__,
        more=_MORE[plan.name],
        scores=_SCORES[plan.scorer],
        training=train_one,
        files=spine,
        axcodes=spec.axcodes,
        spacing=" x ".join(f"{s:g}" for s in spec.spacing_mm),
        percentiles=f"{normalisation.low_percentile:g} and {normalisation.high_percentile:g}",
        classes=", ".join(spec.classes),
    )


def _resource(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=4) + "\n"


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
