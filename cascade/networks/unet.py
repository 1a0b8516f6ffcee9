"""MONAI's residual UNet in plain torch: its layers, its parameters' names and its numbers, without the time that importing MONAI takes.

The oracle is `monai.networks.nets.UNet`: the tests compare parameters and outputs to the last bit.
Architecture: Kerfoot et al. 2018, "Left-ventricle quantification using residual U-Net", STACOM (LNCS 11395).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cascade.networks.unet_graph import plain_sizes, triple

Stride = int | Sequence[int]


def plain_unet(network: str, arguments: Mapping[str, Any]) -> UNet | None:
    """Build what MONAI's class `network` builds from these arguments; None where they ask for more than `UNet` has."""
    sizes = plain_sizes(network, arguments)
    return UNet(**sizes) if sizes else None


class UNet(nn.Module):
    """(batch, in_channels, x, y, z) -> (batch, out_channels, x, y, z); the lengths are multiples of the product of all strides.

    Parameters
    ----------
    in_channels, out_channels : int
    channels : sequence of int
        Of each level, from the finest.
    strides : sequence of int, or of (3,) sequence of int
        Between each level and the next.
    num_res_units : int
        Convolutions of each level on the way down.
    """

    def __init__(
        self, *, in_channels: int, out_channels: int, channels: Sequence[int], strides: Sequence[Stride], num_res_units: int
    ) -> None:
        super().__init__()

        def level(depth: int, entering: int, leaving: int) -> nn.Module:
            """The network from a level downwards; the lowest is built first, as MONAI does, so that one seed gives the same weights."""
            own, stride = channels[depth], strides[depth]
            if depth + 1 < len(strides):
                below, joined = level(depth + 1, own, own), 2 * own
            else:
                below, joined = _Residual(own, channels[-1], 1, num_res_units), own + channels[-1]
            down = _Residual(entering, own, stride, num_res_units)
            up = _convolution(_transposed(joined, leaving, stride)), _Residual(leaving, leaving, 1, 1, ends_plain=depth == 0)
            return nn.Sequential(down, _Skip(below), nn.Sequential(*up))

        self.model = level(0, in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.model(x)
        return logits


class _Residual(nn.Module):
    """Convolutions, the first of them strided, and a way around them."""

    def __init__(self, entering: int, leaving: int, stride: Stride, units: int, *, ends_plain: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        for unit in range(units):
            layer = nn.Conv3d(leaving if unit else entering, leaving, 3, 1 if unit else triple(stride), padding=1)
            self.conv.add_module(f"unit{unit}", _convolution(layer, plain=ends_plain and unit == units - 1))
        self.residual: nn.Module = nn.Identity()
        if math.prod(triple(stride)) != 1:
            self.residual = nn.Conv3d(entering, leaving, 3, triple(stride), padding=1)
        elif entering != leaving:
            self.residual = nn.Conv3d(entering, leaving, 1)

    def forward(self, x: Tensor) -> Tensor:
        around: Tensor = self.residual(x)
        through: Tensor = self.conv(x)
        return through + around


class _Skip(nn.Module):
    """A level joined with all that lies below it."""

    def __init__(self, submodule: nn.Module) -> None:
        super().__init__()
        self.submodule = submodule

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.submodule(x)], dim=1)


def _convolution(layer: nn.Conv3d | nn.ConvTranspose3d, *, plain: bool = False) -> nn.Module:
    """A convolution, followed by normalisation and activation unless it is `plain`."""
    adn = OrderedDict(N=nn.InstanceNorm3d(layer.out_channels), A=nn.PReLU())
    return nn.Sequential(OrderedDict(conv=layer) if plain else OrderedDict(conv=layer, adn=nn.Sequential(adn)))


def _transposed(entering: int, leaving: int, stride: Stride) -> nn.ConvTranspose3d:
    x, y, z = triple(stride)
    return nn.ConvTranspose3d(entering, leaving, 3, (x, y, z), padding=1, output_padding=(x - 1, y - 1, z - 1))
