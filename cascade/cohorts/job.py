"""One scan, and where its results go."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Job:
    """One scan and where its results go.

    Parameters
    ----------
    image : Path
        File, or folder of a DICOM series.
    output : Path
    json, picture, table, report, sr : Path or None
    mesh : Path or None
        A folder.
    series : str or None
        SeriesInstanceUID or series number.
    series_number : int or None
        For messages.
    dataset : Path or None
        BIDS data set that the scan belongs to.
    files : tuple of Path
        What it consists of, where that is not all of `image`.
    """

    image: Path
    output: Path
    json: Path | None = None
    picture: Path | None = None
    table: Path | None = None
    report: Path | None = None
    sr: Path | None = None
    mesh: Path | None = None
    series: str | None = None
    series_number: int | None = None
    dataset: Path | None = None
    files: tuple[Path, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """Where the scan came from and went to, for JSON."""
        series = {} if self.series_number is None else {"series": str(self.series_number)}
        return {"input": str(self.image), **series, "output": str(self.output)}

    @property
    def beside(self) -> tuple[Path, ...]:
        """What is written beside the labels."""
        return tuple(path for path in (self.json, self.picture, self.table, self.report, self.sr, self.mesh) if path is not None)

    @property
    def title(self) -> str:
        """What tells where the scan came from without telling the folders above it."""
        return f"{self.image.name}{self._series}"

    def without_folders(self, text: str) -> str:
        """What is said about the scan, without the folders above any file.

        >>> Job(Path("/a b/t2.mha"), Path("out/t2.nii.gz")).without_folders("/a b/t2.mha: no /a b/t2.raw, out/t2.nii.gz, nor /x/y.dcm")
        't2.mha: no t2.raw, t2.nii.gz, nor y.dcm'
        """
        folders = {path.parent for path in (self.image / "x", self.image, self.output, *self.beside)} - {Path()}
        for folder in sorted({str(each) for path in folders for each in (path, path.absolute())}, key=len, reverse=True):
            text = text.replace(f"{folder}{os.sep}", "")
        return re.sub(r"(?:[A-Za-z]:)?[/\\](?:[^\s/\\:;,'\"]+[/\\])+", "", text)

    @property
    def _series(self) -> str:
        return "" if self.series_number is None else f" (series {self.series_number})"

    def __str__(self) -> str:
        return f"{self.image}{self._series}"
