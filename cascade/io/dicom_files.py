"""DICOM files, on disk or in a zip, and their attributes, of which nothing is believed."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from cascade.errors import InputError
from cascade.io.folders import walk
from cascade.io.recognise import head_of, is_dicom, is_zip

#: What pydicom raises on files that break the standard.
DAMAGED = (
    *(InvalidDicomError, BytesLengthException, EOFError, OSError, ValueError, TypeError, AttributeError, LookupError),
    *(ArithmeticError, AssertionError, MemoryError, NotImplementedError, RecursionError, struct.error, zlib.error),
)
#: A zip is read into memory; so is what a deflated data set unpacks to.
_UNPACKED_LIMIT_BYTES = 2 << 30
#: bzip2 and LZMA in zips are not made by any DICOM software, and LZMA takes the memory that its header asks for.
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DEFLATED = b"1.2.840.10008.1.2.1.99"


@dataclass(frozen=True)
class DicomFile:
    """A file on disk or in a zip.

    Parameters
    ----------
    name : str
        Path, or path of the zip and name inside it.
    origin : Path
        Its folder, or the zip.
    content : Path or bytes
    """

    name: str
    origin: Path
    content: Path | bytes = field(repr=False)

    def read(self, **options: Any) -> Dataset:
        """Read the data set; `options` are pydicom's.

        Raises
        ------
        InputError
            It is truncated or damaged.
        """
        try:
            with io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb") as source, quiet():
                _check_deflated(source)
                return pydicom.dcmread(source, force=True, **options)
        except DAMAGED as error:
            raise InputError(
                f"{self.name}: expected a DICOM file; it is truncated or damaged ({type(error).__name__}); export it again"
            ) from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Read without pydicom's warnings, which quote the values of a file."""
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def attribute(dataset: Dataset, keyword: str, default: Any = None) -> Any:
    """A value, or `default` where it is missing, empty or unreadable."""
    try:
        with quiet():
            value = dataset.get(keyword)
    except DAMAGED:
        return default
    return default if value is None or value == "" else value


def whole(dataset: Dataset, keyword: str, default: int) -> int:
    """A whole number, or `default` where it is missing or none."""
    try:
        return int(attribute(dataset, keyword, default))
    except DAMAGED:
        return default


def functional_group(dataset: Dataset, frame: int, keyword: str) -> Dataset | None:
    """One functional group of a frame of a multi-frame image: its own, or the shared one."""
    for groups, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        sequence = attribute(dataset, groups)
        if not isinstance(sequence, Sequence) or not index < len(sequence) or not isinstance(sequence[index], Dataset):
            continue
        group = attribute(sequence[index], keyword)
        if isinstance(group, Sequence) and group and isinstance(group[0], Dataset):
            return group[0]
    return None


def files_in(path: Path) -> Iterator[DicomFile]:
    """Yield the DICOM files of a folder (searched recursively) or zip, or the file itself."""
    if path.is_dir():
        for file in walk(path):
            if file.is_file() and is_dicom(head_of(file)):
                yield DicomFile(str(file), file.parent, file)
    elif is_zip(head_of(path)):
        yield from _members(path)
    else:
        yield DicomFile(str(path), path.parent, path)


def _members(path: Path) -> Iterator[DicomFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in sorted(archive.infolist(), key=lambda e: e.filename) if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > _UNPACKED_LIMIT_BYTES:
                raise InputError(f"{path}: expected at most {_UNPACKED_LIMIT_BYTES >> 30} GiB inside a zip; it holds more; unpack it first")
            if any(entry.compress_type not in _ZIP_METHODS for entry in entries):
                raise NotImplementedError
            for entry in entries:
                content = archive.read(entry)  # never more than its stated size
                if is_dicom(content[:132]):
                    yield DicomFile(f"{path}/{entry.filename}", path, content)
    except (zipfile.BadZipFile, RuntimeError, *DAMAGED) as error:
        raise InputError(f"{path}: expected a plain zip; it is damaged or encrypted ({type(error).__name__}); unpack it first") from None


def _check_deflated(source: BinaryIO) -> None:
    """Raise MemoryError where a deflated data set unpacks to more than the limit: pydicom would unpack it at once."""
    head = source.read(1024)
    source.seek(0)
    if _DEFLATED not in head:
        return
    source.seek(144 + int.from_bytes(head[140:144], "little"))
    unpacker, unpacked = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while not unpacker.eof and (packed := unpacker.unconsumed_tail or source.read(1 << 16)):
        unpacked += len(unpacker.decompress(packed, 1 << 20))
        if unpacked > _UNPACKED_LIMIT_BYTES:
            raise MemoryError
    source.seek(0)
