"""Trainers: each stage goes on from the weights in use, on the labels that were submitted."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.train import TrainTask

from cascade import CascadeError, InputError
from cascade.io.cases import Case, write_case
from cascade.io.formats import read_labels_file, read_scan_file
from cascade.labels import LabelScheme
from cascade.networks.checkpoint import choose_device, load_checkpoint
from cascade.networks.spec import CASCADE_STAGES
from cascade.stages import STAGES
from cascade.training.examples import prepare_examples
from cascade.training.loop import RunOptions, train
from cascade.training.recipe import Recipe
from cascade.training.widen import widened
from cascade.volume import LabelMap, label_dtype

from lib.service import Service

logger = logging.getLogger(__name__)


class StageTrainer(TrainTask):
    """Train one stage with `cascade.training` and publish its weights for the infer tasks.

    Parameters
    ----------
    stage : {"stage1", "stage2"}
    service : Service
    """

    def __init__(self, stage: str, service: Service) -> None:
        super().__init__(f"{stage} of the cascade, from the weights in use, on the submitted labels")
        self._stage, self._service = stage, service
        self._folder = service.published / "training" / stage

    def config(self) -> dict[str, Any]:
        """What a client may set: steps, peak learning rate, a recipe's file, device, and whether the weights are used from then on."""
        return {"steps": 200, "learning_rate": 2e-4, "recipe": "", "device": self._service.device, "publish": True}

    def stats(self) -> dict[str, Any]:
        """Steps and loss of the last run, as far as there was one."""
        path = self._folder / "stats.json"
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return content

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train on every image that has a final label."""
        options = {**self.config(), **{key: value for key, value in request.items() if value not in (None, "")}}
        stage, device = STAGES[self._stage], options["device"]
        recipe = Recipe.read(
            Path(options["recipe"] or stage.recipe), steps=int(options["steps"]), learning_rate=float(options["learning_rate"])
        )
        cases = submitted_cases(datastore, self._folder / "cases", self._service.scheme)
        examples, problems = prepare_examples(cases, recipe.spec, stage.target)
        start = load_checkpoint(recipe.spec.stage, self._service.weights)
        recipe = dataclasses.replace(recipe, spec=dataclasses.replace(recipe.spec, naming=start.spec.naming))
        same = dict(start.spec.network_arguments) | {"out_channels": 0} == dict(recipe.spec.network_arguments) | {"out_channels": 0}
        losses: list[float] = []

        def note(step: int, steps: int, loss: float) -> None:
            losses.append(loss)
            logger.info("step %d of %d, loss %.4f", step, steps, loss)

        chosen = choose_device(device if isinstance(device, str) else device[0])
        run = RunOptions(chosen, init=widened(start, recipe.spec) if same else None, progress=note)
        spec = train(examples, recipe, self._folder, run)
        stats = {"stage": spec.stage, "cases": len(examples), "not_used": problems, "steps": len(losses), "loss": losses[-1:]}
        (self._folder / "stats.json").write_text(json.dumps(stats), encoding="utf-8")
        if options["publish"]:
            self._publish(spec.stage)
        return stats

    def _publish(self, trained: str) -> None:
        """Put the new weights, and those of the other stage, where the infer tasks look."""
        for stage in CASCADE_STAGES:
            source = self._folder if stage == trained else self._service.weights
            for suffix in (".safetensors", ".json"):
                target = self._service.published / f"{stage}{suffix}"
                if source != self._service.published:
                    shutil.copyfile(source / target.name, target)


def submitted_cases(datastore: Datastore, folder: Path, scheme: LabelScheme) -> list[Case]:
    """Write the images that have a final label as training cases; one that cannot be used is left out with a line in the log.

    Raises
    ------
    InputError
        There is none.
    """
    cases = []
    for name in datastore.get_labeled_images():
        image, label = Path(datastore.get_image_uri(name)), Path(datastore.get_label_uri(name, DefaultLabelTag.FINAL))
        try:
            labels = submitted_labels(label, datastore.get_label_info(name, DefaultLabelTag.FINAL), scheme)
            cases.append(write_case(read_scan_file(image)[0], labels, folder, name))
        except CascadeError as error:
            logger.warning("%s is not used: %s", name, error)
    if not cases:
        raise InputError("expected submitted labels to train on; found none; submit a label first")
    return cases


def submitted_labels(path: Path, info: Mapping[str, Any], scheme: LabelScheme) -> LabelMap:
    """Read a submitted label; 3D Slicer numbers segments anew and tells names and numbers in ``label_info``."""
    data, grid = read_labels_file(path)
    entries = info.get("label_info") or info.get("params", {}).get("label_info") or []
    names = {entry["name"]: int(entry["idx"]) for entry in entries if entry["name"] in scheme}
    known = LabelScheme("submitted", names, "label_info of the submitted label") if names else scheme
    unknown = sorted(set(data.ravel().tolist()) - {0, *known.ids.values()})
    if unknown:
        raise InputError(
            f"{path}: expected labels of {', '.join(known.ids)}; found the numbers {unknown} as well; name them, or leave them out"
        )
    return LabelMap(data.astype(label_dtype(known)), grid, known)
