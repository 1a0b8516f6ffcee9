"""What a person has said about one scan, step by step: clicks and a numbering, with a way back and forth.

A step is nothing but what `cascade.segment` takes; there is no other way to correct.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cascade.errors import InputError
from cascade.postproc.clicks.click import Click, clicks_to_json, parse_clicks
from cascade.postproc.naming import Numbering

#: More steps than anybody takes; bounds the file and the work of a request.
MAX_STEPS = 500


@dataclass(frozen=True)
class Edit:
    """All that has been said, after one step.

    Parameters
    ----------
    clicks : tuple of Click
    numbering : Numbering
        Lowest, highest, count.
    names : frozenset of Click
        Those of the clicks that only named what was there.
    says : str
        What the step was, for people.
    """

    clicks: tuple[Click, ...] = ()
    numbering: Numbering = dataclasses.field(default_factory=Numbering)
    names: frozenset[Click] = frozenset()
    says: str = ""

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return bool(self.clicks) or self.numbering != Numbering()

    @property
    def key(self) -> tuple[tuple[Click, ...], str | None, str | None, int | None]:
        """What the result follows from."""
        return self.clicks, self.numbering.lowest, self.numbering.highest, self.numbering.count

    def clicked(self, *clicks: Click, says: str) -> Edit:
        """With more clicks."""
        return dataclasses.replace(self, clicks=(*self.clicks, *clicks), says=says)

    def named(self, click: Click, says: str) -> Edit:
        """With a click that names what is there."""
        return dataclasses.replace(self.clicked(click, says=says), names=self.names | {click})

    def renamed(self, click: Click, says: str) -> Edit:
        """With a click that names what is there in place of all earlier ones, which it contradicts."""
        kept = tuple(one for one in self.clicks if one not in self.names)
        return Edit((*kept, click), self.numbering, frozenset({click}), says)

    def numbered(self, says: str, **known: Any) -> Edit:
        """With another lowest, highest or count."""
        return dataclasses.replace(self, numbering=dataclasses.replace(self.numbering, **known), says=says)

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        known = {name: getattr(self.numbering, name) for name in ("lowest", "highest", "count")}
        numbers = [number for number, click in enumerate(self.clicks) if click in self.names]
        return {"clicks": clicks_to_json(self.clicks), "numbering": known, "names": numbers, "says": self.says}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Edit:
        """Read `to_json`; KeyError, TypeError, ValueError or a CascadeError if it is none."""
        clicks = parse_clicks(content["clicks"])
        names = frozenset(clicks[int(number)] for number in content["names"])
        return cls(clicks, Numbering(**content["numbering"]), names, str(content["says"]))


@dataclass(frozen=True)
class History:
    """Steps, and which of them holds.

    Parameters
    ----------
    steps : tuple of Edit
        The first says nothing.
    at : int
    """

    steps: tuple[Edit, ...] = (Edit(),)
    at: int = 0

    @property
    def now(self) -> Edit:
        """The step that holds."""
        return self.steps[self.at]

    def with_step(self, edit: Edit) -> History:
        """After one more step; those that were taken back are forgotten.

        Raises
        ------
        InputError
            There are too many.
        """
        if self.at + 1 >= MAX_STEPS:
            raise InputError(f"expected at most {MAX_STEPS} steps of correction in one scan; take some back")
        return History((*self.steps[: self.at + 1], edit), self.at + 1)

    def moved(self, by: int) -> History:
        """A step back (-1) or forth (1), as far as there are any."""
        return dataclasses.replace(self, at=min(max(self.at + by, 0), len(self.steps) - 1))

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {"steps": [step.to_json() for step in self.steps[1:]], "at": self.at}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> History:
        """Read `to_json`; errors as those of `Edit.from_json`."""
        steps = (Edit(), *(Edit.from_json(step) for step in content["steps"]))
        at = int(content["at"])
        if not 0 <= at < len(steps):
            raise ValueError(at)
        return cls(steps, at)
