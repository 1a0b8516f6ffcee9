"""``metadata.json`` of a bundle: versions, purpose, and the format of what goes into each network and comes out of it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import monai
import numpy as np
import torch

from cascade._version import __version__
from cascade.export.plans import BundlePlan
from cascade.networks.patches import patch_shape_for
from cascade.networks.spec import StageSpec
from cascade.notices import count_of

#: What MONAI's model zoo validates against; ``metadata_schema.json``, which needs no network, asks for no less.
SCHEMA_URL = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_PACKAGES = ("nibabel", "safetensors", "scipy", "scikit-image")


def metadata(plan: BundlePlan, specs: Mapping[str, StageSpec]) -> dict[str, Any]:
    """Describe a bundle.

    Parameters
    ----------
    plan : BundlePlan
    specs : mapping of str to StageSpec
        By stage.
    """
    checkpoints = ", ".join(f"{stage} {specs[stage].checkpoint_sha256}" for stage in plan.models.values())
    content = {
        "schema": SCHEMA_URL,
        "version": __version__,
        "changelog": {__version__: f"exported by cascade {__version__}; sha256 of the checkpoints: {checkpoints}"},
        "monai_version": monai.__version__,
        "pytorch_version": str(torch.__version__).split("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"cascade-spine": __version__}
        | {package: importlib.metadata.version(package) for package in _PACKAGES},
        "name": plan.title,
        "task": plan.task,
        "description": plan.description,
        "authors": "The authors of cascade",
        "copyright": "The authors of cascade; Apache-2.0",
        "data_source": _data_source(specs[plan.stage]),
        "data_type": "nibabel",
        "image_classes": "one channel: MR, axes along RAS, resampled, clipped to percentiles, mean 0 and standard deviation 1",
        "label_classes": "any label scheme that cascade knows; structures that a scan does not label are not taken for background",
        "pred_classes": f"logits of {', '.join(specs[plan.stage].classes)}",
        "intended_use": "Research on lumbar-spine MR of adults. Not a medical device; not for diagnosis or treatment.",
        "references": [],
    }
    for model, stage in plan.models.items():
        content[f"{'network' if model == 'model' else model}_data_format"] = network_format(specs[stage])
    return content


def network_format(spec: StageSpec) -> dict[str, Any]:
    """Describe input and output of a network; the lengths are multiples of its smallest input, ``n`` from 1."""
    shape = [f"{length}*n" for length in patch_shape_for((1, 1, 1), spec)]
    tensor = {"type": "image", "spatial_shape": shape, "dtype": "float32", "value_range": [], "is_patch_data": True}
    names = {str(channel): name for channel, name in enumerate(spec.classes)}
    return {
        "inputs": {"image": tensor | {"format": "magnitude", "modality": "MR", "num_channels": 1, "channel_def": {"0": "MR"}}},
        "outputs": {"pred": tensor | {"format": "segmentation", "num_channels": len(spec.classes), "channel_def": names}},
    }


def _data_source(spec: StageSpec) -> str:
    cases = spec.training.get("cases") or {}
    counts = ", ".join(f"{dataset} ({count_of(count, 'scan')})" for dataset, count in cases.items())
    return f"trained on {counts}; see docs/model_card.md" if counts else "not recorded"
