"""What the text headers of MetaImage and NRRD say, checked before ITK sees them.

ITK's readers are native code that trusts a header: it allocates what the sizes say, and opens whatever file is named as the
one with the data, by a C format string even. Here sizes are bounded by the voxels that a scan may have and by the bytes that
are there, and the data lie in the file itself or in one beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from cascade.errors import InputError
from cascade.io.nifti import DEFLATE_RATIO
from cascade.volume import MAX_VOXELS

MAX_HEADER_BYTES = 1 << 18
#: bzip2 packs equal bytes denser still: 45 bytes hold 900 kB.
_BZIP2_RATIO = 1 << 15
_MAX_AXES = 6
#: ITK's reader of NRRD writes beyond its memory where a word of the header or a number in text is long.
_MAX_WORD, _MAX_NUMBER = 255, 63
_NUMBER = re.compile(rb"[-+]?[0-9]*\.?[0-9]*([eE][-+]?[0-9]{1,3})?")
_LINE = {"metaimage": re.compile(r"\s*([A-Za-z0-9_]+)\s*[=:]\s*(.*?)\s*"), "nrrd": re.compile(r"([^:#]+):(?:=| ?)(.*?)\s*")}
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
_NRRD_BYTES = {"char": 1, "short": 2, "int": 4, "long": 8, "float": 4, "double": 8}
_PACKED = {"gzip": DEFLATE_RATIO, "gz": DEFLATE_RATIO, "bzip2": _BZIP2_RATIO, "bz2": _BZIP2_RATIO}


def check_header(path: Path, kind: str) -> int:
    """Refuse a header that ITK should not act upon.

    Parameters
    ----------
    path : Path
    kind : {"nrrd", "metaimage"}

    Returns
    -------
    int
        Numbers that the file holds: voxels times numbers a voxel.

    Raises
    ------
    InputError
        Sizes are missing, too large, or more than the data can hold; or the data lie elsewhere.
    """
    try:
        fields, length = _fields(path, kind)
        sizes, bytes_each, name, ratio = (_metaimage if kind == "metaimage" else _nrrd)(fields)
        _check_name(name)
        count = math.prod(sizes)
        data = path.with_name(name) if name else path
        if count > MAX_VOXELS:
            raise ValueError(f"at most {MAX_VOXELS} voxels; the header says {' x '.join(map(str, sizes))}")
        if not data.is_file():
            raise ValueError("its data file beside it; there is none")
        if kind == "nrrd" and fields.get("encoding", "").lower() in ("ascii", "text", "txt"):
            _check_numbers(data, 0 if name else length)
        if (data.stat().st_size - (0 if name else length)) * ratio < count * bytes_each:
            raise ValueError(f"{count} voxels; the file is truncated or damaged")
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: expected {error}; export it again as one .mha, .nrrd or .nii.gz file") from None
    return count


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


def _fields(path: Path, kind: str) -> tuple[Mapping[str, str], int]:
    """Return the fields of a header by lower-case name, and its length in bytes."""
    with path.open("rb") as stream:
        lines = stream.read(MAX_HEADER_BYTES).split(b"\n")
    fields: dict[str, str] = {}
    length = 0
    for number, raw in enumerate(lines):
        length += len(raw) + 1
        line = raw.decode("latin-1").rstrip("\r")
        if kind == "nrrd" and not line:
            break
        found = _LINE[kind].fullmatch(line)
        if found and not (kind == "nrrd" and number == 0):
            name = found[1].lower().replace(" ", "") if kind == "nrrd" else found[1].lower()
            if name in fields and ":=" not in line:
                raise ValueError(f"one entry {name[:40]!r} in the header; found two")
            fields.setdefault(name, found[2])
        elif kind == "metaimage" and line.strip():
            raise ValueError("a header of lines 'name = value'; found another")
        if kind == "metaimage" and "elementdatafile" in fields:
            break
    if any(len(word) > _MAX_WORD for value in fields.values() for word in value.split()):
        raise ValueError(f"a header of words of up to {_MAX_WORD} characters; found a longer one")
    if "\0" in "".join([*fields, *fields.values()]):
        raise ValueError("a header of text; found zeros")
    return fields, length


def _metaimage(fields: Mapping[str, str]) -> tuple[list[int], float, str, int]:
    """Sizes (with the numbers a voxel), bytes of a number, name of the data file, packing."""
    sizes = _whole(fields, "dimsize")
    if _whole(fields, "ndims") != [len(sizes)]:
        raise ValueError("NDims and as many numbers in DimSize; found others")
    channels = _whole(fields, "elementnumberofchannels") if "elementnumberofchannels" in fields else [1]
    kind = fields.get("elementtype", "").upper().removeprefix("MET_")
    each = _META_BYTES.get(kind.removesuffix("_ARRAY")) or _META_BYTES.get(kind.removeprefix("U"))
    if each is None or len(channels) != 1:
        raise ValueError("an ElementType such as MET_SHORT; found another")
    name = fields.get("elementdatafile", "")
    is_text = fields.get("binarydata", "true").lower().startswith("f")
    packed = fields.get("compresseddata", "false").lower().startswith(("t", "1", "y"))
    return [*sizes, *channels], 1 if is_text else each, "" if name.lower() == "local" else name or "?/", DEFLATE_RATIO if packed else 1


def _nrrd(fields: Mapping[str, str]) -> tuple[list[int], float, str, int]:
    """Sizes, bytes of a number, name of the data file, packing."""
    sizes = _whole(fields, "sizes")
    if _whole(fields, "dimension") != [len(sizes)]:
        raise ValueError("dimension and as many numbers in sizes; found others")
    words = fields.get("type", "").lower().replace("_t", "").replace("unsigned", "").replace("signed", "").split()
    word = re.sub(r"^u|int(?=\d)", "", words[0]) if words else "int" if "type" in fields else ""
    each = _NRRD_BYTES.get(word) or (int(word) // 8 if word in ("8", "16", "32", "64") else None)
    each = 8 if words.count("long") == 2 or word == "longlong" else each
    if each is None:
        raise ValueError("a type such as short or float; found another")
    encoding = fields.get("encoding", "").lower()
    name = fields.get("datafile", "")
    return sizes, {"hex": 2 * each}.get(encoding, each if encoding in ("raw", *_PACKED) else 1), name, _PACKED.get(encoding, 1)


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
