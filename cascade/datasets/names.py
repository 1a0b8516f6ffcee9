"""What file names say: which structure, which sequence, whose scan; and the mapping file for where they say nothing."""

from __future__ import annotations

import csv
import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cascade.errors import InputError
from cascade.labels import BODIES, CANAL, SACRUM, VERSE, disc_below

#: In a mapping file: these files or tags are left out.
IGNORE = "ignore"
#: In a mapping file: this file is the image.
IMAGE = "image"
_DISC_WORDS = {"disc", "disk", "ivd", "d", "discus"}
_BODY_WORDS = {"vertebra", "vertebral", "vert", "vb", "body", "v", "corpus"}
_MASK_WORDS = {"mask", "masks", "seg", "segmentation", "label", "labels", "roi", "gt", "dseg"}
_SEQUENCES = {"stir", "tirm", "dixon", "water", "fat", "fatfraction", "b0", "pd", "flair", "space", "inphase", "outphase", "ip", "op"}
_OTHER_WORDS = {"img", "image", "images", "scan", "sag", "sagittal", "mr", "mri", "vertebrae", "discs", "muscle", "nii"}
_LEVEL = re.compile(r"(?P<region>th|t|l|s)(?P<number>\d{1,2})?")


@dataclass(frozen=True)
class NameParts:
    """What a file or folder name says.

    Parameters
    ----------
    owner : str
        What stands before the first word that is understood: the patient, as a rule.
    structure : str or None
    sequences : tuple of str
        Lower-case sequence words, such as ``t2`` or ``water``.
    is_mask : bool
        A structure or a word such as ``mask`` is in the name.
    """

    owner: str
    structure: str | None
    sequences: tuple[str, ...]
    is_mask: bool


def parse_name(name: str) -> NameParts:
    """Take a name apart, whatever its case and separators.

    ``T1`` to ``T7`` are sequences, never vertebrae (``Th7`` is). One level with a disc word, or two neighbouring levels, are a disc;
    ``D1`` and ``disc 1`` are the disc below L1.

    >>> [parse_name(n).structure for n in ("L1", "mask_l1", "L1_L2", "disc L1-L2", "D1", "IVD-L4/5", "L5S1", "Th12", "T2_sag")]
    ['L1', 'L1', 'L1-L2', 'L1-L2', 'L1-L2', 'L4-L5', 'L5-S1', 'T12', None]
    >>> parse_name("P07_T2_L3")
    NameParts(owner='P07', structure='L3', sequences=('t2',), is_mask=True)
    """
    tokens = _tokens(name)
    kinds = [_kind(token) for token in tokens]
    first = next((i for i, kind in enumerate(kinds) if kind), len(tokens))
    owner = "_".join(tokens[:first])
    structure = _structure(tokens[first:])
    sequences = tuple(t.lower() for t, kind in zip(tokens, kinds, strict=True) if kind == "sequence")
    return NameParts(owner, structure, sequences, structure is not None or "mask" in kinds)


def parse_structure(name: str) -> str | None:
    """The structure a name stands for, or None.

    >>> parse_structure("l4/l5"), parse_structure("S1"), parse_structure("spinal canal"), parse_structure("T9"), parse_structure("T3")
    ('L4-L5', 'sacrum', 'canal', 'T9', 'T3')
    """
    text = name.strip()
    if text in VERSE:
        return text
    return _structure(_tokens(text))


def matches_sequence(parts: NameParts, wanted: str) -> bool:
    """Tell whether a name is of the wanted sequence: ``t2`` is ``t2``, ``t2w`` and ``t2 space``, but not ``t2star``.

    >>> [matches_sequence(parse_name(n), "t2") for n in ("1_t2", "1_t2_SPACE", "T2w sag", "T2star", "1_t1")]
    [True, True, True, False, False]
    """
    if wanted == "all":
        return True
    words = wanted.lower().replace("-", "_").split("_")
    return all(any(_same_sequence(found, word) for found in parts.sequences) for word in words)


def _same_sequence(found: str, word: str) -> bool:
    return found == word or (found.startswith(word) and word in ("t1", "t2") and "star" not in found and "map" not in found)


def _tokens(name: str) -> list[str]:
    """Split at separators, between a lower-case and an upper-case letter, and between a known word or level and what follows."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [part for word in re.split(r"[^A-Za-z0-9]+", spaced) if word for part in _glued(word)]


def _glued(word: str) -> list[str]:
    """Split ``L1L2``, ``L5S1``, ``disc1``, ``maskL1``, ``Th12L1`` into their parts; other words stay whole."""
    lower = word.lower()
    if re.fullmatch(r"(?:(?:th|t|l|s)\d{1,2}){2}", lower):
        return re.findall(r"[A-Za-z]+\d+", word)
    match = re.fullmatch(r"(disc|disk|ivd|vert|vertebra|vb|mask|seg|label|d|v)((?:(?:th|t|l|s)?\d{1,2})+)", lower)
    if match:
        rest = word[len(match[1]) :]
        return [word[: len(match[1])], *_glued(rest)]
    return [word]


def _kind(token: str) -> str | None:
    lower = token.lower()
    if lower in _MASK_WORDS:
        return "mask"
    if re.fullmatch(r"t[12](?:w|tse|fse|se|sag|star|map|space|wi)?", lower) or lower in _SEQUENCES:
        return "sequence"
    if lower in _DISC_WORDS | _BODY_WORDS | _OTHER_WORDS or lower in (SACRUM, CANAL, "spinal"):
        return "word"
    return "level" if _level(lower) else None


def _level(token: str) -> str | None:
    """``l4`` is L4, ``th12`` and ``t12`` are T12, ``s1`` is the sacrum; ``t1`` to ``t7`` are no levels."""
    match = _LEVEL.fullmatch(token)
    if match is None:
        return None
    region, number = match["region"], int(match["number"] or 0)
    if region == "s":
        return SACRUM if token == "s1" else None
    name = f"{'T' if region == 'th' else region.upper()}{number}"
    return name if name in BODIES and not (region == "t" and number < 8) else None


def _structure(tokens: list[str]) -> str | None:
    lower = [token.lower() for token in tokens]
    if CANAL in lower:
        return CANAL
    if SACRUM in lower:
        return SACRUM
    levels = [(i, level) for i, token in enumerate(lower) if (level := _level(token))]
    if levels and levels[0] == (0, SACRUM) and len(lower) > 1:
        levels = levels[1:]  # a subject called S1
    disc_word = next((i for i, token in enumerate(lower) if token in _DISC_WORDS), None)
    if not levels:
        return _numbered(lower, disc_word)
    index, level = levels[0]
    if level == SACRUM:
        return SACRUM if len(levels) == 1 and disc_word is None else None
    if len(levels) > 1:
        return _disc(level, levels[1][1])
    following = lower[index + 1] if index + 1 < len(lower) else ""
    if following == str(int(level[1:]) + 1) and len(following) == 1:
        return _disc(level, f"{level[0]}{following}")
    return disc_below(level) if disc_word is not None else level


def _disc(upper: str, lower: str) -> str | None:
    disc = disc_below(upper, lower)
    return disc if disc in VERSE and (disc == disc_below(upper) or lower in ("T13", "L6", SACRUM)) else None


def _numbered(tokens: list[str], disc_word: int | None) -> str | None:
    """``disc 1`` to ``disc 5`` are the discs below L1 to L5, ``vertebra 1`` to ``vertebra 5`` the bodies."""
    for i, token in enumerate(tokens[:-1]):
        if tokens[i + 1] in ("1", "2", "3", "4", "5"):
            body = f"L{tokens[i + 1]}"
            if i == disc_word:
                return disc_below(body)
            if token in _BODY_WORDS:
                return body
    return None


@dataclass(frozen=True)
class StructureMap:
    """A user's word on what tags or files mean.

    Parameters
    ----------
    tags : mapping of int to str
    files : tuple of (pattern, structure)
        Shell patterns on the file's name with or without suffix, or on its path below the source; case does not matter.
    """

    tags: Mapping[int, str] = field(default_factory=dict)
    files: tuple[tuple[str, str], ...] = ()

    def structure_of(self, path: Path, name: str) -> str | None:
        """What the first fitting pattern says about a file, or None."""
        candidates = [name.lower(), path.name.lower(), path.as_posix().lower()]
        for pattern, structure in self.files:
            if any(fnmatch.fnmatchcase(c, p) for c in candidates for p in (pattern.lower(), f"*/{pattern.lower()}")):
                return structure
        return None


def read_mapping(path: Path) -> StructureMap:
    """Read a tab-separated mapping file with the columns ``tag structure`` or ``file structure``.

    Structures are named as in `cascade.labels` or in the ways that file names are understood; ``ignore`` leaves a tag or file out,
    ``image`` marks a file as the image.

    Raises
    ------
    InputError
        The file, its columns or a line is not understood.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.reader(stream, delimiter="\t") if row and not row[0].startswith("#")]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a mapping file; it cannot be read ({error}); check --mapping") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if header not in (["tag", "structure"], ["file", "structure"]):
        raise InputError(f"{path}: expected the tab-separated columns 'tag structure' or 'file structure'; found {header}; see --help")
    pairs = [_pair(row, path) for row in rows[1:]]
    if header[0] == "file":
        return StructureMap(files=tuple(pairs))
    return StructureMap(tags={_tag(key, path): structure for key, structure in pairs})


def _pair(row: list[str], path: Path) -> tuple[str, str]:
    key, text = (row[0].strip(), row[1].strip()) if len(row) == 2 else ("", "")
    structure = text if text in (IGNORE, IMAGE) else parse_structure(text)
    if not key or structure is None:
        raise InputError(f"{path}: expected two columns with a structure such as L1, L1-L2, sacrum, canal or ignore; found {row}")
    return key, structure


def _tag(text: str, path: Path) -> int:
    if not text.isdecimal() or len(text) > 9 or int(text) == 0:
        raise InputError(f"{path}: expected tags that are whole numbers above 0; found {text!r}")
    return int(text)
