"""What the text headers of MetaImage and NRRD say, as far as ITK must not be left alone with it.

ITK's parser decides what a header is. But its readers are native code that trusts it: they allocate what the sizes say, open whatever
file is named as the one with the data, by a C format string even, and write beyond their memory where a word is long. So sizes are
bounded by the voxels that a scan may have and by the bytes that are there, and the data lie in the file itself or in one beside it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from cascade.errors import InputError
from cascade.io.nifti import DEFLATE_RATIO
from cascade.volume import MAX_VOXELS

MAX_HEADER_BYTES = 1 << 20
#: bzip2 packs equal bytes denser still: 45 bytes hold 900 kB.
_BZIP2_RATIO = 1 << 15
_MAX_AXES = 6
#: ITK's reader of NRRD writes beyond its memory where it complains about a field of 1200 characters (not of 600), or a number is long.
_MAX_FIELD, _MAX_NUMBER = 512, 63
_NUMBER = re.compile(rb"[-+]?[0-9]*\.?[0-9]*([eE][-+]?[0-9]{1,3})?")
#: ITK takes the first word of a line of MetaImage as its name; a line of numbers goes on with the line before.
_META_LINE = re.compile(r"\s*([^\s=:]+)[\s=:]*(.*?)\s*")
_META_MORE = re.compile(r"[\s0-9.eE+-]+")
#: The first colon of a line of NRRD decides: ``field: value``, or ``key:=text``, which says nothing about the voxels.
_NRRD_LINE = re.compile(r"([^:#]+):(?!=)\s*(.*?)\s*")
#: What is read here and must be there once.
_ONCE = {"metaimage": ("ndims", "dimsize", "elementnumberofchannels"), "nrrd": ("dimension", "sizes", "encoding", "datafile", "type")}
_PACKED = {"gzip": DEFLATE_RATIO, "gz": DEFLATE_RATIO, "bzip2": _BZIP2_RATIO, "bz2": _BZIP2_RATIO}
_TEXT = ("ascii", "text", "txt")
#: Spaces of NRRD whose axes have anatomical names; others are taken as left, back, head by ITK.
_ANATOMICAL = re.compile(r"(left|right)-(posterior|anterior)-superior(-time)?|[LR][PA]ST?", re.IGNORECASE)
_UNITS_MM = {
    "mm": 1.0,
    "cm": 10.0,
    "m": 1000.0,
    "um": 0.001,
    "\N{MICRO SIGN}m": 0.001,
    "\N{GREEK SMALL LETTER MU}m": 0.001,
    "micron": 0.001,
}


@dataclass(frozen=True)
class TextHeader:
    """A header that ITK may act upon.

    Parameters
    ----------
    fields : mapping of str to str
        By name, in lower case and without spaces.
    count : int
        Numbers that the file holds: voxels times numbers a voxel.
    data : Path
        The file with the voxels.
    skip : int
        Where in it they start, in bytes.
    """

    fields: Mapping[str, str]
    count: int
    data: Path
    skip: int

    @property
    def encoding(self) -> str:
        """How the voxels of an NRRD are packed."""
        return self.fields.get("encoding", "raw").lower()

    def may_hold(self, bytes_each: int) -> bool:
        """Tell whether the file is long enough for its voxels, so that memory may be asked for."""
        ratio: float = _PACKED.get(self.encoding, 1)
        if self.encoding in _TEXT or self.fields.get("binarydata", "true").lower().startswith("f"):
            ratio = bytes_each
        elif self.encoding == "hex":
            ratio = 0.5
        elif self.fields.get("compresseddata", "false").lower().startswith(("t", "1", "y")):
            ratio = DEFLATE_RATIO
        return (self.data.stat().st_size - self.skip) * ratio >= self.count * bytes_each

    @property
    def has_orientation(self) -> bool:
        """The header says how the axes lie in the body."""
        if "dimsize" in self.fields:
            return any(name in self.fields for name in ("transformmatrix", "orientation", "rotation"))
        vectors = self.fields.get("spacedirections", "").count("(")
        return vectors >= 3 and bool(_ANATOMICAL.fullmatch(self.fields.get("space", "")))

    @property
    def has_spacing(self) -> bool:
        """The header says how far apart the voxels are."""
        if "dimsize" in self.fields:
            return "elementspacing" in self.fields
        return "(" in self.fields.get("spacedirections", "") or bool(re.search(r"[1-9]", self.fields.get("spacings", "")))

    @property
    def unit_mm(self) -> float:
        """Millimetres of the unit of length; 1 where none is named."""
        stated = next((self.fields[name] for name in ("spaceunits", "units", "distanceunits") if name in self.fields), "")
        words = {word.strip('"') for word in stated.split()} & set(_UNITS_MM)
        return _UNITS_MM[words.pop()] if len(words) == 1 else 1.0


def check_header(path: Path, kind: str) -> TextHeader:
    """Refuse a header that ITK should not act upon.

    Parameters
    ----------
    path : Path
    kind : {"nrrd", "metaimage"}

    Raises
    ------
    InputError
        Sizes are missing or too large; or the data lie elsewhere.
    """
    try:
        fields, length = (_metaimage if kind == "metaimage" else _nrrd)(path)
        sizes = _sizes(fields, *(("ndims", "dimsize") if kind == "metaimage" else ("dimension", "sizes")))
        name = fields.get("elementdatafile" if kind == "metaimage" else "datafile", "")
        name = "" if kind == "metaimage" and name.lower() == "local" else name
        _check_name(name)
        if math.prod(sizes) > MAX_VOXELS:
            raise ValueError(f"at most {MAX_VOXELS} voxels; the header says {' x '.join(map(str, sizes))}")
        header = TextHeader(fields, math.prod(sizes), path.with_name(name) if name else path, 0 if name else length)
        if not header.data.is_file():
            raise ValueError("its data file beside it; there is none")
        if header.encoding in _TEXT:
            _check_numbers(header.data, header.skip)
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: expected {error}; export it again as one .mha, .nrrd or .nii.gz file") from None
    return header


def _check_numbers(path: Path, skip: int) -> None:
    """Refuse data in text that are not short numbers."""
    with path.open("rb") as stream:
        stream.seek(skip)
        for line in stream:
            if not all(len(word) <= _MAX_NUMBER and _NUMBER.fullmatch(word) for word in re.split(rb"[\s,]+", line) if word):
                raise ValueError("numbers as text; found something else")


def native_name(path: Path) -> str:
    """The path as ITK takes it: SimpleITK ends the process where a name is no text.

    Raises
    ------
    InputError
        The name holds bytes that are not UTF-8.
    """
    try:
        path.as_posix().encode()
    except UnicodeEncodeError:
        raise InputError(f"{path}: expected a path of UTF-8 text; found other bytes; rename the file, or use .nii.gz") from None
    return str(path)


def _metaimage(path: Path) -> tuple[dict[str, str], int]:
    """The fields of a MetaImage header, and its length in bytes: the data file comes last."""
    with path.open("rb") as stream:
        content = stream.read(MAX_HEADER_BYTES)
    fields: list[tuple[str, str]] = []
    length = 0
    for raw in content.splitlines(keepends=True):
        length += len(raw)
        line = os.fsdecode(raw).rstrip("\r\n")
        if fields and _META_MORE.fullmatch(line):
            fields[-1] = fields[-1][0], f"{fields[-1][1]} {line}".strip()
        elif found := _META_LINE.fullmatch(line):
            fields.append((found[1].lower(), found[2]))
        if fields and fields[-1][0] == "elementdatafile":
            break
    else:
        raise ValueError("a MetaImage header that ends with ElementDataFile; found none")
    if content[:length].lower().count(b"elementdatafile") > 1:
        raise ValueError("one entry 'elementdatafile' in the header; found two")
    return _checked(fields, "metaimage"), length


def _nrrd(path: Path) -> tuple[dict[str, str], int]:
    """The fields of an NRRD header, and its length in bytes: an empty line ends it, or the file."""
    with path.open("rb") as stream:
        lines = stream.read(MAX_HEADER_BYTES).split(b"\n")
    fields: list[tuple[str, str]] = []
    length = 0
    for number, raw in enumerate(lines):
        length += len(raw) + 1
        line = os.fsdecode(raw).rstrip("\r")
        if not line:
            break
        found = _NRRD_LINE.fullmatch(line)
        if found and number:
            fields.append((found[1].lower().replace(" ", ""), found[2]))
        is_field = not (line.startswith("#") or line.partition(":")[2].startswith("=") or line.startswith("content:"))
        if is_field and len(raw) > _MAX_FIELD:
            raise ValueError(f"a header of fields of up to {_MAX_FIELD} characters; found a longer one")
    return _checked(fields, "nrrd"), length


def _checked(fields: Iterable[tuple[str, str]], kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in fields:
        if name in found and name in _ONCE[kind]:
            raise ValueError(f"one entry {name!r} in the header; found two")
        if "\0" in name + value:
            raise ValueError("a header of text; found zeros")
        found.setdefault(name, value)
    return found


def _sizes(fields: Mapping[str, str], dimension: str, sizes: str) -> list[int]:
    """The sizes, and the numbers a voxel where a MetaImage has several."""
    lengths = _whole(fields, sizes)
    if _whole(fields, dimension) != [len(lengths)]:
        raise ValueError(f"{dimension} and as many numbers in {sizes}; found others")
    return [*lengths, *(_whole(fields, "elementnumberofchannels") if "elementnumberofchannels" in fields else [])]


def _whole(fields: Mapping[str, str], name: str) -> list[int]:
    words = fields.get(name, "").split()
    if not 1 <= len(words) <= _MAX_AXES or not all(re.fullmatch(r"[0-9]{1,9}", word) and int(word) > 0 for word in words):
        raise ValueError(f"1 to {_MAX_AXES} whole numbers from 1 as {name}; found others")
    return [int(word) for word in words]


def _check_name(name: str) -> None:
    """Refuse a data file that does not lie beside the header, and several."""
    if name and (set(name) & set("%*?") or name.upper().split()[0] == "LIST" or len(name) > 255):
        raise ValueError("its data in one file beside it; found a list or pattern of files")
    if any(len(kind(name).parts) > 1 or kind(name).is_absolute() or kind(name).drive for kind in (PurePosixPath, PureWindowsPath)):
        raise ValueError("its data in a file beside it; found one in another folder")
    if name in (".", ".."):
        raise ValueError("its data in a file beside it; found a folder")
