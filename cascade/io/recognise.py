"""Tell file formats by content, and names from suffixes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

Kind = Literal["nifti", "nrrd", "metaimage", "dicom", "zip"]

#: Suffixes that the name of a scan loses when an output is named after it; longer ones first.
SCAN_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".zip")
#: Endings by which a file's name says that it holds labels.
_ENDINGS_OF_LABELS = ("_labels", "_seg", "_mask", "_dseg", "_levels")
_SNIFFED_BYTES = 4096
#: Where NIfTI-1 and NIfTI-2 have their magic, and what it is.
_NIFTI_MAGIC = ((slice(344, 348), (b"n+1\0", b"ni1\0")), (slice(4, 8), (b"n+2\0", b"ni2\0")))


def recognise(path: Path) -> Kind | None:
    """Tell the format of a file; None if it is none of ours, or cannot be read. A folder is ``"dicom"``."""
    if not is_there(path):
        return None
    return "dicom" if path.is_dir() else recognise_content(_head(path))


def is_there(path: Path) -> bool:
    """Tell whether a path leads to a file or folder: a pipe or device is neither, and a name may be one that cannot be."""
    try:
        return path.is_file() or path.is_dir()
    except OSError:
        return False


def recognise_content(head: bytes) -> Kind | None:
    """Tell the format by the first bytes of a file (unpacked, if it was gzipped)."""
    if any(head[place] in magic for place, magic in _NIFTI_MAGIC):
        return "nifti"
    if head.startswith(b"NRRD000"):
        return "nrrd"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if b"NDims" in head and b"ElementDataFile" in head:
        return "metaimage"
    return "dicom" if head[128:132] == b"DICM" or _is_data_set(head) else None


def find_scans(folder: Path, leave_out: Path) -> Iterator[tuple[Path, Kind]]:
    """Find the files in a folder, searched recursively, that are scans by content or by name; labels and earlier outputs are skipped.

    Parameters
    ----------
    folder : Path
    leave_out : Path
        Folder that outputs go to.
    """
    outputs = leave_out.resolve()
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or file.name.startswith(".") or outputs in (file.resolve(), *file.resolve().parents):
            continue
        if stem(file.name).lower().endswith(_ENDINGS_OF_LABELS) or find_suffix(file.name) == ".seg.nrrd":
            continue
        kind = recognise(file) or ("nifti" if find_suffix(file.name, (".nii.gz", ".nii")) else None)
        if kind:
            yield file, kind


def find_suffix(name: str, suffixes: tuple[str, ...] = SCAN_SUFFIXES) -> str:
    """The suffix of a file name among `suffixes`, in lower case; empty if it has none of them.

    >>> find_suffix("T2.NII.GZ"), find_suffix("scan")
    ('.nii.gz', '')
    """
    return next((suffix for suffix in suffixes if name.lower().endswith(suffix)), "")


def stem(name: str) -> str:
    """A file name without its suffix.

    >>> stem("t2.seg.nrrd"), stem("1.2.840.113")
    ('t2', '1.2.840.113')
    """
    return name[: len(name) - len(find_suffix(name))]


def _is_data_set(head: bytes) -> bool:
    """Tell a DICOM data set without preamble: it starts with an element of group 0002 or 0008 that has a VR, or a short value."""
    starts = len(head) >= 8 and head[:2] in (b"\x02\0", b"\x08\0") and head[3] == 0
    return starts and ((head[4:6].isalpha() and head[4:6].isupper()) or head[5:8] == bytes(3))


def _head(path: Path) -> bytes:
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
