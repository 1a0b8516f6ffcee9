"""What is known about a network beside its weights: one JSON file, checked field by field.

A spec may come from anybody: it names a network of a short list, and what it can ask for is bounded.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cascade.errors import CheckpointError
from cascade.io import schema
from cascade.networks.limits import are_axcodes, check_arguments
from cascade.postproc.parameters import NamingParameters

#: The stages that segment a scan. A checkpoint may be of others, too: `cascade.stages.STAGES` has all that can be trained.
CASCADE_STAGES = ("stage1_spine", "stage2_levels")
FORMAT = 1
#: How a checkpoint without `StageSpec.checkpoint_sha256` gets one.
CONVERT = "python -m cascade.cli.convert DIR"
#: Classes of `monai.networks.nets` that a spec may name: one tensor in, one of the same shape out, nothing fetched.
NETWORKS = ("AttentionUnet", "AutoEncoder", "BasicUNet", "DynUNet", "SegResNet", "SwinUNETR", "UNet", "UNETR", "VNet")
MAX_PATCH_VOXELS = 1 << 24


@dataclass(frozen=True)
class Normalisation:
    """How intensities are brought to one scale: clip to percentiles of the voxels above air, then mean 0, deviation 1."""

    low_percentile: float = 1.0
    high_percentile: float = 99.0


@dataclass(frozen=True)
class StageSpec:
    """Everything that is needed to use a checkpoint.

    Parameters
    ----------
    stage : str
        Its name in `cascade.stages.STAGES`, which is that of the checkpoint's files.
    network : str
        Name of a class in `monai.networks.nets`.
    network_arguments : mapping
        Its keyword arguments.
    classes : tuple of str
        The output channels; the first is background.
    spacing_mm : (3,) tuple of float
        Voxel spacing that the network works at, along `axcodes`.
    patch_shape : (3,) tuple of int
        Largest input in voxels.
    axcodes : str
        Orientation that the network works in.
    stride : (3,) tuple of int
        Every input length must be a multiple of this.
    normalisation : Normalisation
    naming : mapping
        What is said of `NamingParameters`, as the JSON has it: what it leaves out has its default.
    training : mapping
        Where the weights come from: data sets, recipe, steps, seeds.
    weights_sha256 : str
        Of the safetensors file beside the JSON; empty as long as there are no weights.
    """

    stage: str
    network: str
    network_arguments: Mapping[str, Any]
    classes: tuple[str, ...]
    spacing_mm: tuple[float, float, float]
    patch_shape: tuple[int, int, int]
    stride: tuple[int, int, int]
    axcodes: str = "RAS"
    normalisation: Normalisation = field(default_factory=Normalisation)
    naming: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""

    @property
    def naming_parameters(self) -> NamingParameters:
        """By which `cascade.postproc` names what stage 2 answers."""
        return schema.build(NamingParameters, self.naming, "naming")

    @property
    def checkpoint_sha256(self) -> str:
        """The one identity of a checkpoint: sha256 of all that decides a result, the weights among it.

        Hashed is JSON in ASCII of all fields but `training`, which only tells where the weights come from, and the format: names
        sorted, no spaces, whole numbers without a point.
        """
        deciding = {name: value for name, value in asdict(self).items() if name != "training"}
        text = json.dumps(_canonical({"format": FORMAT} | deciding), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> str:
        """Return the JSON text of the spec, with the checkpoint's identity if there are weights."""
        identity = {"checkpoint_sha256": self.checkpoint_sha256} if self.weights_sha256 else {}
        return json.dumps({"format": FORMAT} | asdict(self) | identity, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "StageSpec", *, identified: bool = True) -> StageSpec:
        """Parse the JSON text of a spec, and verify its identity.

        Parameters
        ----------
        text : str
        source : str
            The file, for errors.
        identified : bool
            False takes a spec without one, too.

        Raises
        ------
        CheckpointError
            The text is not a StageSpec of this format, or was altered since it was written; `source` is named.
        """
        try:
            content = schema.load(text)
            if content.pop("format", None) != FORMAT:
                raise ValueError(f"expected format {FORMAT}")
            told = content.pop("checkpoint_sha256", None)
            spec = schema.build(cls, content)
            check_spec(spec)
            if told is not None or (identified and spec.weights_sha256):
                _verify(spec, told)
        except ValueError as error:
            raise CheckpointError(f"{source}: expected a StageSpec in JSON ({error}); restore the file from the release") from error
        return spec


def _canonical(value: Any) -> Any:
    """The value with whole numbers as int: 2.0 and 2 decide the same."""
    if isinstance(value, Mapping):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _verify(spec: StageSpec, told: object) -> None:
    if told is None:
        raise ValueError(f"checkpoint_sha256: expected this entry; it is missing; an older checkpoint gets it with {CONVERT}")
    if told != spec.checkpoint_sha256:
        raise ValueError(f"checkpoint_sha256: expected {spec.checkpoint_sha256[:12]}... of these entries; one of them is altered")


def check_spec(spec: StageSpec) -> None:
    """Check the range of every value.

    Raises
    ------
    ValueError
        One is out of its range; the message names it.
    """
    for name, good, expected in (
        ("stage", re.fullmatch(r"stage[0-9]+_[a-z0-9_]{1,40}", spec.stage), f"a name such as {CASCADE_STAGES[0]}"),
        ("network", spec.network in NETWORKS, f"one of {', '.join(NETWORKS)}"),
        ("classes", 2 <= len(set(spec.classes)) == len(spec.classes) <= 64, "2 to 64 different names"),
        ("spacing_mm", all(0.1 <= s <= 20 for s in spec.spacing_mm), "0.1 to 20 mm"),
        ("stride", all(1 <= s <= 512 for s in spec.stride), "1 to 512"),
        ("patch_shape", min(spec.patch_shape) >= 1 and math.prod(spec.patch_shape) <= MAX_PATCH_VOXELS, f"1 to {MAX_PATCH_VOXELS} voxels"),
        ("patch_shape", all(s > 0 and p % s == 0 for p, s in zip(spec.patch_shape, spec.stride, strict=True)), "multiples of stride"),
        ("axcodes", are_axcodes(spec.axcodes), "three directions such as RAS"),
        ("normalisation", 0 <= spec.normalisation.low_percentile < spec.normalisation.high_percentile <= 100, "percentiles in order"),
        ("weights_sha256", re.fullmatch(r"([0-9a-f]{64})?", spec.weights_sha256), "64 hexadecimal digits"),
    ):
        if not good:
            raise ValueError(f"{name}: expected {expected}")
    _ = spec.naming_parameters
    check_arguments(spec.network_arguments, "network_arguments")
    for name, channels in (("in_channels", 1), ("out_channels", len(spec.classes))):
        if spec.network_arguments.get(name, channels) != channels:
            raise ValueError(f"network_arguments.{name}: expected {channels}")
