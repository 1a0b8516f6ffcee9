"""The networks of a bundle: a plain state_dict of torch, and the StageSpec beside it."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn

from cascade.errors import CheckpointError
from cascade.io.files import replacing
from cascade.networks.checkpoint import Checkpoint
from cascade.networks.spec import StageSpec

#: What torch raises for files that are missing, truncated, something else, or of another network.
_NOT_WEIGHTS = (OSError, EOFError, RuntimeError, UnpicklingError, ValueError, LookupError, TypeError, AttributeError)


def save_weights(checkpoint: Checkpoint, path: Path) -> None:
    """Write the state_dict to `path` (``.pt``) and the StageSpec beside it (``.json``)."""
    with replacing(path) as temporary:
        torch.save(checkpoint.network.state_dict(), temporary)
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(checkpoint.spec.to_json(), encoding="utf-8")


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Fill a network with a state_dict, and put it into evaluation mode.

    Raises
    ------
    CheckpointError
        The file is missing, no state_dict, or one of another network.
    """
    try:
        network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    except _NOT_WEIGHTS as error:
        raise CheckpointError(f"{path}: expected the state_dict of {type(network).__name__} ({error}); export the bundle again") from error
    network.eval()


def read_spec(path: str | Path) -> StageSpec:
    """Read the StageSpec beside a bundle's weights.

    Raises
    ------
    CheckpointError
        It is missing or not a StageSpec.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"{path}: expected a StageSpec ({error.strerror or error}); export the bundle again") from error
    return StageSpec.from_json(text, str(path))
