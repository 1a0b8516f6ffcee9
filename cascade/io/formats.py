"""The table of file formats, and the front door: scans of any format in, labels in any format out.

Inputs are recognised by content, outputs by the suffix of their name. A format is one entry of `FORMATS` and a module with its
reader and writer, which is imported when it is first used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from cascade.errors import InputError, OutputError
from cascade.io import recognise
from cascade.io.extras import extra, require
from cascade.io.files import check_apart
from cascade.io.folders import walk
from cascade.io.recognise import head_of, is_there

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cascade.notices import Notice
    from cascade.volume import Grid, LabelMap, Volume

SegType = Literal["binary", "labelmap"]
SEG_TYPES: tuple[SegType, ...] = get_args(SegType)


@dataclass(frozen=True)
class Format:
    """A file format. Functions are named ``module:function``, and called as in `read_scan_file` and its neighbours.

    Parameters
    ----------
    title : str
        For people.
    is_content : callable or None
        Tells the format by the first bytes of a file, unpacked if it was gzipped; None if only a name does.
    suffixes : tuple of str
        What a file name loses when another file is named after it.
    outputs : tuple of str
        Those of the suffixes that ask for labels in this format.
    detached : tuple of str
        Suffixes of headers whose voxels are in a file beside them, and of such files.
    read_scan, read_labels, write_labels : str
        Empty if the format has none. One that no scan can be read from holds labels.
    check_scan : str
        Refuses, before anything is computed, a scan that the labels could not refer to.
    extra : str
        The extra that brings what the functions need; empty if they need none.
    is_dicom : bool
        Several series may lie in one path, labels refer to theirs, and files are known by content alone.
    """

    title: str
    is_content: Callable[[bytes], bool] | None
    suffixes: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    detached: tuple[str, ...] = ()
    read_scan: str = ""
    read_labels: str = ""
    write_labels: str = ""
    check_scan: str = ""
    extra: str = ""
    is_dicom: bool = False


NIFTI = Format(
    "NIfTI",
    recognise.is_nifti,
    (".nii.gz", ".nii"),
    outputs=(".nii.gz", ".nii"),
    detached=(".hdr", ".img"),
    read_scan="cascade.io.nifti:read_image",
    read_labels="cascade.io.nifti:read_label_array",
    write_labels="cascade.io.nifti:write_labels",
)
SEG_NRRD = Format(
    "3D Slicer's segmentation",
    None,
    (".seg.nrrd",),
    outputs=(".seg.nrrd",),
    write_labels="cascade.io.itk:write_segments",
    extra="itk",
)
NRRD = Format(
    "NRRD",
    recognise.is_nrrd,
    (".nrrd", ".nhdr"),
    outputs=(".nrrd",),
    detached=(".nhdr",),
    read_scan="cascade.io.itk:read_scan",
    read_labels="cascade.io.itk:read_labels",
    write_labels="cascade.io.itk:write_labels",
    extra="itk",
)
ZIP = Format("zip", recognise.is_zip, (".zip",), read_scan="cascade.io.dicom:read_dicom", extra="dicom", is_dicom=True)
METAIMAGE = Format(
    "MetaImage",
    recognise.is_metaimage,
    (".mha", ".mhd"),
    outputs=(".mha",),
    detached=(".mhd",),
    read_scan="cascade.io.itk:read_scan",
    read_labels="cascade.io.itk:read_labels",
    write_labels="cascade.io.itk:write_labels",
    extra="itk",
)
DICOM = Format(
    "DICOM",
    recognise.is_dicom,
    (".dcm",),
    outputs=(".dcm",),
    read_scan="cascade.io.dicom:read_dicom",
    read_labels="cascade.io.dicom_seg:read_segments",
    write_labels="cascade.io.dicom_seg:write_dicom_seg",
    check_scan="cascade.io.dicom:check_referable",
    extra="dicom",
    is_dicom=True,
)
#: The formats. The first whose suffix a name has, or that knows a content, is the one.
FORMATS = (NIFTI, SEG_NRRD, NRRD, ZIP, METAIMAGE, DICOM)
#: All suffixes, and those that ask for labels in a format.
SUFFIXES = tuple(suffix for form in FORMATS for suffix in form.suffixes)
OUTPUT_SUFFIXES = tuple(suffix for form in FORMATS for suffix in form.outputs)
#: What a scan may be, for messages.
TITLES = tuple(form.title for form in (NIFTI, DICOM, NRRD, METAIMAGE))
#: Endings by which a file's name says that it holds labels.
_ENDINGS_OF_LABELS = ("_labels", "_seg", "_mask", "_dseg", "_levels")
NOT_DICOM = (
    "{path}: expected a scan read from DICOM, which a DICOM SEG has to refer to; found another format; "
    "give the DICOM series as input, or write .seg.nrrd or .nii.gz"
)


class Source(Protocol):
    """What a reader remembers of a file, for the writer of its labels."""

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the reader noticed."""

    @property
    def holds_labels(self) -> bool:
        """Whether the header says that these are labels, not a scan."""


@dataclass(frozen=True)
class PlainSource:
    """A file of which nothing but the reader's notices is needed again."""

    notices: tuple[Notice, ...] = ()
    holds_labels: bool = False


def format_of(path: Path) -> Format | None:
    """Tell the format of a file by its content; None if it is none of ours, or cannot be read. A folder is DICOM."""
    if not is_there(path):
        return None
    return DICOM if path.is_dir() else format_of_content(head_of(path))


def format_of_content(head: bytes) -> Format | None:
    """Tell the format by the first bytes of a file (unpacked, if it was gzipped)."""
    return next((form for form in FORMATS if form.is_content and form.is_content(head)), None)


def format_of_name(name: str) -> Format | None:
    """The format that a file's name speaks of."""
    return next((form for form in FORMATS if find_suffix(name, form.suffixes)), None)


def find_suffix(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> str:
    """The suffix of a file name among `suffixes`, in lower case; empty if it has none of them.

    >>> find_suffix("T2.NII.GZ"), find_suffix("t2.seg.nrrd"), find_suffix("scan")
    ('.nii.gz', '.seg.nrrd', '')
    """
    return next((suffix for suffix in suffixes if name.lower().endswith(suffix)), "")


def stem(name: str) -> str:
    """A file name without its suffix.

    >>> stem("t2.seg.nrrd"), stem("1.2.840.113")
    ('t2', '1.2.840.113')
    """
    return name[: len(name) - len(find_suffix(name))]


def find_scans(folder: Path, leave_out: Path, report: Callable[[OSError], None] | None = None) -> Iterator[tuple[Path, Format]]:
    """Find the files in a folder, searched recursively, that are scans by content or by name; labels and earlier outputs are skipped.

    What is a scan by name alone is among them, also a link that leads nowhere: whoever reads it says what is wrong.

    Parameters
    ----------
    folder : Path
    leave_out : Path
        Folder that outputs go to; left out where it lies in `folder`.
    report : callable, optional
        Is told of folders that cannot be read.
    """
    outputs, top = (f"{os.path.realpath(path)}{os.sep}" for path in (leave_out, folder))
    for file in walk(folder, report):
        if file.name.startswith(".") or (outputs.startswith(top) and outputs != top and os.path.realpath(file).startswith(outputs)):
            continue
        named = format_of_name(file.name)
        if stem(file.name).lower().endswith(_ENDINGS_OF_LABELS) or (named and not named.read_scan):
            continue
        may_be = named or (file.is_symlink() and "." not in file.name and not is_there(file))
        found = format_of(file) or (NIFTI if may_be else None)
        if found:
            yield file, found


def read_scan_file(path: Path, series: str | None = None) -> tuple[Volume, Source | None]:
    """Read a scan: NIfTI, NRRD, MetaImage, a DICOM folder, zip or multi-frame file.

    Parameters
    ----------
    path : Path
    series : str, optional
        DICOM series number or SeriesInstanceUID, where there are several.

    Returns
    -------
    volume : Volume
    source : Source or None
        What `write_labels_file` has to repeat.

    Raises
    ------
    InputError
        The file is missing, damaged, of no known format, or not one 3-D scan.
    MissingExtraError
        The format needs an extra that is not installed.
    """
    form = _recognised(path)
    read: Callable[..., tuple[Volume, Source | None]] = _function(form, form.read_scan, path)
    return read(path, series) if form.is_dicom else read(path)


def read_labels_file(path: Path) -> tuple[NDArray[Any], Grid]:
    """Read whole numbers from a label file of any format; a DICOM SEG gives its segment numbers.

    Raises
    ------
    InputError
        As for `read_scan_file`, or the values are no labels.
    MissingExtraError
        The format needs an extra that is not installed.
    """
    form = _recognised(path)
    if not form.read_labels:
        raise InputError(f"{path}: expected a label file; found a {form.title}; unpack it first")
    read: Callable[[Path], tuple[NDArray[Any], Grid]] = _function(form, form.read_labels, path)
    return read(path)


def write_labels_file(labels: LabelMap, path: Path, source: Source | None = None, seg_type: SegType = "binary") -> None:
    """Write labels in the format that the suffix of `path` asks for.

    Parameters
    ----------
    labels : LabelMap
    path : Path
    source : Source, optional
        From `read_scan_file`: NIfTI repeats its header, DICOM SEG refers to its series.
    seg_type : {"binary", "labelmap"}
        Kind of DICOM SEG.

    Raises
    ------
    OutputError
        The suffix is unknown, the path cannot be written, or the format does not go with the source.
    MissingExtraError
        The format needs an extra that is not installed.
    """
    form = output_format(path)
    write: Callable[..., None] = _function(form, form.write_labels, path)
    if form.is_dicom:
        write(labels, path, source, seg_type)
    else:
        write(labels, path, source)


def output_format(path: Path) -> Format:
    """The format that the name of an output asks for.

    Raises
    ------
    OutputError
        There is no such format.

    Examples
    --------
    >>> output_format(Path("levels.seg.nrrd")).title, output_format(Path("levels.NII.GZ")).title
    ("3D Slicer's segmentation", 'NIfTI')
    """
    found = next((form for form in FORMATS if find_suffix(path.name, form.outputs)), None)
    if found is None:
        raise OutputError(f"{path}: expected an output name that ends in {', '.join(OUTPUT_SUFFIXES)}")
    return found


def check_output(path: Path, scan: Path, *others: Path | None, series: str | None = None) -> tuple[Notice, ...]:
    """Refuse, before anything is computed, an output that cannot be written for this scan.

    Returns
    -------
    notices : tuple of Notice
        What will be written otherwise than the scan says.

    Raises
    ------
    OutputError
        The suffix is unknown, the output is the input, two outputs are one, or a DICOM SEG is asked for a scan that is not DICOM.
    InputError
        A DICOM SEG is asked for a series to which it cannot refer.
    """
    wanted = output_format(path)
    check_apart((output for output in (path, *others) if output is not None), [scan])
    if not (wanted.is_dicom and is_there(scan)):
        return ()
    if not ((found := format_of(scan)) and found.is_dicom):
        raise OutputError(NOT_DICOM.format(path=path))
    check: Callable[..., tuple[Notice, ...]] = _function(wanted, wanted.check_scan, path)
    return check(scan, series)


def check_extra(path: Path) -> None:
    """Refuse, before anything is computed, an output whose format needs an extra that is not installed.

    Raises
    ------
    OutputError
        The suffix is unknown.
    MissingExtraError
        It is not installed.
    """
    if name := output_format(path).extra:
        require(name, str(path))


def _function(form: Format, name: str, path: Path) -> Callable[..., Any]:
    with extra(form.extra, str(path)):
        function: Callable[..., Any] = resolve_name(name)
    return function


def _recognised(path: Path) -> Format:
    if not is_there(path):
        raise InputError(f"{path}: expected a file or folder; there is no such file")
    if path.is_file() and not path.stat().st_size:
        raise InputError(f"{path}: expected {', '.join(TITLES[:-1])} or {TITLES[-1]}; the file is empty (0 bytes); copy or export it again")
    found = format_of(path)
    if found is None and format_of_name(path.name) is NIFTI:
        return NIFTI
    if found is None and not os.access(path, os.R_OK):
        raise InputError(f"{path}: expected a readable file; permission denied; change its permissions")
    if found is None:
        raise InputError(f"{path}: expected {', '.join(TITLES[:-1])} or {TITLES[-1]}; its content is none of these")
    return found
