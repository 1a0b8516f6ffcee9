"""BIDS: which scans a data set holds, and where their derivatives go.

After the Brain Imaging Data Structure 1.10, "Derivatives" and "Imaging derivatives: segmentations". A derivative is named
``<entities of the source>_desc-cascade_dseg``; where the source is not a T2w, its suffix is added to the description
(``desc-cascadeT1w``), so that contrasts of one session do not collide.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from cascade.errors import InputError
from cascade.io.files import replacing
from cascade.io.formats import NIFTI, find_suffix, stem
from cascade.labels import LabelScheme
from cascade.terminology import colour_of, description_of

BIDS_VERSION = "1.10.0"
#: Suffixes of the anatomical scans that are looked for.
CONTRASTS = ("T1w", "T2w", "PDw", "T2starw", "FLAIR", "inplaneT1", "inplaneT2", "T2star", "PD")
_DESCRIPTION = "dataset_description.json"


def find_bids_scans(root: Path, participants: Collection[str] = ()) -> list[Path]:
    """List the anatomical scans of a BIDS data set: ``sub-*/[ses-*/]anat/*_T2w.nii.gz`` and other contrasts.

    Parameters
    ----------
    root : Path
    participants : collection of str
        Labels, with or without ``sub-``, of those whose scans are listed; all by default.

    Raises
    ------
    InputError
        `root` is no BIDS data set, or holds no such scan.
    """
    if not (root / _DESCRIPTION).is_file():
        raise InputError(f"{root}: expected a BIDS data set; it has no {_DESCRIPTION}; give the data set's top folder")
    folders = [*root.glob("sub-*/anat"), *root.glob("sub-*/ses-*/anat")]
    scans = [
        file for folder in folders for file in folder.iterdir() if find_suffix(file.name, NIFTI.suffixes) and _contrast(file) in CONTRASTS
    ]
    if not scans:
        raise InputError(f"{root}: expected scans like sub-01/anat/sub-01_T2w.nii.gz; found none")
    wanted = {f"sub-{label.removeprefix('sub-')}" for label in participants}
    by_person = {scan.relative_to(root).parts[0] for scan in scans}
    if missing := sorted(wanted - by_person):
        raise InputError(f"{root}: expected scans of {', '.join(missing)}; there are {', '.join(sorted(by_person))}; give others")
    return sorted(scan for scan in scans if not wanted or scan.relative_to(root).parts[0] in wanted)


def derivative_path(scan: Path, root: Path) -> Path:
    """Path of a scan's segmentation, relative to the derivatives' top folder, without suffix.

    >>> print(derivative_path(Path("d/sub-01/anat/sub-01_acq-sag_T2w.nii.gz"), Path("d")))
    sub-01/anat/sub-01_acq-sag_desc-cascade_dseg
    >>> print(derivative_path(Path("d/sub-01/anat/sub-01_T1w.nii.gz"), Path("d")))
    sub-01/anat/sub-01_desc-cascadeT1w_dseg
    """
    entities, _, contrast = stem(scan.name).rpartition("_")
    description = "cascade" if contrast == "T2w" else f"cascade{contrast}"
    return scan.relative_to(root).with_name(f"{entities}_desc-{description}_dseg")


def write_dataset_description(derivatives: Path, root: Path) -> None:
    """Write ``dataset_description.json`` of the derivatives, which names the program and links the raw data set."""
    from cascade._version import __version__

    link = "../.." if derivatives.resolve().parent.parent == root.resolve() else root.resolve().as_uri()
    description = {
        "Name": "cascade: lumbar vertebrae and discs",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "cascade", "Version": __version__, "Description": "Two-stage segmentation of spine MR"}],
        "DatasetLinks": {"raw": link},
    }
    _write_json(derivatives / _DESCRIPTION, description)


def write_sidecars(output: Path, scan: Path, root: Path, scheme: LabelScheme, run: Mapping[str, Any]) -> None:
    """Write the ``.json`` and the look-up table ``.tsv`` beside a segmentation.

    Parameters
    ----------
    output : Path
        The segmentation.
    scan, root : Path
        Its source and the source's data set.
    scheme : LabelScheme
    run : mapping
        Levels, warnings and provenance, as plain types.
    """
    name = stem(output.name)
    source = f"bids:raw:{scan.relative_to(root).as_posix()}"
    sidecar = {
        "Description": "Vertebral bodies and intervertebral discs by level",
        "Sources": [source],
        "Manual": False,
        "Cascade": dict(run),
    }
    _write_json(output.with_name(f"{name}.json"), sidecar)
    with replacing(output.with_name(f"{name}.tsv")) as temporary:
        temporary.write_text(lookup_table(scheme), encoding="utf-8")


def lookup_table(scheme: LabelScheme) -> str:
    """The look-up table of a scheme: index, name, abbreviation, colour; no structure is in BIDS's own (brain) list."""
    rows = ["index\tname\tabbreviation\tcolor\tmapping"]
    for number, structure in sorted((number, name) for name, number in scheme.ids.items()):
        colour = "#{:02X}{:02X}{:02X}".format(*colour_of(structure))
        rows.append(f"{number}\t{description_of(structure)}\t{structure}\t{colour}\tn/a")
    return "\n".join(rows) + "\n"


def _contrast(scan: Path) -> str:
    return stem(scan.name).rpartition("_")[2]


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
