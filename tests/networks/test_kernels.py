"""The quick ways compute what torch's usual ways compute."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cascade.networks.kernels import OneImageKernels, quick_inference

CPU = torch.device("cpu")


@settings(deadline=None, max_examples=20)
@given(channels=st.integers(1, 5), stride=st.integers(1, 2), dilation=st.integers(1, 2), affine=st.booleans(), batch=st.integers(1, 2))
def test_a_block_computes_the_same(channels: int, stride: int, dilation: int, affine: bool, batch: int) -> None:
    torch.manual_seed(channels)
    block = nn.Sequential(
        nn.Conv3d(2, channels, 3, stride, padding=1, dilation=dilation), nn.InstanceNorm3d(channels, affine=affine), nn.PReLU()
    ).eval()
    if affine:
        nn.init.normal_(block[1].weight)
    image = torch.rand(batch, 2, 7, 11, 13)
    with torch.inference_mode():
        usual = block(image)
    with quick_inference(CPU):
        quick = block(image)
        other_layout = block(image.to(memory_format=torch.channels_last_3d))
    assert torch.allclose(usual, quick, atol=1e-4)
    assert torch.allclose(usual, other_layout, atol=1e-4)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN has no other way")
def test_one_image_takes_the_quick_way_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    usual = torch.mkldnn_convolution
    monkeypatch.setattr(torch, "mkldnn_convolution", lambda x, *rest: taken.append(len(x)) or usual(x, *rest))
    layer = nn.Conv3d(1, 1, 3)
    with quick_inference(CPU):
        for batch in (1, 2):
            layer(torch.zeros(batch, 1, 5, 5, 5))
        layer.double()(torch.zeros(1, 1, 5, 5, 5, dtype=torch.float64))
    layer.float()(torch.zeros(1, 1, 5, 5, 5))
    assert taken == [1]


def test_nothing_is_remembered_for_gradients() -> None:
    with quick_inference(CPU):
        assert nn.Conv3d(1, 1, 3)(torch.zeros(1, 1, 5, 5, 5)).is_inference()


def test_cuda_runs_in_half_precision_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Autocast:
        def __init__(self, device: str) -> None:
            asked.append(device)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(torch, "autocast", Autocast)
    for name in ("cpu", "mps", "cuda"):
        with quick_inference(torch.device(name)):
            pass
    assert asked == ["cuda"]
    assert not torch.is_inference_mode_enabled()


def test_options_that_it_does_not_know_are_left_to_torch() -> None:
    image, weight = torch.rand(1, 2, 5, 5, 5), torch.rand(2, 1, 3, 3, 3)
    usual = torch.conv3d(image, weight, padding="same", groups=2)
    with OneImageKernels(), torch.inference_mode():
        assert torch.equal(torch.conv3d(image, weight, padding="same", groups=2), usual)
        running = torch.zeros(2), torch.ones(2)
        assert torch.equal(nn.functional.instance_norm(image, *running, use_input_stats=False, eps=0.0), image)
