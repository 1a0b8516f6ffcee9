"""A picture of how far training has come: a patch, what is known of it, and what the averaged network says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cascade.io.files import replacing
from cascade.report.picture import to_grey, window
from cascade.terminology import colour_of

#: Of the classes after background.
_COLOURS = np.array([(0, 0, 0), *(colour_of(name) for name in ("L1", "L1-L2", "sacrum"))], dtype=float)
_OPEN = np.array((110.0, 110.0, 110.0))
_OPACITY, _ENLARGED = 0.5, 3


def save_progress(network: nn.Module, images: Tensor, allowed: Tensor, path: Path) -> None:
    """Write the sagittal slice of a batch's first patch that shows most: the patch, the truth and the prediction side by side.

    What the labels leave open is grey in the truth.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    images : Tensor of float32, (batch, 1, x, y, z)
    allowed : Tensor of uint8, (batch, x, y, z)
        Bit masks of allowed classes.
    path : Path
    """
    device = next(network.parameters()).device
    with torch.no_grad():
        answer = network(images[:1].to(device))[0].argmax(dim=0).cpu().numpy()
    bits = allowed[0].numpy()
    certain = (bits & (bits - 1) == 0) & (bits > 0)
    truth = np.where(certain, np.log2(np.maximum(bits, 1)).astype(np.intp), -1)
    x = int((truth > 0).sum(axis=(1, 2)).argmax())
    patch = images[0, 0, x].numpy()
    grey = np.repeat(to_grey(patch, window(patch))[..., None], 3, axis=2).astype(float)
    panels = [grey, _tinted(grey, truth[x]), _tinted(grey, answer[x])]
    picture = np.hstack([np.flipud(panel.transpose(1, 0, 2)) for panel in panels]).astype(np.uint8)
    with replacing(path) as temporary:
        Image.fromarray(picture).resize((picture.shape[1] * _ENLARGED, picture.shape[0] * _ENLARGED)).save(temporary, format="PNG")


def _tinted(grey: NDArray[np.float64], classes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Colour every class but background (0); -1 is what is not known."""
    colours = np.where(classes[..., None] < 0, _OPEN, _COLOURS[np.clip(classes, 0, len(_COLOURS) - 1)])
    mixed: NDArray[np.float64] = np.where(classes[..., None] == 0, grey, (1 - _OPACITY) * grey + _OPACITY * colours)
    return mixed
