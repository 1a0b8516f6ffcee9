"""What is told about names: how sure they are, what was cut, missed or left out, and what a label scheme has no number for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cascade.labels import CASCADE, SACRUM, LabelScheme, disc_below, rank
from cascade.notices import Notice, Rank, count_of, rounded_down
from cascade.postproc.chain import Chain
from cascade.postproc.costs import lumbar_count
from cascade.postproc.instances import Instance
from cascade.postproc.naming import Naming, Numbering
from cascade.postproc.parameters import CostParameters


@dataclass(frozen=True, eq=False)
class Named:
    """A chain with its names.

    Parameters
    ----------
    chain : Chain
    naming : Naming
        Of its links.
    structures : mapping of str to Instance
        What was found, by name.
    split : frozenset of int
        Values of the bodies that were cut from another.
    doubt : str
        What speaks for the lowest vertebra's being S1 (`lowest_may_be_s1`); empty if nothing does, or a person told a level.
    """

    chain: Chain
    naming: Naming
    structures: Mapping[str, Instance]
    split: frozenset[int]
    doubt: str


def about_chain(found: Named, costs: CostParameters) -> Iterator[Notice]:
    """What to know about the parts of a chain, and what speaks against names that are probable in themselves."""
    chain, naming = found.chain, found.naming
    doubt = None if naming.confidence < costs.uncertain_below else _doubt(found, costs)
    if doubt:
        yield Notice("numbering-uncertain", None, doubt)
    for name, instance in found.structures.items():
        if instance.touches_border:
            yield Notice("cut-by-border", name, f"{name} is cut by the upper or lower end of the field of view")
        if instance.value in found.split:
            yield Notice("body-split", name, f"{name} was fused with a neighbour and has been cut apart")
    for link, above, below in zip(chain.links, naming.names, naming.names[1:], strict=False):
        if link.body is None:
            yield Notice("missing-body", None, "two bodies are so far apart that one between them was not found")
        elif link.disc is None and above and below:
            yield Notice("missing-disc", disc_below(above, below), f"no disc was found between {above} and {below}")
    ghosts = [link.body for link, name in zip(chain.links, naming.names, strict=True) if link.body is not None and name is None]
    sacral = chain.bodies_below(naming.last) if SACRUM in found.structures else []
    strays = (*chain.strays, *(ghost for ghost in ghosts if ghost not in sacral))
    if strays:
        yield about_strays(strays, chain.bodies, found.structures)


def _doubt(found: Named, costs: CostParameters) -> str:
    """What speaks against names that are probable in themselves."""
    if _leaves_out_a_body_below(found.chain, found.naming, costs.collapsed_body):
        return f"what lies below {found.naming.names[found.naming.last]} may be a vertebra"
    if 2 * sum(body.value in found.split for body in found.chain.bodies) > len(found.chain.bodies):
        return "most bodies were fused and have been cut apart; how many there are is a guess"
    return found.doubt


def lowest_may_be_s1(naming: Naming, sacral_share: float, s1_odds: float, costs: CostParameters) -> str:
    """What speaks for the lowest vertebra's being S1, though its name is probable.

    Parameters
    ----------
    naming : Naming
    sacral_share : float
        Depth of what follows it, from front to back, beside those of the two vertebrae above it; NaN if one is missing.
    s1_odds : float
        How much it looks like S1, in nats; NaN if that is not known.
    costs : CostParameters
    """
    lowest, why = naming.names[naming.last], ""
    if sacral_share < costs.narrow_sacrum:
        narrow = f"what follows {lowest} is only {sacral_share:.2f} times as deep as the vertebrae above it"
        why = f"{narrow}, as the second sacral vertebra often is"
    elif s1_odds > 0:
        why = f"the front and the back of {lowest} slant as those of the first sacral vertebra do"
    return f"{why}; {lowest} may be S1" if why and lowest != SACRUM else ""


def _leaves_out_a_body_below(chain: Chain, naming: Naming, collapsed: float) -> bool:
    """Whether something as large as a collapsed body is left out below the lowest named one."""
    below = naming.last + 1
    named = [link.body.volume_mm3 for link in chain.links[:below] if link.body]
    left_out = zip(chain.links[below:], chain.sacral[below:], strict=True)
    large = [link.body.volume_mm3 for link, share in left_out if link.body and share < chain.parameters.half_sacral]
    return SACRUM not in naming.names and any(volume >= collapsed * float(np.median(named)) for volume in large)


def numbering_notices(
    naming: Naming, structures: Collection[str], room_below_mm: float, costs: CostParameters, *, told: Numbering | None = None
) -> Iterator[Notice]:
    """What to know about the names as a whole.

    Parameters
    ----------
    naming : Naming
    structures : collection of str
        What was found; whether the sacrum is among it counts.
    room_below_mm : float
        Field of view below the last body.
    costs : CostParameters
    told : Numbering, optional
        What the user knows. What was told, or rests on it, is a note.
    """
    told = told or Numbering()
    if SACRUM not in structures and room_below_mm < costs.view_of_one_more_mm:
        yield _without_sacrum(told)
    if naming.confidence < costs.uncertain_below:
        text = f"the levels have a probability of {rounded_down(naming.confidence, 3)}, given the number of lumbar vertebrae; "
        yield Notice("numbering-uncertain", None, text + _next_best(naming))
    as_told: Rank = "warning" if told.count is None else "note"
    if "L6" in naming.names:
        yield Notice("lumbar-count-6", "L6", "six lumbar vertebrae are named", as_told)
    if naming.variant.startswith("four-lumbar") and "L4" in naming.names:
        yield Notice("lumbar-count-4", "L4", "four lumbar vertebrae are named", as_told)
    if naming.possible:
        count = {4: "four", 6: "six"}.get(lumbar_count(naming.possible), "five")
        text = f"a transitional vertebra is possible; with {count} lumbar vertebrae the names from the top down would be: "
        rank: Rank = "warning" if naming.possible_margin < costs.alike else "note"
        yield Notice("possible-lstv", None, text + _row(naming.possible_names), rank)
    elif naming.variant.endswith("-thoracic") or SACRUM in naming.names:
        yield Notice("possible-lstv", None, f"a transitional vertebra is possible; {_next_best(naming)}")


def _without_sacrum(told: Numbering) -> Notice:
    if told.says_where:
        return Notice("no-sacrum-in-view", None, "the sacrum is not in view; the levels are named by what was told", "note")
    return Notice("no-sacrum-in-view", None, "the sacrum is not in view; the levels are named without their usual anchor")


def _next_best(naming: Naming) -> str:
    return f"the next best from the top down: {_row(naming.second_best)}"


def _row(names: Sequence[str | None]) -> str:
    return ", ".join(name or "?" for name in names)


def about_strays(strays: Sequence[Instance], bodies: Sequence[Instance], named: Mapping[str, Instance]) -> Notice:
    """The notice of what was left out: a warning if the centre of a piece lies within a body's length of that of a named body or disc.

    Parameters
    ----------
    strays : sequence of Instance
        At least one.
    bodies : sequence of Instance
        Their median length counts.
    named : mapping of str to Instance
    """
    length_mm = float(np.median([body.length_mm for body in bodies]))
    near = any(lies_beside(stray, (instance for name, instance in named.items() if name != SACRUM), length_mm) for stray in strays)
    kinds = ", ".join(sorted({stray.kind for stray in strays}))
    text = f"left out {'beside' if near else 'off'} the chain: {count_of(len(strays), 'component')} ({kinds})"
    return Notice("stray-component-removed", None, text, "warning" if near else "note")


def lies_beside(piece: Instance, parts: Iterable[Instance], length_mm: float) -> bool:
    """Whether the centre of a piece lies within a body's length of that of one of the parts of a chain."""
    return any(float(np.linalg.norm(np.subtract(part.centroid_mm, piece.centroid_mm))) < length_mm for part in parts)


def about_labels(notices: Iterable[Notice], structures: Iterable[str], scheme: LabelScheme) -> Iterator[Notice]:
    """The notices but those of cuts through what the scheme leaves out, and one about what of the structures it leaves out.

    Of the default scheme everybody knows that it has nine structures; it says nothing of the others.
    """
    yield from (notice for notice in notices if notice.code != "cut-by-border" or (notice.level or "") in scheme)
    missing = not_in_scheme(structures, scheme)
    if missing and scheme != CASCADE:
        yield Notice("structures-not-in-scheme", None, f"scheme {scheme.name} has no number for {', '.join(missing)}")


def not_in_scheme(structures: Iterable[str], scheme: LabelScheme) -> tuple[str, ...]:
    """The structures that a scheme has no number for, from head to foot.

    >>> not_in_scheme(["sacrum", "L5", "T12"], CASCADE)
    ('T12', 'sacrum')
    """
    return tuple(sorted((name for name in structures if name not in scheme), key=rank))
