"""How likely a body is the first sacral vertebra by its looks, as a reader tells it: its front and its back slant, and it gets narrower.

Seen from the disc above it, the front of a lumbar vertebra runs straight down; that of S1 runs backwards, by 40 degrees as a rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.volume import FloatArray

#: Log of the depth of a body's lower half over that of its upper half, and by how many degrees its front and its back run forward on
#: their way down, seen from the disc above.
LOOKS = ("narrowing", "front_deg", "back_deg")
#: No body says more than this, in nats.
LIMIT = 8.0


@dataclass(frozen=True)
class S1Looks:
    """Logistic regression: a first sacral vertebra, or the lowest presacral one.

    Parameters
    ----------
    weights : tuple of three floats
        Nats per unit of each of the `LOOKS`.
    intercept : float
        Nats.

    Raises
    ------
    ValueError
        There are not three weights.
    """

    weights: tuple[float, ...]
    intercept: float

    def __post_init__(self) -> None:
        if len(self.weights) != len(LOOKS):
            raise ValueError(f"weights: expected {len(LOOKS)}, of {', '.join(LOOKS)}; found {len(self.weights)}")

    def log_odds(self, looks: FloatArray) -> FloatArray:
        """How much likelier S1 is than a lumbar vertebra, in nats: from (3, bodies) to (bodies,); NaN where nothing was measured."""
        log_odds: FloatArray = np.clip(self.intercept + np.asarray(self.weights) @ looks, -LIMIT, LIMIT)
        return log_odds
