"""Cross-entropy and Dice for targets that allow several classes a voxel (see `cascade.partial`)."""

from __future__ import annotations

import torch
from torch import Tensor

#: Voxels added to both halves of the Dice term, so that what a patch holds next to nothing of counts next to nothing.
SMOOTH = 100


def partial_label_loss(logits: Tensor, allowed: Tensor) -> Tensor:
    """Sum of the marginal cross-entropy and the soft Dice loss over what is known.

    The cross-entropy of a voxel is minus the logarithm of the probability of all its allowed classes together
    (marginal loss; Shi et al., Medical Image Analysis 70:101979, 2021). The Dice term of a class is taken over the
    voxels of each patch of which it is known whether they belong to the class, where it occurs; so a scan with thin discs
    counts as much as one with thick ones.

    Parameters
    ----------
    logits : Tensor of float, (batch, classes, x, y, z)
    allowed : Tensor of uint8, (batch, x, y, z)
        Bit masks of allowed classes; 0 = nothing known.
    """
    classes = logits.shape[1]
    bits = 2 ** torch.arange(classes, device=allowed.device, dtype=allowed.dtype)
    possible = (allowed[:, None] & bits[None, :, None, None, None]) > 0
    informative = possible.any(dim=1) & ~possible.all(dim=1)
    log_p = torch.log_softmax(logits.float(), dim=1)
    marginal = torch.logsumexp(log_p.masked_fill(~possible, -1e4), dim=1)
    cross_entropy = -(marginal * informative).sum() / informative.sum().clamp(min=1)
    return cross_entropy + _known_dice_loss(log_p.exp(), possible, informative)


def _known_dice_loss(p: Tensor, possible: Tensor, informative: Tensor) -> Tensor:
    certain = possible.sum(dim=1, keepdim=True) == 1
    target = (possible & certain).float()
    known = (certain | ~possible) & informative[:, None]
    dims = (2, 3, 4)
    overlap = (p * target).sum(dims)
    total = (p * known).sum(dims) + target.sum(dims)
    occurs = target.sum(dims) > 0
    occurs[:, 0] = False
    dice = (2 * overlap + SMOOTH) / (total + SMOOTH)
    return ((1 - dice) * occurs).sum() / occurs.sum().clamp(min=1)
