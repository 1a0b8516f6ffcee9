"""Starting from weights that know fewer classes: the head of the network is widened."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from cascade.errors import TrainingError
from cascade.networks.checkpoint import Checkpoint, build_network
from cascade.networks.spec import StageSpec

#: The odds of a new class against background, of which it was a part until then.
NEW_CLASS_ODDS = 0.02
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)


def widened(checkpoint: Checkpoint, spec: StageSpec) -> nn.Module:
    """Return the network of `spec` with the weights of a checkpoint that may know fewer classes.

    A class that the checkpoint does not know starts as the twin of background, of which it was a part until then, with odds of
    `NEW_CLASS_ODDS` against it; the logits of the others stay as they were. Where both know the same classes, the weights are
    copied as they are.

    Parameters
    ----------
    checkpoint : Checkpoint
        To start from.
    spec : StageSpec
        What is trained: the classes of the checkpoint in the same order, and more after them.

    Raises
    ------
    TrainingError
        The networks differ in more than the number of classes.
    """
    old, new = checkpoint.spec.classes, spec.classes
    if old != new[: len(old)]:
        raise TrainingError(f"expected weights whose classes are the first of {', '.join(new)}; found {', '.join(old)}")
    network = build_network(spec)
    values, last_bias = _wider_values(checkpoint.network.state_dict(), network, len(new) - len(old))
    try:
        network.load_state_dict(values)
    except RuntimeError as error:
        raise TrainingError(f"the weights to start from do not fit the network of this recipe ({error})") from error
    if last_bias is not None:
        with torch.no_grad():
            last_bias[len(old) :] += math.log(NEW_CLASS_ODDS)
    return network.eval()


def _wider_values(values: Mapping[str, Tensor], network: nn.Module, extra: int) -> tuple[dict[str, Tensor], Tensor | None]:
    """The values with `extra` classes in the convolutions of `network` that have them, and the bias of its last such one."""
    wider, last_bias = dict(values), None
    for name, module in network.named_modules():
        weight = values.get(f"{name}.weight")
        if not isinstance(module, _CONVOLUTIONS) or weight is None:
            continue
        grown = {wide - narrow for wide, narrow in zip(module.weight.shape, weight.shape, strict=True)}
        if grown != {0, extra}:
            continue
        axes = (1, 0) if isinstance(module, _TRANSPOSED) else (0, 1)
        wider[f"{name}.weight"] = _wider(weight, module.weight.shape, axes)
        if module.bias is not None and f"{name}.bias" in values:
            wider[f"{name}.bias"] = _with_twins(values[f"{name}.bias"], module.bias.shape[0], axis=0)
            last_bias = module.bias
    return wider, last_bias


def _wider(weight: Tensor, shape: Sequence[int], axes: tuple[int, int]) -> Tensor:
    """Weights of a convolution with more outputs, twins of the first, or with more inputs, which count nothing at first."""
    out, into = axes
    weight = _with_twins(weight, shape[out], axis=out)
    extra = shape[into] - weight.shape[into]
    return torch.cat([weight, *[torch.zeros_like(weight.narrow(into, 0, 1))] * extra], dim=into)


def _with_twins(values: Tensor, length: int, axis: int) -> Tensor:
    extra = length - values.shape[axis]
    return torch.cat([values, *[values.narrow(axis, 0, 1)] * extra], dim=axis)
