"""Mixed precision: bfloat16 where the device has units for it, float32 elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def computes_bfloat16(device: str) -> bool:
    """Whether `device` computes in bfloat16 by itself; a CPU that has to emulate it is slower than in float32."""
    if torch.device(device).type != "cpu":
        return torch.device(device).type == "cuda"
    units: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # an older torch cannot tell
    return bool(units.get("avx512_bf16") or units.get("amx_bf16"))


def keep_thin_whole(network: nn.Module) -> None:
    """Let 3-D convolutions over inputs two voxels deep compute in float32.

    On CPUs with bfloat16 units the gradient of such a convolution's weights comes out of uninitialised memory (torch 2.13, oneDNN;
    any other depth is right). Networks meet that depth at their coarsest levels, where float32 costs next to nothing.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            _keep_thin_whole(module)


def _keep_thin_whole(convolution: nn.Conv3d) -> None:
    mixed = convolution.forward

    def forward(x: Tensor) -> Tensor:
        if x.shape[2] != 2:
            return mixed(x)
        with torch.autocast(x.device.type, enabled=False):
            return mixed(x.float())

    convolution.forward = forward  # type: ignore[assignment, method-assign]
