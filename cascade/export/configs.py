"""The configs of a bundle: inference, training and evaluation, as MONAI's ConfigParser reads them.

Names of entries are those of MONAI's model zoo (``dataset_dir``, ``output_dir``, ``ckpt_dir``, ``network_def`` ...), so that what is
overridden there is overridden here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cascade.export.plans import BundlePlan
from cascade.networks.spec import StageSpec

Config = dict[str, Any]


def configs(plan: BundlePlan, specs: Mapping[str, StageSpec]) -> dict[str, Config]:
    """Return the configs by file name, without suffix.

    Parameters
    ----------
    plan : BundlePlan
    specs : mapping of str to StageSpec
        By stage.
    """
    return {"inference": _inference(plan, specs), "train": _train(plan, specs), "evaluate": _evaluate(plan, specs)}


def _head(output: str) -> Config:
    return {
        "imports": ["$import cascade.bundle as bundle"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/scans'",
        "output_dir": f"$@bundle_root + '/{output}'",
        "ckpt_dir": "$@bundle_root + '/models'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    }


def _network(spec: StageSpec, model: str) -> Config:
    """Entries for one network; the one in ``model.pt`` has the usual names, another one its own in front."""
    prefix = "" if model == "model" else f"{model}_"
    return {
        f"{prefix}network_def": {"_target_": f"monai.networks.nets.{spec.network}", **spec.network_arguments},
        f"{prefix}network": f"$@{prefix}network_def.to(@device)",
        f"{prefix}spec": f"$bundle.read_spec(@ckpt_dir + '/{model}.json')",
    }


def _networks(plan: BundlePlan, specs: Mapping[str, StageSpec]) -> Config:
    entries: Config = {}
    for model, stage in plan.models.items():
        entries |= _network(specs[stage], model)
    return entries


def _load(model: str) -> str:
    network = "network" if model == "model" else f"{model}_network"
    return f"$bundle.load_weights(@{network}, @ckpt_dir + '/{model}.pt')"


def _inference(plan: BundlePlan, specs: Mapping[str, StageSpec]) -> Config:
    data = "$bundle.list_scans(@dataset_dir, @output_dir)"
    return {
        **_head("eval"),
        "output_ext": ".nii.gz",
        "output_postfix": plan.ending,
        **plan.settings,
        **_networks(plan, specs),
        "dataset": {"_target_": "Dataset", "data": data},
        "inferer": dict(plan.inferer),
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": "cascade.bundle.SaveResult",
                    "output_dir": "@output_dir",
                    "output_postfix": "@output_postfix",
                    "output_ext": "@output_ext",
                }
            ],
        },
        "evaluator": {
            "_target_": "cascade.bundle.Evaluator",
            "dataset": "@dataset",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "initialize": [_load(model) for model in plan.models],
        "run": ["$@evaluator.run()"],
        "finalize": ["$@evaluator.check()"],
    }


def _evaluate(plan: BundlePlan, specs: Mapping[str, StageSpec]) -> Config:
    """Inference on labelled scans, then scores."""
    levels = {"predictions": "@output_dir", "references": "@dataset_dir", "output_dir": "@output_dir", "split": "@split"}
    classes = {
        "dataset": "@dataset",
        "spec": "@spec",
        "predictions": "@output_dir",
        "output_postfix": "@output_postfix",
        "output_ext": "@output_ext",
    }
    arguments = levels if plan.scorer == "ScoreLevels" else classes
    labelled = "$bundle.list_labelled(@dataset_dir, @split, @label_scheme)"
    return {
        **_inference(plan, specs),
        "dataset_dir": "$@bundle_root + '/cases'",
        **plan.evaluation_settings,
        "split": None,
        "label_scheme": "verse",
        "dataset": {"_target_": "Dataset", "data": labelled},
        "scorer": {"_target_": f"cascade.bundle.{plan.scorer}", **arguments},
        "run": ["$@evaluator.run()", "$@scorer.run()"],
    }


def _train(plan: BundlePlan, specs: Mapping[str, StageSpec]) -> Config:
    """Go on from the weights in ``ckpt_dir`` with `cascade.training`; an epoch is 100 steps."""
    return {
        **_head("train"),
        "dataset_dir": "$@bundle_root + '/cases'",
        "split": "train",
        "label_scheme": "verse",
        "recipe_file": None,
        "learning_rate": None,
        "resume": False,
        **_network(specs[plan.stage], "model"),
        "recipe": "$bundle.training_recipe(@spec, @recipe_file, @learning_rate)",
        "train": {
            "dataset": "$bundle.training_examples(@dataset_dir, @recipe, @split, @label_scheme)",
            "inferer": {"_target_": "SimpleInferer", "_desc_": "how the trainer applies the network: to whole patches"},
            "trainer": {
                "_target_": "cascade.bundle.Trainer",
                "dataset": "@train::dataset",
                "recipe": "@recipe",
                "network": "@network",
                "output_dir": "@output_dir",
                "max_epochs": 20,
                "epoch_length": 100,
                "resume": "@resume",
            },
        },
        "initialize": [_load("model")],
        "run": ["$@train::trainer.run()"],
    }
