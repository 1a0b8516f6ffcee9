"""Small files that ask for much: voxels, bytes, time, or somebody else's file."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from cascade.errors import CascadeError, CheckpointError, InputError
from cascade.io import dicom_files
from cascade.io.formats import read_labels_file, read_scan_file
from cascade.io.scan import read_scan
from cascade.networks.checkpoint import build_network, load_checkpoint
from cascade.networks.spec import StageSpec
from cascade.volume import MAX_VOXELS, Grid, Volume
from tests import blocks
from tests.dicom_files import slices, write_series
from tests.robustness.conftest import Bounded
from tests.synthetic import tiny_spec

HUGE = (10_000, 10_000, 10_000)
#: 64 MiB of zeros, packed; gzip files may be put one behind the other.
ZEROS = gzip.compress(bytes(64 << 20), 1, mtime=0)


def header(shape: tuple[int, ...], kind: type[nib.Nifti1Image] = nib.Nifti1Image, **fields: object) -> bytes:
    """A NIfTI header that says what it likes."""
    image = kind(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    for name, value in fields.items():
        image.header[name] = value
    image.header["dim"][: len(shape) + 1] = [len(shape), *shape]
    return image.header.binaryblock + bytes(4)


def nrrd(lines: str) -> bytes:
    return f"NRRD0004\ntype: uchar\ndimension: 3\n{lines}\n\n".encode()


def meta(lines: str, data: str = "LOCAL") -> bytes:
    return f"ObjectType = Image\nNDims = 3\nElementType = MET_UCHAR\n{lines}\nElementDataFile = {data}\n".encode()


def with_extension(length: int) -> bytes:
    content = header((5, 5, 5), vox_offset=1024)
    return content[:348] + b"\1\0\0\0" + struct.pack("<ii", length, 6) + bytes(2000)


BOMBS = {
    "nifti-voxels.nii": (header(HUGE), f"at most {MAX_VOXELS} voxels"),
    "nifti2-voxels.nii": (header((10**6, 10**6, 1), nib.Nifti2Image), f"at most {MAX_VOXELS} voxels"),
    "nifti-few-bytes.nii": (header((800, 800, 800)) + bytes(1000), "truncated or damaged"),
    "nifti-few-bytes.nii.gz": (gzip.compress(header((800, 800, 800)) + bytes(1000)), "truncated or damaged"),
    "nifti-offset.nii": (header((5, 5, 5), vox_offset=1e12), "far behind the header"),
    "nifti-extension.nii": (with_extension(2**31 - 16), "impossible length"),
    "nifti-extension.nii.gz": (gzip.compress(with_extension(-(2**31))) + ZEROS * 99, "impossible length"),
    "nifti-negative.nii": (header((-5, 5, 5)) + bytes(1000), "expected"),
    "nifti-huge-misnamed.dat": (gzip.compress(header(HUGE)) + ZEROS * 99, f"at most {MAX_VOXELS} voxels"),
    "nrrd-voxels.nrrd": (nrrd("sizes: 10000 10000 10000\nencoding: gzip") + ZEROS, f"at most {MAX_VOXELS} voxels"),
    "nrrd-few-bytes.nrrd": (nrrd("sizes: 800 800 800\nencoding: raw") + bytes(1000), "truncated or damaged"),
    "nrrd-few-packed.nrrd": (nrrd("sizes: 800 800 800\nencoding: gzip") + gzip.compress(bytes(9)), "truncated or damaged"),
    "nrrd-overflow.nrrd": (nrrd("sizes: 4294967296 4294967296 1\nencoding: raw"), "whole numbers"),
    "nrrd-twice.nrrd": (nrrd("sizes: 5 5 5\nsizes: 9000 9000 9000\nencoding: raw") + bytes(125), "found two"),
    "meta-voxels.mha": (meta("DimSize = 10000 10000 10000\nCompressedData = True"), f"at most {MAX_VOXELS} voxels"),
    "meta-few-bytes.mha": (meta("DimSize = 800 800 800") + bytes(1000), "truncated or damaged"),
    "meta-axes.mha": (meta("DimSize = " + "5 " * 400), "whole numbers"),
    "meta-axes-lied.mha": (meta("DimSize = 5 5 5").replace(b"NDims = 3", b"NDims = 300"), "as many numbers"),
    "meta-channels.mha": (meta("DimSize = 5 5 5\nElementNumberOfChannels = 100000000") + bytes(125), f"at most {MAX_VOXELS}"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_header_is_not_believed(name: str, tmp_path: Path, bounded: Bounded) -> None:
    content, said = BOMBS[name]
    (tmp_path / name).write_bytes(content)
    for read in (read_scan_file, read_labels_file):
        with bounded(), pytest.raises(InputError, match=said):
            read(tmp_path / name)


def test_a_gzip_that_goes_on_for_gigabytes_is_read_as_far_as_the_scan_goes(tmp_path: Path, bounded: Bounded) -> None:
    """A small scan, then 10 GiB of zeros in 10 MB."""
    for name in ("scan.nii.gz", "scan.dat"):
        (tmp_path / name).write_bytes(gzip.compress(header((5, 5, 5), datatype=2) + bytes(125)) + ZEROS * 160)
        with bounded():
            assert read_scan_file(tmp_path / name)[0].grid.shape == (5, 5, 5)


SECRET = "secret.raw"
ELSEWHERE = ("../{}", "/etc/passwd", "sub/../../{}", "..\\{}", "C:\\{}", "LIST", "%s%s%s%n", "{}%03d.raw 1 3 1", "*.raw", "..", ".", "~/{}")


@pytest.mark.parametrize("data", ELSEWHERE)
@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_a_header_never_leads_to_a_file_in_another_folder(suffix: str, data: str, tmp_path: Path) -> None:
    (tmp_path / SECRET).write_bytes(bytes(range(125)))
    (tmp_path / "in" / "sub").mkdir(parents=True)
    name = data.format(SECRET)
    made = {".mhd": meta("DimSize = 5 5 5", name), ".nhdr": nrrd(f"sizes: 5 5 5\nencoding: raw\ndata file: {name}")}
    (tmp_path / "in" / f"scan{suffix}").write_bytes(made[suffix])
    with pytest.raises(InputError, match="beside it"):
        read_scan_file(tmp_path / "in" / f"scan{suffix}")


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_the_file_beside_a_header_is_read(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "my data.raw").write_bytes(bytes(range(125)))
    made = {".mhd": meta("DimSize = 5 5 5", "my data.raw"), ".nhdr": nrrd("sizes: 5 5 5\nencoding: raw\ndata file: my data.raw")}
    (tmp_path / f"scan{suffix}").write_bytes(made[suffix])
    assert read_scan_file(tmp_path / f"scan{suffix}")[0].data.max() == 124


def test_a_field_of_view_of_kilometres_is_refused_before_it_is_resampled(bounded: Bounded) -> None:
    data = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    for spacing in (1e3, 1e6, 1e30):
        grid = Grid((10, 10, 10), np.diag([spacing, spacing, spacing, 1]))
        with bounded(), pytest.raises(InputError, match="field of view"):
            read_scan(Volume(data, grid))
        with bounded(), pytest.raises(InputError, match="voxels"):
            grid.with_spacing((1, 1, 1))


# ---------------------------------------------------------------------------------------------- DICOM and zips


def test_a_dicom_header_is_not_believed(tmp_path: Path, bounded: Bounded) -> None:
    for attributes in ({"Rows": 65535, "Columns": 65535}, {"NumberOfFrames": 2**31 - 1}, {"Rows": 0}, {"NumberOfFrames": "-5"}):
        folder = write_series(slices(blocks.scan("PSR"), **attributes), tmp_path / str(len(list(tmp_path.iterdir()))))
        with bounded(), pytest.raises(InputError, match="expected"):
            read_scan_file(folder)


def test_a_deflated_data_set_is_unpacked_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounded: Bounded) -> None:
    (dataset, *_) = slices(blocks.scan("PSR"))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    start = 144 + int.from_bytes(stream.getvalue()[140:144], "little")
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    rest = packer.compress(zlib.decompress(stream.getvalue()[start:], -zlib.MAX_WBITS) + bytes(120 << 20)) + packer.flush()
    (tmp_path / "bomb.dcm").write_bytes(stream.getvalue()[:start] + rest)
    monkeypatch.setattr(dicom_files, "_UNPACKED_LIMIT_BYTES", 100 << 20)
    with bounded(), pytest.raises(InputError, match="truncated or damaged"):
        read_scan_file(tmp_path / "bomb.dcm")


def zip_of(members: dict[str, bytes], path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def members_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def series(tmp_path: Path) -> dict[str, bytes]:
    return members_of(write_series(slices(blocks.scan("PSR")), tmp_path / "series"))


def test_a_zip_that_states_terabytes_is_refused(tmp_path: Path, bounded: Bounded) -> None:
    path = zip_of({"a.dcm": bytes(1000)}, tmp_path / "bomb.zip")
    content = path.read_bytes()
    place = content.rindex(b"PK\1\2") + 24
    path.write_bytes(content[:place] + struct.pack("<I", 2**32 - 2) + content[place + 4 :])
    with bounded(), pytest.raises(InputError, match="at most 2 GiB inside a zip"):
        read_scan_file(path)


def test_a_zip_that_holds_more_than_it_states_is_read_no_further(tmp_path: Path, bounded: Bounded) -> None:
    path = zip_of({"a.dcm": bytes(64 << 20)}, tmp_path / "bomb.zip")
    content = path.read_bytes()
    place = content.rindex(b"PK\1\2") + 24
    path.write_bytes(content[:place] + struct.pack("<I", 1000) + content[place + 4 :])
    with bounded(), pytest.raises(InputError, match="damaged or encrypted"):
        read_scan_file(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_packed_as_no_dicom_software_does_is_refused(method: int, series: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a plain zip"):
        read_scan_file(zip_of(series, tmp_path / "odd.zip", method))


@pytest.mark.parametrize("prefix", ["../../", "/tmp/", "C:\\", "a/../../"])
def test_names_in_a_zip_lead_nowhere(prefix: str, series: dict[str, bytes], tmp_path: Path) -> None:
    """Nothing is unpacked to disk, so that no name matters."""
    (tmp_path / "in").mkdir()
    path = zip_of({prefix + name: content for name, content in series.items()}, tmp_path / "in" / "scan.zip")
    before = sorted(tmp_path.rglob("*"))
    assert read_scan_file(path)[0].data.max() > 0
    assert sorted(tmp_path.rglob("*")) == before


# ---------------------------------------------------------------------------------------------- weights


SPEC = tiny_spec("stage1_spine", ("background", "column"), (4.0, 2.0, 2.0))


def changed(**changes: object) -> str:
    return json.dumps(json.loads(SPEC.to_json()) | changes)


ARGUMENTS = json.loads(SPEC.to_json())["network_arguments"]


@pytest.mark.parametrize(
    "text",
    [
        changed(network="Generator"),
        changed(network="__import__('os').system"),
        changed(network="FlexibleUNet"),
        changed(network_arguments=ARGUMENTS | {"channels": [10**9]}),
        changed(network_arguments=ARGUMENTS | {"channels": [4] * 10**5}),
        changed(network_arguments=ARGUMENTS | {"num_res_units": 10**12}),
        changed(network_arguments=ARGUMENTS | {"in_channels": 7}),
        changed(network_arguments=ARGUMENTS | {"out_channels": 7}),
        changed(network_arguments={"a": {"b": {"c": {"d": {"e": {"f": {}}}}}}}),
        changed(patch_shape=[10**6, 10**6, 10**6]),
        changed(patch_shape=[128, 128, 127]),
        changed(stride=[0, 1, 1]),
        changed(spacing_mm=[1e-9, 1, 1]),
        changed(spacing_mm=[1, 1]),
        changed(classes=["background"]),
        changed(classes=["a", "a"]),
        changed(classes="ab"),
        changed(axcodes="RRS"),
        changed(stage="../../stage"),
        changed(weights_sha256="sha"),
        changed(normalisation={"low_percentile": 99, "high_percentile": 1}),
        changed(normalisation={"low_percentile": "1"}),
        changed(naming={"shape_model": {"mean": [1, 2], "covariance": [[1, 2], [2, 1]]}}),
        changed(naming={"shape_model": {"mean": [1e400, 2], "covariance": [[1, 0], [0, 1]]}}),
        changed(naming={"other": 1}),
        changed(format=2),
        changed(unknown=1),
        changed(spacing_mm=[True, 1, 1]),
        '{"a":' * 100_000,
        changed().replace("4.0", "NaN"),
        changed().replace("4.0", "9" * 5000),
    ],
    ids=lambda text: text[-60:],
)
def test_a_spec_is_checked_field_by_field(text: str, bounded: Bounded) -> None:
    assert StageSpec.from_json(changed()) == SPEC
    with bounded(), pytest.raises(CheckpointError, match="expected a StageSpec in JSON"):
        StageSpec.from_json(text, "spec.json")


def test_a_spec_of_allowed_numbers_can_still_not_fill_the_memory(tmp_path: Path, bounded: Bounded) -> None:
    large = ARGUMENTS | {"channels": [4096] * 8, "strides": [1] * 8, "kernel_size": 9}
    spec = StageSpec.from_json(changed(network_arguments=large))
    with bounded(), pytest.raises(CheckpointError, match="at most 536,870,912 parameters"):
        build_network(spec)
    (tmp_path / "stage1_spine.safetensors").write_bytes(b"")
    empty = hashlib.sha256(b"").hexdigest()
    (tmp_path / "stage1_spine.json").write_text(dataclasses.replace(spec, weights_sha256=empty).to_json(), encoding="utf-8")
    with bounded(), pytest.raises(CheckpointError, match="do not fit the network"):
        load_checkpoint("stage1_spine", tmp_path)


def test_a_spec_of_a_hundred_megabytes_is_not_parsed(tmp_path: Path, bounded: Bounded) -> None:
    (tmp_path / "stage1_spine.safetensors").write_bytes(b"")
    with (tmp_path / "stage1_spine.json").open("wb") as stream:
        stream.truncate(100 << 20)
    with bounded(), pytest.raises(CheckpointError, match="at most 1 MiB of JSON"):
        load_checkpoint("stage1_spine", tmp_path)


def endless(path: Path) -> None:
    """A pipe that nobody writes to."""
    import os

    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [endless, device])
def test_what_is_no_file_is_not_waited_for(make: Callable[[Path], None], tmp_path: Path) -> None:
    for name in ("scan.nii.gz", "scan.mha", "scan.dcm", "scan.zip", "stage1_spine.json", "stage1_spine.safetensors"):
        make(tmp_path / name)
    begun = time.monotonic()
    for name in ("scan.nii.gz", "scan.mha", "scan.dcm", "scan.zip"):
        with pytest.raises(CascadeError, match="no such file"):
            read_scan_file(tmp_path / name)
    with pytest.raises(CheckpointError, match="there is none"):
        load_checkpoint("stage1_spine", tmp_path)
    assert time.monotonic() - begun < 60
