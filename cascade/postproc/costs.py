"""What speaks for and against names of a chain, in nats: how rare they are, what lies below, sacrum inside, and shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from scipy.special import expit

from cascade.labels import SACRUM
from cascade.postproc.chain import Chain
from cascade.postproc.parameters import CostParameters, NamingParameters
from cascade.postproc.shape_model import FEATURES, NO_LEVEL, S1
from cascade.volume import FloatArray

_THORACIC = tuple(f"T{n}" for n in range(1, 13))
_LUMBAR = tuple(f"L{n}" for n in range(1, 6))
#: Whole presacral spines by what is unusual about them, with the structures that must be in the chain to tell.
SPINES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "usual": (_THORACIC + _LUMBAR, ()),
        "six-lumbar": (_THORACIC + _LUMBAR + ("L6",), ("L6",)),
        "four-lumbar": (_THORACIC + _LUMBAR[:4], ("L4",)),
        "thirteen-thoracic": ((*_THORACIC, "T13", *_LUMBAR), ("T13",)),
        "eleven-thoracic": (_THORACIC[:11] + _LUMBAR, ("T11", "L1")),
        "s1-as-body": ((*_THORACIC, *_LUMBAR, SACRUM), (SACRUM,)),
        "six-lumbar-s1-as-body": ((*_THORACIC, *_LUMBAR, "L6", SACRUM), ("L6", SACRUM)),
        "four-lumbar-s1-as-body": ((*_THORACIC, *_LUMBAR[:4], SACRUM), ("L4", SACRUM)),
    }
)
#: What a spine with one lumbar vertebra more or less looks like: the usual one from a level upwards moved by one. A middle lumbar
#: level is there twice or not at all; or the lowest is missing, which has become a part of the sacrum.
_LOOKS: Mapping[int, tuple[tuple[int, int], ...]] = MappingProxyType({4: ((3, 1), (0, 1)), 5: ((0, 0),), 6: ((3, -1),)})


def lumbar_count(variant: str) -> int:
    """How many lumbar vertebrae a spine of `SPINES` has."""
    return sum(name.startswith("L") for name in SPINES[variant][0])


def rarity(variant: str, count: int | None, costs: CostParameters) -> float:
    """How unusual a spine is, if the user says `count` lumbar vertebrae or nothing."""
    cost = costs.rare_lumbar_count * (count is None and lumbar_count(variant) != 5)
    cost += costs.rare_thoracic_count * variant.endswith("thoracic")
    return cost + costs.s1_as_body * variant.endswith("s1-as-body")


class ShapeCosts:
    """What it costs to keep a part of the chain whose last body is a certain level; each is computed once.

    Parameters
    ----------
    chain : Chain
    shape : (9, links) array or None
        From `cascade.postproc.shape.spine_shape`; weighed if `parameters` hold a shape model.
    parameters : NamingParameters
    """

    def __init__(self, chain: Chain, shape: FloatArray | None, parameters: NamingParameters) -> None:
        self._shape = None if shape is None else shape[: len(FEATURES)]
        self._model = parameters.shape_model if shape is not None else None
        self._given = parameters.costs
        self._volumes = np.array([link.body.volume_mm3 if link.body else 0.0 for link in chain.links])
        self._costs: dict[tuple[int, int, int, tuple[tuple[int, int], ...]], float] = {}

    def __call__(self, first: int, stop: int, last: int, variant: str) -> float:
        """Cost of keeping the links from `first` to before `stop` if `last` bodies of the spine lie below the last of them."""
        looks = _LOOKS[lumbar_count(variant)]
        key = (first, stop, last, looks)
        if key not in self._costs:
            # each look is as likely as the others
            kept = [self._kept(first, stop, last, look) for look in looks]
            self._costs[key] = self._ghosts(first, stop) + float(np.log(len(looks)) - np.logaddexp.reduce(np.negative(kept)))
        return self._costs[key]

    def _ghosts(self, first: int, stop: int) -> float:
        kept = self._volumes[first:stop]
        left_out = np.r_[self._volumes[:first], self._volumes[stop:]]
        sizes = np.minimum(1.0, left_out[left_out > 0] / np.median(kept[kept > 0]))
        rarity_each = self._given.ghost if self._model else self._given.ghost + self._given.ghost_without_model
        return float((rarity_each + self._given.large_ghost * sizes).sum())

    def _kept(self, first: int, stop: int, last: int, look: tuple[int, int]) -> float:
        if self._shape is None or self._model is None:
            return 0.0
        above, by = look
        levels = [last + stop - 1 - i for i in range(self._shape.shape[1])]
        alike = [level + by if level >= above else level for level in levels]
        return self._model.cost(self._shape, [level if first <= i < stop else NO_LEVEL for i, level in enumerate(alike)])


def end_cost(last: int, chain: Chain, index: int, room_below_mm: float, costs: CostParameters) -> float:
    """How well the place of the last body (0 = lowest presacral, -1 = S1) goes with what is seen below it."""
    if _adjoins_sacrum(chain, index, costs):
        whole = _wholeness_of_disc_below(chain, index, costs)
        above_sacrum = costs.disc_below_s1 * whole if last == S1 else costs.remnant_below_l5 * (1 - whole)
        return costs.not_last_above_sacrum if last > 0 else above_sacrum
    if room_below_mm > costs.view_of_one_more_mm:
        return 0.0 if last <= 0 else costs.not_last_with_room
    return 0.0 if last <= 0 else costs.not_l5_by_default


def s1_odds(shape: FloatArray | None, parameters: NamingParameters, count: int) -> FloatArray:
    """How much each body looks like S1, in nats; NaN where that is not known."""
    if shape is None or parameters.s1_looks is None:
        return np.full(count, np.nan)
    return parameters.s1_looks.log_odds(shape[len(FEATURES) :])


def sacral_cost(chain: Chain, names: Sequence[str | None], stop: int, costs: CostParameters, odds: FloatArray) -> float:
    """How well the names go with where stage 2 sees a part of the sacrum, and with which body looks like S1.

    That nothing of the sacrum is seen in a body says the less against its being S1, the more it looks like it.
    """
    cost = 0.0
    for i, (link, name, share) in enumerate(zip(chain.links, names, chain.sacral, strict=True)):
        beyond = share / chain.parameters.half_sacral - 0.5
        if name not in (None, SACRUM):
            limit = costs.sacral_limit_at_border if link.body and link.body.touches_border else costs.sacral_limit
            cost += min(costs.sacral * max(0.0, beyond), limit) + costs.looks * _surprise(odds[i])
        elif link.body and chain.sacrum and (name == SACRUM or i >= stop):
            vertebral = _wholeness_of_disc_below(chain, i, costs) if _is_between_discs(chain, i) else 0.0
            doubt = 1.0 if np.isnan(odds[i]) else float(expit(-odds[i]))
            cost += costs.not_sacral * min(1.0, max(0.0, 1 - 2 * beyond)) * (1 + vertebral) * doubt
        if name == SACRUM:
            cost += costs.looks * _surprise(-odds[i])
    return cost


def _surprise(log_odds: float) -> float:
    """Minus the log probability of what has these odds against it; 0 if they are not known."""
    return 0.0 if np.isnan(log_odds) else float(np.logaddexp(0.0, log_odds))


def _is_between_discs(chain: Chain, index: int) -> bool:
    """Whether a disc was found above and below this link's body, as of a vertebra."""
    above = chain.links[index - 1].disc if index else chain.disc_above
    return above is not None and chain.links[index].disc is not None


def _wholeness_of_disc_below(chain: Chain, index: int, costs: CostParameters) -> float:
    """From 0, none or one as small beside those above as the remnant of S1/S2, to 1, one like them, or none to compare with."""
    return float(np.interp(disc_below_share(chain, index), (costs.remnant_disc, costs.whole_disc), (0.0, 1.0)))


def disc_below_share(chain: Chain, index: int) -> float:
    """Volume of the disc below the body of this link beside the median of those above; infinite if there is none above."""
    above = [link.disc.volume_mm3 for link in chain.links[:index] if link.disc is not None]
    disc = chain.links[index].disc
    return (disc.volume_mm3 if disc else 0.0) / float(np.median(above)) if above else np.inf


def _adjoins_sacrum(chain: Chain, index: int, costs: CostParameters) -> bool:
    """Whether the sacrum, or what was half taken for it, follows the body of this link, with no room for another one between them."""
    body = chain.links[index].body
    beneath = zip(chain.links[index + 1 :], chain.sacral[index + 1 :], strict=True)
    sacra = [link.body for link, share in beneath if share > chain.parameters.half_sacral]
    below = [s.position_mm for s in (*sacra, chain.sacrum) if s is not None]
    if body is None or not below:
        return False
    steps = np.diff([b.position_mm for b in chain.bodies])
    typical = float(np.median(steps)) if len(steps) else costs.typical_step_mm
    return 0 < min(below) - body.position_mm < costs.adjoining_steps * typical
