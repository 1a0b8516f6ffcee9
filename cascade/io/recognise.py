"""Tell file formats by the first bytes of a file."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

_SNIFFED_BYTES = 4096
#: A line of a MetaImage header; the entry that ends it, ElementDataFile, may stand far behind a hundred DICOM tags.
_METAIMAGE = re.compile(rb"^\s*NDims\s*[=:]", re.MULTILINE)
#: Where NIfTI-1 and NIfTI-2 have their magic, and what it is.
_NIFTI_MAGIC = ((slice(344, 348), (b"n+1\0", b"ni1\0")), (slice(4, 8), (b"n+2\0", b"ni2\0")))


def head_of(path: Path) -> bytes:
    """The first bytes of a file, unpacked if it is gzipped; none if it cannot be read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_SNIFFED_BYTES)
            if head[:2] != b"\x1f\x8b":
                return head
            stream.seek(0)
            with gzip.GzipFile(fileobj=stream) as unpacked:
                return unpacked.read(_SNIFFED_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""


def is_there(path: Path) -> bool:
    """Tell whether a path leads to a file or folder: a pipe or device is neither, and a name may be one that cannot be."""
    try:
        return path.is_file() or path.is_dir()
    except OSError:
        return False


def is_nifti(head: bytes) -> bool:
    """NIfTI-1 or NIfTI-2, in one file or two."""
    return any(head[place] in magic for place, magic in _NIFTI_MAGIC)


def is_nrrd(head: bytes) -> bool:
    """NRRD of any version."""
    return head.startswith(b"NRRD000")


def is_zip(head: bytes) -> bool:
    """A zip with something in it."""
    return head.startswith(b"PK\x03\x04")


def is_metaimage(head: bytes) -> bool:
    """MetaImage, whose keys may come in any order."""
    return bool(_METAIMAGE.search(head)) and (b"ElementDataFile" in head or b"ObjectType" in head)


def is_dicom(head: bytes) -> bool:
    """DICOM, with its preamble or without: then it starts with an element of group 0002 or 0008 that has a VR, or a short value."""
    starts = len(head) >= 8 and head[:2] in (b"\x02\0", b"\x08\0") and head[3] == 0
    return head[128:132] == b"DICM" or (starts and ((head[4:6].isalpha() and head[4:6].isupper()) or head[5:8] == bytes(3)))
