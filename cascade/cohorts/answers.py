"""The networks' answer for one scan on disk, so that a correction need not run them again.

One file beside the labels, ``NAME.seen.npz``: arrays of numpy as they are, and a header in JSON. Nothing in it is ever unpickled, and it is
used only for the scan and with the weights that it came from. It holds no voxel of the scan, which is read again.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cascade.errors import InputError
from cascade.io.files import replacing
from cascade.io.formats import OUTPUT_SUFFIXES, Source, find_suffix
from cascade.networks.spec import StageSpec
from cascade.notices import Notice
from cascade.postproc.identify import Evidence
from cascade.segmentation import Perception
from cascade.stage1_spine.locate import Spine
from cascade.volume import Grid, Volume

_LOG = logging.getLogger(__name__)
#: What is larger is not kept: four bytes a class and voxel of the box around the spine come to some 20 MB in a usual scan.
MAX_BYTES = 1 << 29
_VERSION = 1
#: Of headers, beside what is counted.
_ROOM = 1 << 20


def answer_path(labels: Path) -> Path:
    """Where the answer that labels came from is kept.

    >>> answer_path(Path("out/t2.seg.nrrd")).name
    't2.seen.npz'
    """
    return labels.with_name(labels.name.removesuffix(find_suffix(labels.name, OUTPUT_SUFFIXES)) + ".seen.npz")


@dataclass(frozen=True, eq=False)
class Answer:
    """What the networks see in a scan, and what that follows from.

    Parameters
    ----------
    seen : Perception
    input_sha256 : str or None
        Of the scan's file or files, see `cascade.cohorts.manifest.digest_of`.
    checkpoint_sha256 : mapping of str to str
        Identity of each stage's checkpoint.
    """

    seen: Perception
    input_sha256: str | None
    checkpoint_sha256: Mapping[str, str]

    def save(self, path: Path) -> None:
        """Write it, whole or not at all; nothing if it is too large, or nobody could tell which scan it is of."""
        seen, spine = self.seen, self.seen.spine
        arrays: dict[str, Any] = {
            "probabilities": seen.evidence.probabilities,
            "vox2world": seen.evidence.grid.vox2world,
            "centreline_mm": spine.centreline_mm,
            "spine": spine.probability.data,
            "spine_vox2world": spine.probability.grid.vox2world,
            "column": spine.column,
        }
        if self.input_sha256 is None or sum(array.nbytes for array in arrays.values()) > MAX_BYTES:
            _LOG.info("%s: not kept; the networks' answer is too large, or the scan cannot be read again", path.name)
            path.unlink(missing_ok=True)
            return
        header = {
            "version": _VERSION,
            "input_sha256": self.input_sha256,
            "checkpoint_sha256": dict(self.checkpoint_sha256),
            "classes": seen.evidence.classes,
            "confidence": spine.confidence,
            "second_look": spine.second_look,
            "backend": seen.backend,
        }
        with replacing(path) as temporary, temporary.open("wb") as target:
            np.savez(target, header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), **arrays)


def read_answer(
    path: Path,
    scan: tuple[Volume, Source | None, tuple[Notice, ...]],
    input_sha256: str | None,
    checkpoint_sha256: Mapping[str, str],
    stage2: StageSpec,
) -> Perception | None:
    """What `Answer.save` has kept, for a scan as `cascade.io.scan.read_scan` reads it, and for the networks in use.

    Returns
    -------
    Perception or None
        None if there is none, or if it is damaged, of another scan, of other weights or of another version: the networks have to be run.
    """
    if not path.is_file():
        return None
    try:
        header, arrays = _loaded(path)
        expected = {"version": _VERSION, "input_sha256": input_sha256, "checkpoint_sha256": checkpoint_sha256}
        different = [name for name, value in expected.items() if header.get(name) != value]
        if different:
            raise InputError(f"expected that of this scan and these weights; found another {', '.join(different)}")
        return _perception(header, arrays, scan, stage2)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, InputError) as error:
        _LOG.info("%s: not used; the networks are run (%s)", path.name, error)
        return None


def _loaded(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > MAX_BYTES + _ROOM:
            raise InputError("expected a file of this program; found more in it than it writes")
    with np.load(path, allow_pickle=False) as content:
        arrays = {name: content[name] for name in content.files}
    return json.loads(arrays.pop("header").tobytes()), arrays


def _perception(
    header: Mapping[str, Any],
    arrays: Mapping[str, Any],
    scan: tuple[Volume, Source | None, tuple[Notice, ...]],
    spec: StageSpec,
) -> Perception:
    volume, source, notices = scan
    around = Volume(arrays["spine"], Grid(arrays["spine"].shape, arrays["spine_vox2world"]))
    spine = Spine(around, arrays["column"], arrays["centreline_mm"], float(header["confidence"]), bool(header["second_look"]))
    probabilities, classes = arrays["probabilities"], tuple(map(str, header["classes"]))
    grid = Grid(probabilities.shape[1:], arrays["vox2world"])
    scan_grid = volume.grid.reoriented(spec.axcodes)
    evidence = Evidence(probabilities, classes, grid, spine.centreline_mm, scan_grid, spec.naming_parameters)
    return Perception(volume, spine, evidence, notices, {}, source, str(header.get("backend", "")))
