"""What a page is made of, so that pages need not know who makes results: `cascade.segmentation.Segmentation` has all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cascade.measure import Fitted, Measurement
from cascade.notices import Notice
from cascade.volume import FloatArray, LabelMap, Volume


class Named(Protocol):
    """A level."""

    @property
    def name(self) -> str:
        """The structure."""

    @property
    def confidence(self) -> float:
        """From 0 to 1."""


class Sure(Protocol):
    """The numbering."""

    @property
    def confidence(self) -> float:
        """From 0 to 1."""


class Located(Protocol):
    """The column."""

    @property
    def centreline_mm(self) -> FloatArray:
        """Points from head to foot, (n, 3), RAS+."""


class Result(Protocol):
    """The result for one scan; see `cascade.segmentation.Segmentation` for what the parts are."""

    @property
    def scan(self) -> Volume:
        """The input."""

    @property
    def labels(self) -> LabelMap:
        """On its grid."""

    @property
    def spine(self) -> Located:
        """Where it is cut."""

    @property
    def levels(self) -> Sequence[Named]:
        """Cranial to caudal."""

    @property
    def fitted(self) -> Fitted:
        """What they are measured on."""

    @property
    def measurements(self) -> Sequence[Measurement]:
        """One row a structure."""

    @property
    def numbering(self) -> Sure:
        """How sure the names are."""

    @property
    def warnings(self) -> Sequence[Notice]:
        """What to look at."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """How it was made."""
