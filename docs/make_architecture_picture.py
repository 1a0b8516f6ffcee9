"""Draw which room imports which, from the imports, and write the table of rooms into docs/architecture.md.

    python docs/make_architecture_picture.py

A room stands above all that it imports. An arrow that follows from others (a imports b, b imports c, a imports c) is left out.
"""

from __future__ import annotations

import ast
import itertools
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests import test_architecture as architecture  # noqa: E402
from tests.test_architecture import FLOORS, GRAPH, NEVER, room_of, target_room  # noqa: E402

PICTURE, PAGE = ROOT / "docs" / "architecture.svg", ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: written by docs/make_architecture_picture.py -->\n", "<!-- end of rooms -->"
#: Rooms that a scan walks through.
WALKED = {"cli", "cohorts", "pipeline", "io", "stage1_spine", "stage2_levels", "networks", "postproc", "segmentation", "measure", "report"}
WIDTH, ROW, BOX, LETTER = 580, 58, 26, 7.6

#: A room and its floor; rooms that an arrow passes have a number instead of a name.
Node = tuple[str, int]


def main() -> None:
    """Write both."""
    PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def arrows() -> set[tuple[str, str]]:
    """Which room imports which."""
    pairs = {(room_of(name), target_room(target)) for name, targets in GRAPH.items() for target in targets if target.startswith("cascade.")}
    return {(room, other) for room, other in pairs if room != other}


def reduced(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Without the arrows that follow from others."""
    below: dict[str, set[str]] = {}
    for room in itertools.chain.from_iterable(FLOORS):
        direct = {other for one, other in pairs if one == room}
        below[room] = direct.union(*(below[other] for other in direct))
    return {(one, other) for one, other in pairs if not any((one, mid) in pairs and other in below[mid] for mid in below if mid != other)}


# ---------------------------------------------------------------------------------------------- the picture


@dataclass(frozen=True)
class Drawing:
    """Rows of nodes from the top down, and the steps of arrows from one row to the next."""

    rows: list[list[Node]]
    steps: set[tuple[Node, Node]]
    ends: set[Node]


def drawing() -> Drawing:
    """Rooms on their floors, with a place in every row that an arrow passes."""
    floors = {room: len(FLOORS) - 1 - i for i, rooms in enumerate(FLOORS) for room in rooms}
    rows: list[list[Node]] = [[(room, i) for room in sorted(rooms)] for i, rooms in enumerate(reversed(FLOORS))]
    steps, ends = set(), {node for row in rows for node in row}
    for one, other in sorted(reduced(arrows())):
        path: list[Node] = [(f"{one}>{other}", i) for i in range(floors[one] + 1, floors[other])]
        for node in path:
            rows[node[1]].append(node)
        steps |= set(itertools.pairwise([(one, floors[one]), *path, (other, floors[other])]))
    for _ in range(8):
        for row, end in [*((row, 0) for row in rows[1:]), *((row, 1) for row in rows[-2::-1])]:
            _sort(row, rows, steps, end)
    return Drawing(rows, steps, ends)


def _sort(row: list[Node], rows: list[list[Node]], steps: set[tuple[Node, Node]], end: int) -> None:
    """Order a row by where its neighbours above (`end` 0) or below (1) stand."""
    place = {node: (i + 0.5) / len(other) for other in rows for i, node in enumerate(other)}
    near = {node: [place[step[end]] for step in sorted(steps) if step[1 - end] == node] or [place[node]] for node in row}
    row.sort(key=lambda node: (round(sum(near[node]) / len(near[node]), 6), node))


def places(drawn: Drawing) -> dict[Node, tuple[float, float]]:
    """The middle of each node, in pixels: in its row's order, as near to its neighbours above and below as the row has room."""
    x = {node: WIDTH * (i + 0.5) / len(row) for row in drawn.rows for i, node in enumerate(row)}
    for _ in range(60):
        for row in (*drawn.rows, *drawn.rows[::-1]):
            near = {node: [x[a if b == node else b] for a, b in sorted(drawn.steps) if node in (a, b)] or [x[node]] for node in row}
            x |= _spread(row, {node: sum(values) / len(values) for node, values in near.items()}, drawn.ends)
    return {node: (x[node], 30.0 + ROW * i) for i, row in enumerate(drawn.rows) for node in row}


def _spread(row: list[Node], wished: dict[Node, float], ends: set[Node]) -> dict[Node, float]:
    """Where the nodes of a row can stand, near to where they wish to."""
    widths = [_width(node[0]) if node in ends else 8.0 for node in row]
    apart = [(a + b) / 2 + 12 for a, b in itertools.pairwise(widths)]
    left = list(itertools.accumulate(apart, initial=widths[0] / 2 + 6))
    right = [WIDTH - 6 - widths[-1] / 2 - (left[-1] - at) for at in left]
    pushed = [min(max(wished[node], low), high) - at for node, low, high, at in zip(row, left, right, left, strict=True)]
    up, down = itertools.accumulate(pushed, max), [*itertools.accumulate(pushed[::-1], min)][::-1]
    return {node: (a + b) / 2 + at for node, a, b, at in zip(row, up, down, left, strict=True)}


def _width(name: str) -> float:
    return LETTER * len(name) + 22


def picture() -> str:
    """The picture as SVG."""
    drawn = drawing()
    at = places(drawn)
    lines = [_line(at[one], at[other], one in drawn.ends, other in drawn.ends) for one, other in sorted(drawn.steps)]
    boxes = [_box(node[0], *at[node]) for node in sorted(drawn.ends)]
    height = 30 + ROW * len(drawn.rows)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="12.5">'
    tip = '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    tip += '<path d="M0 0 8 4 0 8z" fill="#888"/></marker></defs>'
    return "\n".join([head, tip, f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', *lines, *boxes, "</svg>", ""])


def _line(one: tuple[float, float], other: tuple[float, float], leaves: bool, arrives: bool) -> str:
    x1, y1, x2, y2 = one[0], one[1] + (BOX / 2 if leaves else 0), other[0], other[1] - (BOX / 2 if arrives else 0)
    middle, tip = (y1 + y2) / 2, ' marker-end="url(#tip)"' if arrives else ""
    return f'<path d="M{x1:.0f} {y1:.0f}C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2:.0f}" fill="none" stroke="#999"{tip}/>'


def _box(name: str, x: float, y: float) -> str:
    fill, width = ("#cfe4f7" if name in WALKED else "#f2f2f2"), _width(name)
    rect = f'<rect x="{x - width / 2:.0f}" y="{y - BOX / 2:.0f}" width="{width:.0f}" height="{BOX}" rx="4" fill="{fill}" stroke="#667"/>'
    return f'{rect}<text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle">{name}</text>'


# ---------------------------------------------------------------------------------------------- the table


def page(text: str) -> str:
    """The page with the present table of rooms."""
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return f"{before}{BEGIN}{table()}{END}{after}"


def table() -> str:
    """Each room, what it is for and what it never imports."""
    rows = ["| floor | room | what it is for | never imports |", "|---|---|---|---|"]
    for floor, rooms in reversed(list(enumerate(FLOORS))):
        rows += [f"| {floor} | `{room}` | {purpose(room)} | {_listed(sorted(NEVER.get(room, ())))} |" for room in sorted(rooms)]
    return "\n".join([*rows, ""])


def purpose(room: str) -> str:
    """The first line of a room's docstring."""
    path = next(path for path in (architecture.ROOT / f"{room}.py", architecture.ROOT / room / "__init__.py") if path.exists())
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0].replace("->", "→")


def _listed(names: Iterable[str]) -> str:
    return " ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    main()
