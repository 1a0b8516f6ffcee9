"""The loss knows only what the labels know."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from cascade.training.loss import SMOOTH, partial_label_loss

SHAPE = (2, 3, 4, 5)
CLASSES = 4
seeds = st.integers(0, 2**31)


def logits_of(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE[0], CLASSES, *SHAPE[1:], generator=torch.Generator().manual_seed(seed)).requires_grad_()


def classes_of(seed: int) -> torch.Tensor:
    return torch.randint(0, CLASSES, SHAPE, generator=torch.Generator().manual_seed(seed + 1))


def gradient(logits: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    (result,) = torch.autograd.grad(partial_label_loss(logits, allowed), logits)
    return result


@given(seeds, st.sampled_from([0, (1 << CLASSES) - 1]))
def test_unknown_voxels_have_no_gradient_and_no_influence(seed: int, unknown: int) -> None:
    logits, allowed = logits_of(seed), (1 << classes_of(seed)).to(torch.uint8)
    allowed[:, 1:] = unknown
    moved = logits.detach().clone()
    moved[:, :, 1:] += 5 * torch.randn_like(moved[:, :, 1:])
    assert torch.allclose(partial_label_loss(logits, allowed), partial_label_loss(moved, allowed))
    assert not gradient(logits, allowed)[:, :, 1:].any()
    assert gradient(logits, allowed)[:, :, :1].any()


@given(seeds)
def test_nothing_known_is_no_loss_and_no_nan(seed: int) -> None:
    logits, allowed = logits_of(seed), torch.zeros(SHAPE, dtype=torch.uint8)
    assert partial_label_loss(logits, allowed).item() == 0
    assert torch.equal(gradient(logits, allowed), torch.zeros_like(logits))


@given(seeds)
def test_with_full_labels_it_is_cross_entropy_and_dice(seed: int) -> None:
    logits, classes = logits_of(seed), classes_of(seed)
    p = torch.softmax(logits, dim=1)
    target = functional.one_hot(classes, CLASSES).movedim(-1, 1).float()
    dims = (2, 3, 4)
    dice = (2 * (p * target).sum(dims) + SMOOTH) / (p.sum(dims) + target.sum(dims) + SMOOTH)
    expected = functional.cross_entropy(logits, classes) + (1 - dice[:, 1:]).mean()
    assert partial_label_loss(logits, (1 << classes).to(torch.uint8)).item() == pytest.approx(expected.item(), rel=1e-4)


@given(seeds)
def test_between_allowed_classes_it_does_not_prefer(seed: int) -> None:
    allowed = torch.full(SHAPE, 0b0011, dtype=torch.uint8)
    logits = torch.zeros(SHAPE[0], CLASSES, *SHAPE[1:])
    logits[:, :2] = 9.0
    other = logits.clone()
    other[:, 0], other[:, 1] = 9.6, 7.9
    other[:, :2] += logits[:, :2].logsumexp(1, keepdim=True) - other[:, :2].logsumexp(1, keepdim=True)
    assert partial_label_loss(logits, allowed).item() == pytest.approx(partial_label_loss(other, allowed).item(), abs=1e-5)


@given(seeds)
def test_forbidden_classes_are_pushed_down(seed: int) -> None:
    allowed = torch.full(SHAPE, 0b0011, dtype=torch.uint8)
    slope = gradient(logits_of(seed), allowed)
    assert (slope[:, 2:] > 0).all()


@given(seeds)
def test_it_is_smallest_for_the_right_answer(seed: int) -> None:
    classes = classes_of(seed)
    right = 20.0 * functional.one_hot(classes, CLASSES).movedim(-1, 1).float()
    allowed = (1 << classes).to(torch.uint8)
    assert partial_label_loss(right, allowed).item() < 0.01
    assert partial_label_loss(-right, allowed).item() > 1.0


def test_huge_logits_stay_finite() -> None:
    logits = (1e4 * logits_of(0).detach()).requires_grad_()
    allowed = (1 << classes_of(0)).to(torch.uint8)
    assert torch.isfinite(partial_label_loss(logits, allowed))
    assert torch.isfinite(gradient(logits, allowed)).all()
