"""Which volumes lie in a folder: NIfTI, MetaImage, NRRD, DICOM series. They are read by `cascade.io.formats`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cascade.errors import InputError
from cascade.io.extras import extra
from cascade.io.formats import DICOM, FORMATS, find_suffix, format_of, read_scan_file, stem
from cascade.notices import Notice
from cascade.volume import Volume

#: Single files that hold a volume, by name; DICOM is known by content.
_SUFFIXES = tuple(suffix for form in FORMATS if not form.is_dicom for suffix in form.suffixes)


@dataclass(frozen=True, order=True)
class ScanFile:
    """A volume on disk.

    Parameters
    ----------
    folder : Path
        Where it lies.
    name : str
        File name without suffix; of a DICOM series its description and the folder's name.
    files : tuple of Path
        One file, or those of a DICOM series.
    series : str or None
        SeriesInstanceUID, where `files` are several.
    """

    folder: Path
    name: str
    files: tuple[Path, ...]
    series: str | None = None

    @classmethod
    def of(cls, path: Path) -> ScanFile:
        """Describe a single file."""
        return cls(path.parent, stem(path.name), (path,))

    @property
    def path(self) -> Path:
        """What to call it in messages."""
        return self.files[0] if len(self.files) == 1 else self.folder


def list_scans(folder: Path) -> list[ScanFile]:
    """All volumes directly in `folder`, by name; hidden files are skipped."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    single = [p for p in files if find_suffix(p.name, _SUFFIXES)]
    slices = tuple(p for p in files if p not in single and format_of(p) is DICOM)
    return sorted([*map(ScanFile.of, single), *(_dicom_series(folder, slices) if slices else ())], key=lambda scan: (scan.name, scan.files))


def folders_with_scans(source: Path) -> Iterator[Path]:
    """`source` and every folder below it, by name, without hidden ones and the archiver's leftovers."""
    if source.name == "__MACOSX":
        return
    yield source
    for folder in sorted(p for p in source.iterdir() if p.is_dir() and not p.name.startswith(".")):
        yield from folders_with_scans(folder)


def read_scan(scan: ScanFile) -> tuple[Volume, tuple[Notice, ...]]:
    """Read a volume as float32 in RAS+ world coordinates, with the notices of its reader.

    Raises
    ------
    InputError
        The file cannot be read or is not one 3-D scalar volume.
    MissingExtraError
        The format needs an extra that is not installed.
    """
    volume, source = read_scan_file(scan.path, scan.series)
    return volume, source.notices if source else ()


def _dicom_series(folder: Path, files: tuple[Path, ...]) -> Iterator[ScanFile]:
    """The MR series whose files lie in `folder` itself, each with its description, which tells the sequence."""
    with extra("dicom", str(folder)):
        from cascade.io.dicom_files import attribute
        from cascade.io.dicom_series import find_series
    try:
        found = find_series(folder)
        if found.problems:
            raise found.problems[0]
    except InputError:  # whoever reads it says why
        yield ScanFile(folder, folder.name, files)
        return
    for series in (s for s in found.series if s.origin == folder):
        header = series.files[0].read(stop_before_pixels=True, specific_tags=["SeriesDescription"])
        name = f"{folder.name} {attribute(header, 'SeriesDescription', '')}".strip()
        members = tuple(Path(file.name) for file in series.files)
        yield ScanFile(folder, name, members, series.uid) if len(members) > 1 else ScanFile.of(members[0])
