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


@pytest.mark.parametrize("name", ["cpu", "mps"])
def test_off_cuda_nothing_is_computed_in_half_precision(name: str) -> None:
    with quick_inference(torch.device(name)):
        assert torch.is_inference_mode_enabled()
        assert not any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda", "mps"))
    assert not torch.is_inference_mode_enabled()


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here: the tests below use it")
def test_half_precision_is_asked_of_cuda_also_where_torch_has_none_and_says_so() -> None:
    with pytest.warns(UserWarning, match="CUDA is not available"), quick_inference(torch.device("cuda")):
        assert torch.is_inference_mode_enabled()
    assert not torch.is_autocast_enabled("cuda")


def test_cuda_computes_in_half_precision_what_a_cpu_computes_in_full(cuda: torch.device) -> None:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv3d(1, 16, 3, padding=1), nn.InstanceNorm3d(16), nn.PReLU(), nn.Conv3d(16, 4, 3)).eval()
    image = torch.rand(1, 1, 13, 17, 19)
    with torch.inference_mode():
        expected = block(image)
    with quick_inference(cuda):
        computed = block.to(cuda)(image.to(cuda))
    assert computed.dtype == torch.float16
    assert torch.allclose(computed.float().cpu(), expected, atol=0.02)
    assert not torch.is_autocast_enabled("cuda")


def test_options_that_it_does_not_know_are_left_to_torch() -> None:
    image, weight = torch.rand(1, 2, 5, 5, 5), torch.rand(2, 1, 3, 3, 3)
    usual = torch.conv3d(image, weight, padding="same", groups=2)
    with OneImageKernels(), torch.inference_mode():
        assert torch.equal(torch.conv3d(image, weight, padding="same", groups=2), usual)
        running = torch.zeros(2), torch.ones(2)
        assert torch.equal(nn.functional.instance_norm(image, *running, use_input_stats=False, eps=0.0), image)
