"""Small real files of every kind that `cascade` reads, and the reader of each."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np

from tests.robustness.mutate import mutate

_SHAPE = (6, 7, 8)


@dataclass(frozen=True)
class Target:
    """A reader and what it is fed.

    Parameters
    ----------
    seeds : callable
        Healthy files.
    read : callable
        Gets a folder that holds the damaged file as `name`.
    name : str
    pack : callable, optional
        Makes the file of the damaged content, where the damage is to be inside: gzip, zip, safetensors with the right sha256.
    """

    seeds: Callable[[], tuple[bytes, ...]]
    read: Callable[[Path], object]
    name: str
    pack: Callable[[bytes], bytes] | None = None

    def healthy(self, folder: Path) -> None:
        """Write a file that has to be read."""
        content = self.seeds()[0]
        (folder / self.name).write_bytes(self.pack(content) if self.pack else content)

    def write(self, folder: Path, rng: Random) -> None:
        """Write one damaged file into `folder`."""
        seeds = self.seeds()
        content = mutate(rng.choice(seeds), seeds, rng)
        if self.pack:
            content = self.pack(content)
            if rng.random() < 0.2:
                content = mutate(content, (content,), rng)
        (folder / self.name).write_bytes(content)


def _voxels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 9, _SHAPE).astype(np.int16)


def _affine() -> np.ndarray:
    return np.array([[-2.0, 0.1, 0, 5], [0.1, 2, 0, -7], [0, 0, 3, 9], [0, 0, 0, 1]])


@cache
def nifti() -> tuple[bytes, ...]:
    """NIfTI-1 and 2, both byte orders, scaled, with extensions, 4-D."""
    data = _voxels()
    plain = nib.Nifti1Image(data.astype(np.uint8), _affine())
    scaled = nib.Nifti1Image(data, _affine())
    scaled.header.set_slope_inter(0.5, 3)
    noted = nib.Nifti1Image(data, _affine())
    note = json.dumps({"scheme": "cascade", "labels": {"1": "L1"}}).encode()
    noted.header.extensions.append(nib.nifti1.Nifti1Extension(6, note))
    noted.header.extensions.append(nib.nifti1.Nifti1Extension(2, b"\x10\0\x10\0PN\x04\0A^B "))
    swapped = nib.Nifti1Image(data.astype(">i2"), _affine(), nib.Nifti1Header(endianness=">"))
    more = (nib.Nifti1Image(data[..., None].astype(np.float32), _affine()), nib.Nifti2Image(data, _affine()))
    return tuple(image.to_bytes() for image in (plain, scaled, noted, swapped, *more))


@cache
def metaimage() -> tuple[bytes, ...]:
    """Raw, packed, as text, and with the older names of the fields."""
    data = _voxels()
    sizes = " ".join(map(str, _SHAPE))
    head = f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nDimSize = {sizes}\nElementType = MET_SHORT\n"
    place = "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\nElementSpacing = 1 2 3\n"
    old = "Position = 1 2 3\nOrientation = 1 0 0 0 1 0 0 0 1\nElementSize = 1 2 3\nElementNumberOfChannels = 1\nHeaderSize = 0\n"
    raw, packed = data.T.tobytes(), zlib.compress(data.T.tobytes())
    local = "ElementDataFile = LOCAL\n"
    text = " ".join(map(str, data.T.ravel())).encode()
    return (
        (head + place + local).encode() + raw,
        (head + place + f"CompressedData = True\nCompressedDataSize = {len(packed)}\n" + local).encode() + packed,
        (head + old + local).encode() + raw,
        (head.replace("BinaryData = True", "BinaryData = False") + place + local).encode() + text,
        (head + place + "ElementDataFile = data.raw\n").encode(),
    )


@cache
def nrrd() -> tuple[bytes, ...]:
    """Every encoding, with and without orientation, and a detached header."""
    raw = _voxels().T.tobytes()
    head = f"NRRD0004\n# made here\ntype: short\ndimension: 3\nsizes: {' '.join(map(str, _SHAPE))}\nendian: little\n"
    place = (
        "space: left-posterior-superior\nspace directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (1,2,3)\nkinds: domain domain domain\n"
    )
    return (
        (head + place + "encoding: raw\nSegment0_Name:=L1\n\n").encode() + raw,
        (head + place + "encoding: gzip\n\n").encode() + gzip.compress(raw, mtime=0),
        (head + place + "encoding: bzip2\n\n").encode() + bz2.compress(raw),
        (head + "spacings: 1 2 3\nencoding: hex\n\n").encode() + raw.hex().encode(),
        (head + place + "encoding: ascii\n\n").encode() + " ".join(map(str, _voxels().T.ravel())).encode(),
        (head + place + "encoding: raw\ndata file: data.raw\n").encode(),
    )


@cache
def slices() -> tuple[bytes, ...]:
    """The files of a classic series."""
    return tuple(_saved(dataset) for dataset in _datasets())


@cache
def multiframe() -> tuple[bytes, ...]:
    """An enhanced image: as it is, deflated, and compressed in the ways of DICOM."""
    from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless, RLELossless

    from tests.dicom_files import enhanced

    image = enhanced(_datasets())
    found = [_saved(image)]
    for syntax in (RLELossless, JPEGLSLossless):
        packed = enhanced(_datasets())
        packed.compress(syntax, encoding_plugin="pydicom" if syntax == RLELossless else "pyjpegls")
        found.append(_saved(packed))
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return (*found, _by_gdcm(found[0]), _saved(image))


def _by_gdcm(content: bytes) -> bytes:
    """The image as JPEG lossless. (GDCM's encoder of JPEG 2000 frees its memory twice, so there is none of that.)"""
    import gdcm

    with TemporaryDirectory() as folder:
        source, target = Path(folder) / "a.dcm", Path(folder) / "b.dcm"
        source.write_bytes(content)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(source))
        if not reader.Read():
            raise RuntimeError("gdcm cannot read what pydicom wrote")
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(target))
        writer.Write()
        return target.read_bytes()


@cache
def dicom_seg() -> tuple[bytes, ...]:
    """Both kinds of DICOM SEG."""
    from cascade.io.formats import read_scan_file, write_labels_file
    from cascade.labels import CASCADE
    from cascade.volume import LabelMap
    from tests.dicom_files import write_series

    found = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        scan, source = read_scan_file(write_series(_datasets(), folder / "series"))
        labels = LabelMap((np.arange(scan.data.size).reshape(scan.data.shape) % 3).astype(np.uint8), scan.grid, CASCADE)
        for kind in ("binary", "labelmap"):
            write_labels_file(labels, folder / "l.dcm", source, kind)
            found.append((folder / "l.dcm").read_bytes())
    return tuple(found)


def _datasets() -> list:
    from cascade.volume import Grid, Volume
    from tests.dicom_files import slices as series

    return series(Volume(_voxels()[:, :, :4].astype(np.float32), Grid((*_SHAPE[:2], 4), _affine())))


def _saved(dataset: object) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)  # type: ignore[attr-defined]
    return stream.getvalue()


def zipped(method: int) -> Callable[[], tuple[bytes, ...]]:
    """A series in a zip."""

    @cache
    def seeds() -> tuple[bytes, ...]:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for number, content in enumerate(slices()):
                archive.writestr(f"scan/{number}.dcm", content)
        return (stream.getvalue(),)

    return seeds


@cache
def specs() -> tuple[bytes, ...]:
    """StageSpecs: a real one and a small one."""
    from cascade.networks.checkpoint import packaged_weights

    return (_small_checkpoint()[0], *(path.read_bytes() for path in sorted(packaged_weights().glob("stage*.json"))))


@cache
def _small_checkpoint() -> tuple[bytes, bytes]:
    from cascade.networks.checkpoint import build_network, save_checkpoint
    from tests.synthetic import tiny_spec

    with TemporaryDirectory() as name:
        spec = tiny_spec("stage1_spine", ("background", "column"), (4.0, 2.0, 2.0))
        save_checkpoint(build_network(spec), spec, Path(name))
        return (Path(name) / "stage1_spine.json").read_bytes(), (Path(name) / "stage1_spine.safetensors").read_bytes()


@cache
def recipes() -> tuple[bytes, ...]:
    """The recipes in the package."""
    import cascade

    return tuple(path.read_bytes() for path in sorted(Path(cascade.__file__).parent.glob("stage*/recipe.json")))


def tables() -> tuple[bytes, ...]:
    """``cases.tsv``."""
    head = "dataset\tcase\tpatient\tsplit\tscheme\n"
    return ((head + "a\tone\tp1\ttrain\tverse\na\ttwo\tp2\tval\tcascade\n").encode(), b'dataset\tcase\na\t"one"\nb\ttwo\n')


def mappings() -> tuple[bytes, ...]:
    """Mapping files of ``cascade-prepare``."""
    return (b"tag\tstructure\n# lumbar\n1\tL1\n2\tL1-L2\n7\tignore\n", b"file\tstructure\nT2*\timage\n*/l1_*\tL1\n*.nii.gz\tignore\n")


def read_scan(folder: Path) -> object:
    """Read what was damaged, as a scan and as labels."""
    from cascade.errors import CascadeError
    from cascade.io.formats import read_labels_file, read_scan_file
    from cascade.io.nifti import noted_scheme

    path = next(p for p in folder.iterdir() if p.name.startswith("scan"))
    for read in (read_labels_file, noted_scheme):
        try:
            read(path)
        except CascadeError:
            continue
    return read_scan_file(path)


def read_seg(folder: Path) -> object:
    from cascade.io.formats import read_labels_file

    return read_labels_file(folder / "scan.dcm")


def read_series(folder: Path) -> object:
    """Read the series with one damaged slice among healthy ones."""
    from cascade.io.formats import read_scan_file

    for number, content in enumerate(slices()[1:]):
        (folder / f"slice{number}").write_bytes(content)
    return read_scan_file(folder)


def read_for_training(folder: Path) -> object:
    """Read as ``cascade-prepare`` does."""
    from cascade.datasets.reading import list_scans, read_scan

    return [read_scan(scan) for scan in list_scans(folder)]


def read_series_for_training(folder: Path) -> object:
    for number, content in enumerate(slices()[1:]):
        (folder / f"slice{number}.dcm").write_bytes(content)
    return read_for_training(folder)


def read_checkpoint(folder: Path) -> object:
    """Load a damaged spec with its weights, or damaged weights whose sha256 the spec states."""
    from cascade.networks.checkpoint import load_checkpoint
    from cascade.networks.spec import StageSpec

    spec, weights = folder / "stage1_spine.json", folder / "stage1_spine.safetensors"
    if not spec.exists():
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        whole = StageSpec.from_json(_small_checkpoint()[0].decode())
        spec.write_text(dataclasses.replace(whole, weights_sha256=digest).to_json(), encoding="utf-8")
    else:
        weights.write_bytes(_small_checkpoint()[1])
    return load_checkpoint("stage1_spine", folder)


def read_recipe(folder: Path) -> object:
    from cascade.training.recipe import Recipe

    return Recipe.read(folder / "recipe.json")


def read_table(folder: Path) -> object:
    from cascade.io.cases import list_cases

    return list_cases(folder)


def read_mapping(folder: Path) -> object:
    from cascade.datasets.names import read_mapping

    return read_mapping(folder / "map.tsv")


def _gz(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def _zip_of_one(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number, part in enumerate((content, *slices()[1:])):
            archive.writestr(f"{number}.dcm", part)
    return stream.getvalue()


TARGETS = {
    "nifti": Target(nifti, read_scan, "scan.nii"),
    "nifti-gz": Target(nifti, read_scan, "scan.nii.gz", _gz),
    "nifti-misnamed": Target(nifti, read_scan, "scan.dat", _gz),
    "metaimage": Target(metaimage, read_scan, "scan.mha"),
    "nrrd": Target(nrrd, read_scan, "scan.nrrd"),
    "dicom-slice": Target(slices, read_series, "damaged.dcm"),
    "dicom-multiframe": Target(multiframe, read_scan, "scan.dcm"),
    "dicom-seg": Target(dicom_seg, read_seg, "scan.dcm"),
    "zip": Target(zipped(zipfile.ZIP_DEFLATED), read_scan, "scan.zip"),
    "zip-stored": Target(zipped(zipfile.ZIP_STORED), read_scan, "scan.zip"),
    "zip-member": Target(slices, read_scan, "scan.zip", _zip_of_one),
    "prepare-metaimage": Target(metaimage, read_for_training, "scan.mha"),
    "prepare-nrrd": Target(nrrd, read_for_training, "scan.nrrd"),
    "prepare-dicom": Target(slices, read_series_for_training, "damaged.dcm"),
    "stagespec": Target(specs, read_checkpoint, "stage1_spine.json"),
    "safetensors": Target(lambda: _small_checkpoint()[1:], read_checkpoint, "stage1_spine.safetensors"),
    "recipe": Target(recipes, read_recipe, "recipe.json"),
    "cases-tsv": Target(tables, read_table, "cases.tsv"),
    "mapping-tsv": Target(mappings, read_mapping, "map.tsv"),
}
