"""What lies in a folder: its files, those of folders that are linked into it, and what cannot be looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walk(folder: Path, report: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Every entry below a folder that is no folder, by path; linked folders are followed, each place once, so that circles end.

    Broken links, pipes and devices are among the entries. Folders inside are come to by their own name rather than by a link.

    Parameters
    ----------
    folder : Path
    report : callable, optional
        Is told of folders that cannot be read.
    """
    top = Path(os.path.realpath(folder))
    own = {os.path.realpath(path) for path, _, _ in os.walk(folder)}
    linked: set[str] = set()

    def is_new(path: Path) -> bool:
        """Whether a folder was not seen yet, by this or another way to it."""
        place = os.path.realpath(path)
        if path.is_symlink():
            if any(place == other or place.startswith(f"{other}{os.sep}") for other in own | linked):
                return False
            linked.add(place)
            return True
        return Path(place) == top / path.relative_to(folder) or place not in own | linked

    found: list[Path] = []
    for path, folders, files in os.walk(folder, onerror=report, followlinks=True):
        folders[:] = [name for name in sorted(folders) if is_new(Path(path, name))]
        found += [Path(path, name) for name in files]
    yield from sorted(found)
