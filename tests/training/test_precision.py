import pytest
import torch
from torch import Tensor, nn

from cascade.training.precision import computes_bfloat16, keep_thin_whole


def _gradient(convolution: nn.Conv3d, x: Tensor, mixed: bool) -> Tensor:
    convolution.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
        y = convolution(x)
    (y.float() * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    assert convolution.weight.grad is not None
    return convolution.weight.grad.clone()


@pytest.mark.parametrize("units", [{"avx512_bf16": True}, {"amx_bf16": True}])
def test_a_cpu_with_units_for_bfloat16_uses_them(monkeypatch: pytest.MonkeyPatch, units: dict[str, bool]) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units, raising=False)
    assert computes_bfloat16("cpu")


@pytest.mark.parametrize("units", [{}, {"avx512_bf16": False, "avx512_f": True}])
def test_a_cpu_that_would_emulate_bfloat16_stays_with_float32(monkeypatch: pytest.MonkeyPatch, units: dict[str, bool]) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units, raising=False)
    assert not computes_bfloat16("cpu")


def test_cuda_computes_in_bfloat16_and_mps_does_not() -> None:
    assert computes_bfloat16("cuda:0")
    assert not computes_bfloat16("mps")


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_gradients_in_mixed_precision_are_those_of_float32_at_any_depth(depth: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv3d(32, 32, 3, padding=1).to(memory_format=torch.channels_last_3d)
    x = torch.randn(2, 32, depth, 6, 6).to(memory_format=torch.channels_last_3d)
    expected = _gradient(convolution, x, mixed=False)
    keep_thin_whole(convolution)
    for _ in range(3):
        torch.full((200_000,), float("nan"))  # what the gradient would be read from
        assert torch.linalg.norm(_gradient(convolution, x, mixed=True) - expected) < 0.05 * torch.linalg.norm(expected)


def test_inputs_two_voxels_deep_are_computed_whole_and_others_mixed() -> None:
    convolution = nn.Conv3d(1, 1, 3, padding=1)
    keep_thin_whole(convolution)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert convolution(torch.ones(1, 1, 2, 4, 4)).dtype == torch.float32
        assert convolution(torch.ones(1, 1, 3, 4, 4)).dtype == torch.bfloat16
