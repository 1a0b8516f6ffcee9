"""Every number by which components become a chain and the chain gets its names: unit, meaning, and where it comes from.

They travel in the StageSpec of stage 2, as they belong to what its network answers; one that a spec does not say has the
value that stands here. Few are fitted to data: `shape_model` and `s1_looks` when stage 2 is trained (`cascade.training.shape`);
and what is *counted* or *on the same* below, by ``python benchmarks/naming.py CASES``, which also shows what three limits rest on.
The others were set by hand; *by hand* means that no other value was measured.

Costs are negative log likelihoods in nats: 7 nats are odds of one to a thousand.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from cascade.postproc.s1_looks import S1Looks
from cascade.postproc.shape_model import ShapeModel


def _number(default: float, unit: str, meaning: str, source: str, *, most: float = 1000.0) -> Any:  # a field of any numeric type
    """A parameter between 0 and `most`."""
    return dataclasses.field(default=default, metadata={"unit": unit, "meaning": meaning, "source": source, "most": most})


def _mm(default: float, meaning: str, source: str) -> Any:
    return _number(default, "mm", meaning, source)


def _mm3(default: float, meaning: str, source: str) -> Any:
    return _number(default, "mm³", meaning, source, most=1e6)


def _nats(default: float, meaning: str, source: str) -> Any:
    return _number(default, "nats", meaning, source)


def _ratio(default: float, meaning: str, source: str) -> Any:
    return _number(default, "1", meaning, source, most=10.0)


_FIRST = "by hand, before any network was trained"
_HAND = "by hand; on which scans is not recorded"


@dataclass(frozen=True)
class _Numbers:
    """Numbers within their ranges.

    Raises
    ------
    ValueError
        One is out of its range; the message names it.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, most = getattr(self, field.name), field.metadata["most"]
            if not 0 <= value <= most:
                raise ValueError(f"{field.name}: expected 0 to {most:g}; found {value:g}")


@dataclass(frozen=True)
class InstanceParameters(_Numbers):
    """From class probabilities to components (`cascade.postproc.instances`)."""

    min_body_mm3: float = _mm3(800.0, "smaller bodies are noise", _FIRST)
    min_disc_mm3: float = _mm3(150.0, "smaller discs are noise", _FIRST)
    min_sacrum_mm3: float = _mm3(800.0, "smaller pieces of the sacrum are noise", _FIRST)
    min_body_share: float = _ratio(0.12, "of the median body: smaller ones are slivers", _FIRST)
    min_disc_share: float = _ratio(0.08, "of the median disc: smaller ones are slivers", _FIRST)
    beyond_line_mm: float = _mm(25.0, "the centreline may end this far before the centre of the last body", _HAND)
    fused_ratio: float = _ratio(
        1.65, "what is longer than so many typical bodies with their discs is several", "1.5 at first; by hand, with the third network"
    )
    min_typical_mm: float = _mm(10.0, "a typical body is at least so high", "anatomy: the lowest thoracic bodies have twice that")
    max_typical_mm: float = _mm(26.0, "a typical body is at most so high (without its outer tenths)", "anatomy: L3 of a tall adult")
    typical_disc_mm: float = _mm(7.0, "height of the disc between two fused bodies", "anatomy: lumbar discs have 7 to 12 mm")
    length_spread: float = _ratio(0.15, "a body may be by this share shorter or longer than a typical one", _HAND)
    enclosed_disc: float = _ratio(0.5, "a body with so much disc in a section of its middle half is two joined around it", _HAND)
    clearly_thinner: float = _ratio(0.8, "another number of pieces than expected needs sections smaller by this", _HAND)


@dataclass(frozen=True)
class ChainParameters(_Numbers):
    """From components to one chain (`cascade.postproc.chain`)."""

    min_bodies: int = _number(2, "bodies", "fewer are no spine", "by hand: a network saw one body in a sphere")
    min_largest_body_mm3: float = _mm3(
        2500.0, "a spine without a larger body is none", "by hand: five slices of 1 mm hold more of a vertebra"
    )
    max_offset_mm: float = _mm(
        28.0, "a body or disc further from the centreline is no part of the spine", f"{_FIRST}; anatomy: half a body"
    )
    max_sacrum_offset_mm: float = _mm(56.0, "the same of the sacrum, which turns away below the line's end", f"{_FIRST}: twice the other")
    same_level_overlap: float = _ratio(0.5, "what shares more of its extent along the spine are pieces of one", _FIRST)
    missing_body_steps: float = _ratio(
        1.5,
        "so many typical steps between two bodies leave room for a third, if one body's length between them is free",
        "1.6 at first; by hand, on short chains with uneven steps",
    )
    missing_body_lengths: float = _ratio(
        1.25,
        "so many free body lengths between two bodies do, too; more than one, as lengths leave out a tenth and gaps seem larger",
        _HAND,
    )
    inside_body: float = _ratio(0.25, "of a body's height: what looks like a disc so near to its centre is none", _HAND)
    disc_reach: float = _ratio(1.2, "so many body heights from the outermost body an outer disc may lie", _FIRST)
    min_disc_reach_height_mm: float = _mm(20.0, "a body's height counts as at least this for it", _FIRST)
    large_sacrum: float = _ratio(0.5, "of the largest piece of the sacrum: what is smaller is a fragment", _HAND)
    large_sacrum_at_border: float = _ratio(
        0.2, "of a body: a smaller piece at the end of the view may be the top of one more vertebra", _HAND
    )
    sacral_gap_mm: float = _mm(
        10.0,
        "what lies further from the sacrum is no part of it",
        "anatomy: rudimentary S1/S2 discs are thinner; cross-validation: two scans",
    )
    half_sacral: float = _number(
        0.03,
        "probability",
        "a body in which the sacrum is likelier by this than in the others is the part of S1 that was taken for one",
        "looking at all 96 scans with five networks: true bodies 0.00 to 0.017, parts of S1 0.04 to 0.13 (one of a sixth: 0.008)",
        most=1.0,
    )
    sliver: float = _ratio(0.5, "of the median body: smaller pieces at the end of the view say nothing of the sacrum", _HAND)


@dataclass(frozen=True)
class CostParameters(_Numbers):
    """What speaks for and against a sequence of names (`cascade.postproc.costs`), and when a doubt is told."""

    rare_thoracic_count: float = _nats(7.0, "thirteen or eleven thoracic vertebrae", _FIRST)
    s1_as_body: float = _nats(4.0, "S1 was taken for a body", _FIRST)
    rare_lumbar_count: float = _nats(5.0, "four or six lumbar vertebrae, unless asked for", "6 at first; by hand, not from how often it is")
    overwhelming: float = _nats(
        6.0, "another count must be cheaper by this to be named unasked", "by hand, on train labels without their L5"
    )
    possible: float = _nats(
        3.0, "another count is mentioned if it is dearer by less", "by hand, on train labels: 83 % with L5 taken away, 1 % as they are"
    )
    alike: float = _nats(
        0.0,
        "another count that is dearer by less is a warning: one that fits better; one beyond it is a note",
        "with 1 nat 3 of 108 single slices of train patients that are named right, out of fold, carried the warning, and none that is not",
    )
    not_last_above_sacrum: float = _nats(14.0, "the last body is not the lowest presacral one although the sacrum follows", _FIRST)
    not_last_with_room: float = _nats(5.0, "the same although the field of view goes on below it", _FIRST)
    not_l5_by_default: float = _nats(0.7, "the same where the view ends", f"{_FIRST}: one to two")
    view_of_one_more_mm: float = _mm(
        45.0, "with so much view below the last body one more would be seen", f"{_FIRST}; anatomy: a step of 30 to 40 mm"
    )
    adjoining_steps: float = _ratio(1.7, "a sacrum within so many typical steps follows the body, with no room for one between", _FIRST)
    typical_step_mm: float = _mm(35.0, "the step where there is no other to compare with", "anatomy: L3 to L4")
    remnant_below_l5: float = _nats(
        5.0,
        "a disc below L5 that is as small as the remnant between S1 and S2; less the larger it is, none from `whole_disc` on",
        "counted on 80 scans and 97 single slices of train patients: one disc below L5 is so small; -log(1/177) = 5.2",
    )
    disc_below_s1: float = _nats(3.0, "a whole disc below S1; less the smaller it is, none below `remnant_disc`", _HAND)
    remnant_disc: float = _ratio(
        0.2, "of the median disc above: what is smaller is a remnant, or nearly gone", "on the same: one L5/S1 disc of 177"
    )
    whole_disc: float = _ratio(0.4, "what is larger is a whole disc", "on the same: all others have 0.45 and more")
    sacral: float = _nats(
        20.0, "for each `half_sacral` beyond half of one that a presacral body has", "all 96 scans, three networks; by hand"
    )
    sacral_limit: float = _nats(20.0, "at most so much", "8, 10 and 14 tried; looking at val, changed val and cross-validated scans")
    sacral_limit_at_border: float = _nats(6.0, "at most so much where the view cuts the body", "looking at val scans cut in half")
    not_sacral: float = _nats(
        6.0,
        "left out at the lower end or called sacrum without any sacrum in it; none from `half_sacral` on; up to twice between two discs",
        "looking at a val scan with a slipped L5, five networks",
    )
    looks: float = _ratio(
        0.5,
        "of how much a body looks like S1, or does not (`S1Looks`), that counts",
        "1 and 2 tried on 423 single slices of train patients, out of fold: hardly more are right with more, and more are unsure",
    )
    ghost: float = _nats(2.0, "a body that is none", "by hand, when bodies in the pelvis were seen")
    large_ghost: float = _nats(6.0, "the same if it is as large as the others, less in proportion", _HAND)
    ghost_without_model: float = _nats(
        10.0, "the same where no shape model says that its place is not the next level's", "about log(360 degrees times 100 mm)"
    )
    collapsed_body: float = _ratio(
        0.25, "of the median body: as large a one left out below the names is a doubt", "by hand; anatomy: a body that has collapsed"
    )
    narrow_sacrum: float = _ratio(
        0.687,
        "of the depth of L3 and L4, from front to back: a shallower first sacral body may be the second one",
        "161 single slices of train patients, named right out of fold: 5 in 100 have less; the one with S1 called L5 has 0.56",
    )
    uncertain_below: float = _number(
        0.998,
        "probability",
        "names of a smaller one are called uncertain",
        "whole train scans have 0.9980 and more, but one; a val scan with its L5 cut off had up to 0.9974 a level off",
        most=1.0,
    )


@dataclass(frozen=True)
class MeasuringParameters(_Numbers):
    """How the shape of bodies is measured (`cascade.postproc.shape`); a shape model goes with the values that it was fitted with."""

    slab_mm: float = _mm(8.0, "half width of the slab around the middle of a body in which it is measured", "by hand: two thick slices")
    min_elongation: float = _ratio(1.08, "a section that is less elongated has no tilt that can be told", _HAND)
    min_points: int = _number(20, "voxels", "a section of fewer is not measured", "by hand")
    whole_share: float = _ratio(0.85, "of the others' height: a body at the border that has it counts as whole", _HAND)


@dataclass(frozen=True)
class NamingParameters:
    """All of them.

    Parameters
    ----------
    instances : InstanceParameters
    chain : ChainParameters
    costs : CostParameters
    measuring : MeasuringParameters
    shape_model : ShapeModel, optional
        Weighs the shape of the bodies. Fitted to the training labels; without one, names rest on what is seen beside them.
    s1_looks : S1Looks, optional
        Weighs whether a body looks like S1; fitted to the same spines.
    """

    instances: InstanceParameters = dataclasses.field(default_factory=InstanceParameters)
    chain: ChainParameters = dataclasses.field(default_factory=ChainParameters)
    costs: CostParameters = dataclasses.field(default_factory=CostParameters)
    measuring: MeasuringParameters = dataclasses.field(default_factory=MeasuringParameters)
    shape_model: ShapeModel | None = None
    s1_looks: S1Looks | None = None

    def to_json(self) -> dict[str, Any]:
        """All of them in the types of JSON, for the `naming` of a StageSpec."""
        content: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return content
