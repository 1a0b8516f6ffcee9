"""Draw what slip, lost height, lordosis, sacral slope, sideways bend, canal, a disc's size and signal are, from the phantom's solids.

Run: ``python docs/make_measure_pictures.py`` (writes ``docs/pictures/measures/*.svg``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from cascade.labels import VERSE, is_disc
from cascade.measure.endplates import aligned
from cascade.phantom import PhantomSpec, Solid, solids
from cascade.volume import FloatArray

OUT = Path(__file__).parent / "pictures" / "measures"
SCALE, MARGIN = 4.0, 24.0
#: Half the width of a letter.
_LETTER = 4.5
BODY, DISC, LINE, MEASURE = "#e8c9a0", "#b9d3e8", "#5b6770", "#c8321e"


class Drawing:
    """Shapes in mm, the head up; written with a frame around them."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.points: list[FloatArray] = []

    def polygon(self, corners: Sequence[FloatArray], colour: str) -> None:
        """A filled outline."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self._place, corners))
        self.parts.append(f'<polygon points="{path}" fill="{colour}" stroke="{LINE}" stroke-width="1.5" stroke-linejoin="round"/>')

    def line(self, start: FloatArray, end: FloatArray, colour: str = LINE, *, dashed: bool = False, width: float = 1.5) -> None:
        """A straight line."""
        (x1, y1), (x2, y2) = self._place(start), self._place(end)
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"{dash}/>')

    def text(self, at: FloatArray, words: str, colour: str = LINE, anchor: str = "middle") -> None:
        """Words, centred or to the right of a point."""
        x, y = self._place(at)
        self.points += [np.array([x + side * len(words) * _LETTER, y]) for side in (-1, 1)]
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{words}</text>')

    def save(self, name: str, title: str) -> None:
        """Write the drawing."""
        points = np.array(self.points)
        (left, top), (right, bottom) = points.min(axis=0) - MARGIN, points.max(axis=0) + MARGIN
        box = f"{left:.0f} {top:.0f} {right - left:.0f} {bottom - top:.0f}"
        size = f'viewBox="{box}" width="{right - left:.0f}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="15">'
        back = f'<rect x="{left:.0f}" y="{top:.0f}" width="{right - left:.0f}" height="{bottom - top:.0f}" fill="#fff"/>'
        OUT.mkdir(parents=True, exist_ok=True)
        text = "\n".join([head, f"<title>{title}</title>", back, *self.parts, "</svg>"]) + "\n"
        (OUT / f"{name}.svg").write_text(text, encoding="utf-8")

    def _place(self, point: FloatArray) -> FloatArray:
        placed: FloatArray = np.array([-point[0], -point[1]]) * SCALE
        self.points.append(placed)
        return placed


def parts(spec: PhantomSpec, names: Iterable[str]) -> list[Solid]:
    """Some of the phantom's solids, from head to foot."""
    wanted = set(names)
    return [solid for solid in solids(spec) if solid.name in VERSE and solid.name in wanted]


def corner(solid: Solid, front: int, up: int, plane: tuple[int, int] = (1, 2)) -> FloatArray:
    """One corner in the sagittal plane, or in the coronal one (axes 0 and 2); a sunk end plate lies lower."""
    across = solid.axes[plane[0]] * solid.half_mm[plane[0]] * front
    sunk = 2 * solid.sunk[0 if front > 0 else 1] if up > 0 else 0.0
    point = solid.centre_mm + across + solid.axes[2] * solid.half_mm[2] * (up - sunk)
    seen: FloatArray = point[list(plane)]
    return seen


def outlines(drawing: Drawing, shown: Iterable[Solid], plane: tuple[int, int] = (1, 2)) -> None:
    """Bodies and discs with the names of the bodies."""
    for solid in shown:
        corners = [corner(solid, front, up, plane) for front, up in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
        drawing.polygon(corners, DISC if is_disc(solid.name) else BODY)
        if not is_disc(solid.name):
            drawing.text(solid.centre_mm[list(plane)], "S1" if solid.name == "sacrum" else solid.name)


def slip() -> None:
    """The rear lower corner of the upper body against the rear upper corner of the lower one, along the bisector of the end plates."""
    shown = parts(PhantomSpec(slip=("L4", 7.0)), ("L4", "L4-L5", "L5"))
    drawing, (upper, lower) = Drawing(), (shown[0], shown[-1])
    outlines(drawing, shown)
    bisector = aligned(np.eye(3), upper.axes[2] + lower.axes[2])
    front, up = bisector[1][1:], bisector[2][1:]
    above, below = corner(upper, -1, -1), corner(lower, -1, 1)
    middle = (above + below) / 2
    ends = [point + up * ((middle - point) @ up) for point in (above, below)]
    drawing.line(middle - front * 16, middle + front * 44, dashed=True)
    for point, end in zip((above, below), ends, strict=True):
        drawing.line(point, end, MEASURE)
    drawing.line(ends[0], ends[1], MEASURE, width=4)
    drawing.text(middle - front * 9 + up * 6, "slip", MEASURE)
    drawing.save("slip", "Slip of L4 on L5, along the bisector of the two end plates")


def loss() -> None:
    """A body that lost height in front, against the height that its neighbours let expect."""
    shown = parts(PhantomSpec(collapse=("L2", 0.4, 0.05)), ("L1", "L2", "L3"))
    drawing, body = Drawing(), shown[1]
    outlines(drawing, shown)
    expected = [body.centre_mm[1:] + body.axes[1][1:] * body.half_mm[1] * side + body.axes[2][1:] * body.half_mm[2] for side in (1, -1)]
    drawing.line(expected[0], expected[1], dashed=True)
    drawing.line(expected[0], corner(body, 1, 1), MEASURE, width=4)
    drawing.text(expected[0] + np.array([14.0, -6.0]), "loss", MEASURE)
    drawing.save("loss", "Loss of anterior height of L2, against what its neighbours let expect")


def sagittal_angles() -> None:
    """Lordosis between the upper end plates of L1 and S1, and the slope of S1."""
    bodies = ("L1", "L2", "L3", "L4", "L5", "sacrum")
    shown = parts(PhantomSpec(thoracic=0), (*bodies, "L1-L2", "L2-L3", "L3-L4", "L4-L5", "L5-S1"))
    drawing = Drawing()
    outlines(drawing, shown)
    for solid, words in ((shown[0], "upper end plate of L1"), (shown[-1], "of S1")):
        rear, front = corner(solid, -1, 1), corner(solid, 1, 1)
        along = (front - rear) / np.linalg.norm(front - rear)
        drawing.line(rear - along * 45, front + along * 10, MEASURE)
        drawing.text(rear - along * 30 + np.array([0.0, 3.0]), words, MEASURE)
    corner_mm = corner(shown[-1], 1, 1)
    drawing.line(corner_mm, corner_mm - np.array([46.0, 0.0]), dashed=True)
    drawing.text(corner_mm + np.array([-34.0, 4.0]), "sacral slope", MEASURE)
    drawing.text(np.array([-42.0, 10.0]), "lordosis: angle between both", MEASURE)
    drawing.save("lordosis", "Lordosis L1-S1 and sacral slope")


def bend() -> None:
    """The largest angle in the coronal plane, between the end plates of two bodies."""
    shown = parts(PhantomSpec(cobb_deg=30.0, scoliosis_mm=0.0), ("T12", "L1", "L2", "L3", "L4", "L5"))
    drawing = Drawing()
    outlines(drawing, shown, (0, 2))
    by_name = {solid.name: solid for solid in shown}
    for name, up in (("L1", 1), ("L4", -1)):
        left, right = (corner(by_name[name], side, up, (0, 2)) for side in (-1, 1))
        along = (right - left) / np.linalg.norm(right - left)
        drawing.line(left - along * 12, right + along * 60, MEASURE)
    drawing.text(by_name["L2"].centre_mm[[0, 2]] + np.array([58.0, -18.0]), "Cobb angle", MEASURE)
    drawing.save("cobb", "Sideways bend between the upper end plate of L1 and the lower one of L4")


def canal() -> None:
    """The canal cut at a right angle to its own axis."""
    spec = PhantomSpec(stenosis=("L4", 8.0))
    shown = parts(spec, ("L3", "L3-L4", "L4", "L4-L5", "L5"))
    drawing = Drawing()
    centres = np.array([solid.centre_mm[1:] - (26, 0) for solid in shown])
    heights = np.linspace(centres[0, 1], centres[-1, 1], 60)
    axis = np.interp(heights, centres[::-1, 1], centres[::-1, 0])
    half = 7.5 - (7.5 - 4.0) * np.exp(-(((heights - shown[3].centre_mm[2]) / 8.0) ** 2))
    walls = [np.column_stack([axis + side * half, heights]) for side in (1, -1)]
    drawing.polygon([*walls[0], *walls[1][::-1]], "#d9ecd2")
    outlines(drawing, shown)
    for start, end in zip(np.column_stack([axis, heights])[:-1], np.column_stack([axis, heights])[1:], strict=True):
        drawing.line(start, end, LINE, width=0.8)
    at = int(np.abs(heights - shown[3].centre_mm[2]).argmin())
    along = np.array([axis[at + 3] - axis[at - 3], heights[at + 3] - heights[at - 3]])
    across = np.array([-along[1], along[0]]) / np.linalg.norm(along)
    place = np.array([axis[at], heights[at]])
    drawing.line(place - across * half[at], place + across * half[at], MEASURE, width=4)
    drawing.text(place + np.array([-16.0, 4.0]), "AP", MEASURE)
    drawing.save("canal", "Canal from front to rear at L4/L5, at a right angle to its axis")


def inside(solid: Solid, front: float, up: float) -> FloatArray:
    """A point in the sagittal plane: from rear (-1) to front (1) wall, from lower (-1) to upper (1) end plate."""
    point = solid.centre_mm + solid.axes[1] * solid.half_mm[1] * front + solid.axes[2] * solid.half_mm[2] * up
    seen: FloatArray = point[1:]
    return seen


def box(solid: Solid, front: tuple[float, float], up: tuple[float, float]) -> list[FloatArray]:
    """Corners of a part of a solid."""
    return [inside(solid, front[i], up[j]) for i, j in ((1, 1), (0, 1), (0, 0), (1, 0))]


def disc() -> None:
    """Heights, depth and height index of a disc."""
    shown = parts(PhantomSpec(), ("L3", "L3-L4", "L4"))
    drawing, (upper, middle, lower) = Drawing(), shown
    outlines(drawing, shown)
    for place, words in ((0.6, "a"), (0.0, "m"), (-0.6, "p")):
        drawing.line(inside(middle, place, -1), inside(middle, place, 1), MEASURE, width=4)
        drawing.text(inside(middle, place - 0.13, 0.2), words, MEASURE)
    drawing.line(inside(middle, -1, 0), inside(middle, 1, 0), MEASURE)
    drawing.text(inside(middle, 1.4, -0.1), "depth", MEASURE)
    for body in (upper, lower):
        drawing.line(inside(body, 0.3, -1), inside(body, 0.3, 1), dashed=True)
        drawing.text(inside(body, 0.42, 0.5), "h", LINE)
    drawing.text(inside(lower, 0, -1.4), "height index: mean of a, m, p over mean of both h", MEASURE)
    drawing.save("disc", "Anterior, middle and posterior height and depth of L3/L4, and what its height index relates them to")


def signal() -> None:
    """The parts of a disc, and what their signal is relative to."""
    shown = parts(PhantomSpec(), ("L3", "L3-L4", "L4"))
    drawing, disc_ = Drawing(), shown[1]
    canal = [disc_.centre_mm[1:] + np.array([-26.0 + x, z]) for x, z in ((7.5, 34), (-7.5, 34), (-7.5, -34), (7.5, -34))]
    near = [disc_.centre_mm[1:] + np.array([-26.0 + x, z]) for x, z in ((7.5, 10), (-7.5, 10), (-7.5, -10), (7.5, -10))]
    drawing.polygon(canal, "#d9ecd2")
    drawing.polygon(near, "#8fc97d")
    outlines(drawing, shown)
    drawing.polygon(box(disc_, (-0.5, 0.5), (-0.5, 0.5)), "#f2a48f")
    for front in ((2 / 3, 1.0), (-1.0, -2 / 3)):
        drawing.polygon(box(disc_, front, (-1, 1)), "#5f8fb4")
    drawing.text(inside(disc_, 0, -0.15), "nucleus")
    drawing.text(inside(disc_, 1.5, -0.15), "annulus")
    drawing.text(near[1] + np.array([-13.0, -9.0]), "fluid, 10 mm", MEASURE)
    drawing.text(near[1] + np.array([-13.0, -14.0]), "up and down", MEASURE)
    drawing.save("signal", "Nucleus and annulus of L3/L4, and the fluid that their signal is relative to")


def main() -> None:
    """Write all drawings."""
    for draw in (slip, loss, sagittal_angles, bend, canal, disc, signal):
        draw()


if __name__ == "__main__":
    main()
