"""Values of a scan and of its labels at any place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class Source:
    """A scan that patches are taken from.

    Parameters
    ----------
    image : Tensor of float32, (x, y, z)
        Normalised scan in RAS+ axes.
    allowed : Tensor of uint8, (x, y, z)
        Bit masks of allowed classes, never 0.
    disc : int
        The bit of discs; 0 if they are no class of their own.
    """

    image: Tensor
    allowed: Tensor
    disc: int = 0

    @property
    def air(self) -> float:
        """The darkest value, which is taken for what lies outside."""
        return float(self.image.min())

    def image_at(self, voxels: Tensor) -> Tensor:
        """Interpolate at voxels (*shape, 3)."""
        grid = self._normalised(voxels)
        return functional.grid_sample((self.image - self.air)[None, None], grid, mode="bilinear", align_corners=True)[0, 0] + self.air

    def allowed_at(self, voxels: Tensor) -> Tensor:
        """The masks of the nearest voxels (*shape, 3); 0 outside."""
        grid = self._normalised(voxels)
        return functional.grid_sample(self.allowed[None, None].float(), grid, mode="nearest", align_corners=True)[0, 0].to(torch.uint8)

    def _normalised(self, voxels: Tensor) -> Tensor:
        """As `grid_sample` wants it: z first, -1..1."""
        last = torch.tensor([max(n - 1, 1) for n in self.image.shape], dtype=torch.float32)
        return (2 * voxels / last - 1).flip(-1)[None]
