"""What is told about what is not in the output."""

from __future__ import annotations

import pytest

from cascade.postproc.instances import Instance
from cascade.postproc.told import about_strays


def instance(kind: str, y_mm: float, z_mm: float) -> Instance:
    """Something 26 mm long whose centre lies in the middle plane."""
    return Instance(kind, 1, (0.0, y_mm, z_mm), -z_mm, -z_mm - 13.0, -z_mm + 13.0, 0.0, 20000.0, 0.9)


CHAIN = {"L4": instance("body", 0.0, 0.0), "L5": instance("body", 0.0, -36.0), "sacrum": instance("sacrum", 0.0, -70.0)}
BODIES = (CHAIN["L4"], CHAIN["L5"])


@pytest.mark.parametrize(
    ("y_mm", "z_mm", "rank"), [(25.0, 0.0, "warning"), (27.0, 0.0, "note"), (0.0, 18.0, "warning"), (5.0, -80.0, "note")]
)
def test_only_a_piece_within_a_bodys_length_of_a_named_one_is_a_warning(y_mm: float, z_mm: float, rank: str) -> None:
    notice = about_strays([instance("disc", 90.0, 0.0), instance("disc", y_mm, z_mm)], BODIES, CHAIN)
    assert (notice.rank, notice.text.endswith(": 2 components (disc)")) == (rank, True)
