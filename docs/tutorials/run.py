"""Run the tutorials: type what each page says, in an empty folder beside ``docs`` and ``weights``, and keep what comes out.

    python docs/tutorials/run.py [PAGE ...]            # pages of this folder; all by default
    python docs/tutorials/run.py --check [PAGE ...]    # change nothing; tell what came out otherwise

A block ``sh`` is given to bash, a block ``python`` to one Python that all blocks of a page share. What a block prints stands below it in a
block ``output``. A picture ``pictures/PAGE/a/b.png`` is the file ``a/b.png`` of the folder in which the page was run, made smaller.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: A block that is run, and what it printed last time.
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```\n(?:\n```output\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]*\]\((pictures/[^)]+\.png)\)")
#: What may differ between two runs: bars of progress, times, versions. Numbers are equal to 3 % or 0.11; lines
#: may come in another order, as scans are done side by side.
_BAR = re.compile(r"^.*\d+%\|.*$\n?", re.MULTILINE)
_TIME_OR_VERSION = re.compile(r"\b\d+(?:\.\d+)? (?:s|min|MB)\b|\b\d+\.\d+\.\d+\b|\b\d\d:\d\d\b")
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)")
_CLOSE, _ABSOLUTE = 0.03, 0.11
WIDTH, COLOURS = 760, 128


def main(arguments: Sequence[str] | None = None) -> int:
    """Run pages; the exit status is 1 if one of them came out otherwise and was only to be checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="*", default=sorted(HERE.glob("*.md")), metavar="PAGE")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    differing = 0
    for page in options.pages:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{page.name} ...", file=sys.stderr, flush=True)
            found = check(page, Path(folder)) if options.check else write(page, Path(folder))
        print(*found, sep="\n", end="\n" if found else "")
        differing += bool(found)
    return 1 if options.check and differing else 0


def write(page: Path, folder: Path) -> list[str]:
    """Run a page in an empty folder; what it prints and draws takes the place of what was kept. Tells the pictures."""
    text = page.read_text(encoding="utf-8")
    printed = run(text, folder)
    pieces = [f"```output\n{_trimmed(output)}\n```\n" if output.strip() else "" for output in printed]
    kept = iter(pieces)

    def anew(match: re.Match[str]) -> str:
        piece = next(kept)
        return f"```{match[1]}\n{match[2]}```\n" + (f"\n{piece}" if piece else "")

    page.write_text(BLOCK.sub(anew, text), encoding="utf-8")
    for name, picture in drawn(text, folder):
        (page.parent / name).parent.mkdir(parents=True, exist_ok=True)
        picture.quantize(COLOURS, Image.Quantize.FASTOCTREE).save(page.parent / name, optimize=True)
    return [name for name, _ in drawn(text, folder)]


def _trimmed(output: str) -> str:
    return "\n".join(line.rstrip() for line in output.strip("\n").splitlines())


def check(page: Path, folder: Path) -> list[str]:
    """Run a page in an empty folder, and tell what comes out otherwise than it is kept."""
    text = page.read_text(encoding="utf-8")
    kept = [(match[2], match[3] or "") for match in BLOCK.finditer(text)]
    found = [
        f"{page.name}: after\n{block}expected\n{before}\nfound\n{now}"
        for (block, before), now in zip(kept, run(text, folder), strict=True)
        if not alike(before, now)
    ]
    return found + [f"{page.name}: {name} looks otherwise" for name, picture in drawn(text, folder) if not look_alike(page, name, picture)]


def run(text: str, folder: Path) -> list[str]:
    """What each block of a page prints."""
    for name in ("docs", "weights"):
        (folder / name).symlink_to(ROOT / name)
    shared: dict[str, Any] = {"__name__": "__main__"}
    printed = []
    for language, block, _ in BLOCK.findall(text):
        output = _shell(block, folder) if language == "sh" else _python(block, shared, folder)
        printed.append(_BAR.sub("", output.replace("\r", "\n")))
    return printed


def _shell(block: str, folder: Path) -> str:
    """What bash prints; a command may fail only behind ``||``."""
    found = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euc", block], cwd=folder, env={**os.environ, "PATH": found}, stdout=-1, stderr=-2, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{block}ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def _python(block: str, shared: dict[str, Any], folder: Path) -> str:
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        exec(compile(block, "<tutorial>", "exec"), shared)
    return printed.getvalue()


def drawn(text: str, folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """The pictures that a page shows, as they were drawn now."""
    for name in PICTURE.findall(text):
        with Image.open(folder.joinpath(*Path(name).parts[2:])) as picture:
            width = min(WIDTH, picture.width)
            yield name, picture.convert("RGB").resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)


def alike(before: str, now: str) -> bool:
    """Whether two texts are the same but for times, versions, white space and the last digits of numbers.

    >>> alike("done in 2.5 s, L4 14.20 ml", "done in 3 s,  L4 14.3 ml"), alike("L4 14.2", "L5 14.2"), alike("2 of 3", "3 of 3")
    (True, False, False)
    """
    one, other = (_NUMBER.split(_plain(text)) for text in (before, now))
    return len(one) == len(other) and all(
        a == b or (index % 2 == 1 and math.isclose(float(a), float(b), rel_tol=_CLOSE, abs_tol=_ABSOLUTE))
        for index, (a, b) in enumerate(zip(one, other, strict=True))
    )


def _plain(text: str) -> str:
    return " ".join(word for line in sorted(_TIME_OR_VERSION.sub("*", text).splitlines()) for word in line.split())


def look_alike(page: Path, name: str, picture: Image.Image) -> bool:
    """Whether a kept picture is the one that was drawn now, but for its colours being fewer."""
    with Image.open(page.parent / name) as kept:
        one, other = np.asarray(kept.convert("RGB"), dtype=float), np.asarray(picture, dtype=float)
    return one.shape == other.shape and float(np.abs(one - other).mean()) < 6


if __name__ == "__main__":
    sys.exit(main())
