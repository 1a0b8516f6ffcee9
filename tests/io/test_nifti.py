"""NIfTI in and out: every kind of input, and outputs that sit exactly on the input's grid."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cascade.errors import InputError, OutputError
from cascade.io.files import replacing, together
from cascade.io.nifti import read_image, read_label_array, write_labels, write_volume
from cascade.labels import CASCADE
from cascade.volume import Grid, LabelMap, Volume
from tests.synthetic import turned

SHAPE = (5, 7, 11)
AFFINE = turned(Grid(SHAPE, np.diag([4.0, 0.9, 1.3, 1.0]))).vox2world


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE, dtype: type | None = None) -> Path:
    nib.save(nib.Nifti1Image(data, affine, dtype=dtype), path)
    return path


def patch_header(path: Path, offset: int, value: bytes) -> Path:
    """Overwrite bytes of an uncompressed file's header, as a faulty converter would write them."""
    content = bytearray(path.read_bytes())
    content[offset : offset + len(value)] = value
    path.write_bytes(content)
    return path


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 200, SHAPE).astype(np.int16)


class TestReading:
    @pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"])
    @pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
    def test_every_number_type_is_read(self, tmp_path: Path, values: np.ndarray, dtype: str, suffix: str) -> None:
        data = (values % 100).astype(dtype)
        volume, header = read_image(save(tmp_path / f"a{suffix}", data, dtype=np.dtype(dtype).type))
        assert volume.data.dtype == np.float32
        assert np.array_equal(volume.data, data.astype(np.float32))
        assert np.allclose(volume.grid.vox2world, AFFINE, atol=1e-5)
        assert header.notices == ()

    def test_scl_slope_and_intercept_are_applied(self, tmp_path: Path, values: np.ndarray) -> None:
        path = patch_header(save(tmp_path / "a.nii", values), 112, np.array([0.5, -7.0], "<f4").tobytes())
        volume, _ = read_image(path)
        assert np.allclose(volume.data, values * 0.5 - 7.0)

    @pytest.mark.parametrize("shape", [(*SHAPE, 1), (*SHAPE, 1, 1)])
    def test_a_4d_file_with_one_volume_is_that_volume(self, tmp_path: Path, values: np.ndarray, shape: tuple[int, ...]) -> None:
        volume, _ = read_image(save(tmp_path / "a.nii.gz", values.reshape(shape)))
        assert np.array_equal(volume.data, values)

    @pytest.mark.parametrize("codes", ["LPS", "ASL", "PIR", "SRA"])
    def test_any_orientation_is_read_as_it_is(self, tmp_path: Path, values: np.ndarray, codes: str) -> None:
        grid = Grid(SHAPE, AFFINE).reoriented(codes)
        volume, _ = read_image(save(tmp_path / "a.nii", values.reshape(grid.shape), grid.vox2world))
        assert volume.grid.axcodes == codes
        assert volume.grid.matches(grid)

    def test_upper_case_suffixes_are_read(self, tmp_path: Path, values: np.ndarray) -> None:
        volume, _ = read_image(save(tmp_path / "a.nii", values).rename(tmp_path / "A.NII"))
        assert volume.grid.shape == SHAPE

    def test_nan_and_infinities_are_kept_for_the_caller(self, tmp_path: Path) -> None:
        data = np.ones(SHAPE, np.float32)
        data[0, 0, :2] = np.nan, np.inf
        volume, _ = read_image(save(tmp_path / "a.nii", data))
        assert np.isnan(volume.data[0, 0, 0])
        assert np.isinf(volume.data[0, 0, 1])

    def test_disagreeing_forms_are_noted_and_the_sform_is_used(self, tmp_path: Path, values: np.ndarray) -> None:
        image = nib.Nifti1Image(values, AFFINE)
        other = AFFINE.copy()
        other[2, 3] += 12.0
        image.set_qform(other, 1)
        image.set_sform(AFFINE, 1)
        nib.save(image, tmp_path / "a.nii")
        volume, header = read_image(tmp_path / "a.nii")
        assert np.allclose(volume.grid.vox2world, AFFINE, atol=1e-5)
        (notice,) = header.notices
        assert notice.code == "forms-disagree"
        assert "12.0 mm apart; the sform is used" in notice.text

    def test_forms_that_differ_by_rounding_are_not_noted(self, tmp_path: Path, values: np.ndarray) -> None:
        image = nib.Nifti1Image(values, AFFINE)
        other = AFFINE.copy()
        other[2, 3] += 0.01
        image.set_qform(other, 1)
        image.set_sform(AFFINE, 1)
        nib.save(image, tmp_path / "a.nii")
        assert read_image(tmp_path / "a.nii")[1].notices == ()


class TestRefusing:
    def refused(self, path: Path, said: str) -> None:
        with pytest.raises(InputError, match=said) as caught:
            read_image(path)
        assert str(caught.value).startswith(f"{path}: expected ")
        assert "\n" not in str(caught.value)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "none.nii.gz", "there is no such file")

    def test_a_folder(self, tmp_path: Path) -> None:
        self.refused(tmp_path, "it is a folder")

    @pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.txt"])
    @pytest.mark.parametrize("content", [b"", b"hello\n", b"\0" * 400, os.urandom(800)])
    def test_a_file_that_is_no_nifti(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        self.refused(tmp_path / name, "expected a NIfTI file")

    @pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
    def test_a_truncated_gzip(self, tmp_path: Path, share: float) -> None:
        path = save(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(20, 30, 40)))
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        self.refused(path, "truncated|cannot be read")

    def test_a_truncated_plain_file(self, tmp_path: Path, values: np.ndarray) -> None:
        path = save(tmp_path / "a.nii", values)
        path.write_bytes(path.read_bytes()[:-100])
        self.refused(path, "truncated")

    def test_a_damaged_gzip(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(20, 30, 40)))
        content = bytearray(path.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 50] = b"x" * 50
        path.write_bytes(content)
        self.refused(path, "damaged|cannot be read")

    def test_a_2d_image(self, tmp_path: Path, values: np.ndarray) -> None:
        self.refused(save(tmp_path / "a.nii", values[0]), r"expected one 3-D volume; found a 2-D picture .*; give the whole series")

    def test_a_4d_image_with_several_volumes(self, tmp_path: Path, values: np.ndarray) -> None:
        self.refused(save(tmp_path / "a.nii", np.stack([values] * 3, axis=-1)), "3 volumes.*extract one volume first")

    def test_colours(self, tmp_path: Path) -> None:
        data = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
        self.refused(save(tmp_path / "a.nii", data), "colours.*convert it to grey")

    def test_complex_numbers(self, tmp_path: Path) -> None:
        self.refused(save(tmp_path / "a.nii", np.zeros(SHAPE, np.complex64)), "complex")

    def test_a_singular_affine(self, tmp_path: Path, values: np.ndarray) -> None:
        image = nib.Nifti1Image(values, AFFINE)
        image.header["sform_code"] = 1
        path = tmp_path / "a.nii"
        nib.save(image, path)
        patch_header(path, 280, np.zeros(12, "<f4").tobytes())
        self.refused(path, "invertible affine.*correct the header")

    def test_another_format_of_nibabel(self, tmp_path: Path) -> None:
        nib.save(nib.MGHImage(np.zeros(SHAPE, np.float32), AFFINE), tmp_path / "a.mgz")
        self.refused(tmp_path / "a.mgz", "its content is something else")

    def test_half_of_a_pair(self, tmp_path: Path, values: np.ndarray) -> None:
        nib.save(nib.Nifti1Pair(values, AFFINE), tmp_path / "a.hdr")
        self.refused(tmp_path / "a.hdr", "one of a pair .hdr and .img; join them")


def five_levels(grid: Grid) -> LabelMap:
    return LabelMap((np.indices(grid.shape)[2] // 3 + 1).astype(np.uint8), grid, CASCADE)


class TestWriting:
    @pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
    def test_labels_come_back_on_their_grid(self, tmp_path: Path, suffix: str) -> None:
        labels = five_levels(Grid(SHAPE, AFFINE))
        write_labels(labels, tmp_path / f"l{suffix}")
        data, grid = read_label_array(tmp_path / f"l{suffix}")
        assert np.array_equal(data, labels.data)
        assert grid.matches(labels.grid, tol_mm=1e-4)
        assert nib.load(tmp_path / f"l{suffix}").get_data_dtype() == np.uint8

    @pytest.mark.parametrize(("sform", "qform"), [(1, 1), (2, 0), (0, 1), (4, 3), (0, 0)])
    def test_affines_and_codes_are_exactly_the_inputs(self, tmp_path: Path, values: np.ndarray, sform: int, qform: int) -> None:
        image = nib.Nifti1Image(values, AFFINE)
        image.set_sform(AFFINE, sform)
        image.set_qform(AFFINE, qform)
        image.header.set_xyzt_units("mm", "sec")
        nib.save(image, tmp_path / "a.nii.gz")
        volume, header = read_image(tmp_path / "a.nii.gz")
        write_labels(five_levels(volume.grid), tmp_path / "l.nii.gz", header)
        source, result = nib.load(tmp_path / "a.nii.gz"), nib.load(tmp_path / "l.nii.gz")
        assert result.shape == source.shape
        assert np.array_equal(result.affine, source.affine)
        for field in ("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_x", "xyzt_units"):
            assert np.array_equal(result.header[field], source.header[field]), field
        assert np.array_equal(result.header["pixdim"][:4], source.header["pixdim"][:4])

    def test_disagreeing_forms_are_both_repeated(self, tmp_path: Path, values: np.ndarray) -> None:
        image = nib.Nifti1Image(values, AFFINE)
        other = AFFINE.copy()
        other[0, 3] += 30.0
        image.set_qform(other, 1)
        image.set_sform(AFFINE, 2)
        nib.save(image, tmp_path / "a.nii")
        volume, header = read_image(tmp_path / "a.nii")
        write_labels(five_levels(volume.grid), tmp_path / "l.nii", header)
        result = nib.load(tmp_path / "l.nii")
        assert np.allclose(result.get_qform(), other, atol=1e-4)
        assert np.allclose(result.get_sform(), AFFINE, atol=1e-4)

    def test_the_label_names_travel_in_the_header(self, tmp_path: Path) -> None:
        write_labels(five_levels(Grid(SHAPE, AFFINE)), tmp_path / "l.nii.gz")
        (extension,) = nib.load(tmp_path / "l.nii.gz").header.extensions
        content = json.loads(extension.get_content())
        assert content == {"scheme": "cascade", "labels": {"1": "L1", "2": "L2", "3": "L3", "4": "L4"}}

    def test_equal_labels_give_equal_bytes(self, tmp_path: Path) -> None:
        for name in ("one.nii.gz", "two.nii.gz", "sub/three.nii.gz"):
            write_labels(five_levels(Grid(SHAPE, AFFINE)), tmp_path / name)
        first = (tmp_path / "one.nii.gz").read_bytes()
        assert (tmp_path / "two.nii.gz").read_bytes() == first
        assert (tmp_path / "sub/three.nii.gz").read_bytes() == first
        assert str(tmp_path).encode() not in gzip.decompress(first)

    def test_a_scan_is_written_as_float(self, tmp_path: Path, values: np.ndarray) -> None:
        volume = Volume(values.astype(np.float32), Grid(SHAPE, AFFINE))
        write_volume(volume, tmp_path / "v.nii.gz")
        back, _ = read_image(tmp_path / "v.nii.gz")
        assert np.array_equal(back.data, volume.data)
        assert back.grid.matches(volume.grid, tol_mm=1e-4)

    @pytest.mark.parametrize("name", ["l.nrrd", "l", "nii", "l.nii.bz2"])
    def test_another_suffix_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(OutputError, match=r"ends in \.nii or \.nii\.gz"):
            write_labels(five_levels(Grid(SHAPE, AFFINE)), tmp_path / name)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("damage", [np.full(SHAPE, 0.5), np.full(SHAPE, -1.0), np.full(SHAPE, 70_000.0), np.full(SHAPE, np.nan)])
    def test_an_image_is_not_taken_for_labels(self, tmp_path: Path, damage: np.ndarray) -> None:
        with pytest.raises(InputError, match="expected whole label numbers"):
            read_label_array(save(tmp_path / "a.nii", damage))


class TestReplacing:
    def test_the_file_appears_only_when_it_is_whole(self, tmp_path: Path) -> None:
        target = tmp_path / "out.txt"
        with replacing(target) as temporary:
            temporary.write_text("half")
            assert not target.exists()
            assert temporary.parent == tmp_path
            temporary.write_text("whole")
        assert target.read_text(encoding="utf-8") == "whole"
        assert list(tmp_path.iterdir()) == [target]

    def test_a_failure_leaves_nothing_behind_and_keeps_the_old_file(self, tmp_path: Path) -> None:
        target = tmp_path / "out.txt"
        target.write_text("old")

        def fail() -> None:
            with replacing(target) as temporary:
                temporary.write_text("half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert target.read_text(encoding="utf-8") == "old"
        assert list(tmp_path.iterdir()) == [target]

    def test_a_full_disk_is_an_output_error(self, tmp_path: Path) -> None:
        def fail() -> None:
            with replacing(tmp_path / "out.txt"):
                raise OSError(28, "No space left on device")

        with pytest.raises(OutputError, match=r"out.txt: cannot write here \(No space left on device\); choose another output"):
            fail()
        assert not list(tmp_path.iterdir())

    def test_a_file_in_place_of_a_folder_is_an_output_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="choose another output"), replacing(tmp_path / "file" / "out.txt"):
            pass

    def test_a_folder_in_place_of_a_file_is_an_output_error(self, tmp_path: Path) -> None:
        (tmp_path / "out.txt").mkdir()
        with pytest.raises(OutputError, match="choose another output"), replacing(tmp_path / "out.txt"):
            pass
        assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]

    def test_the_file_has_the_usual_permissions(self, tmp_path: Path) -> None:
        (tmp_path / "usual").write_text("")
        with replacing(tmp_path / "new") as temporary:
            temporary.write_text("")
        assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


class TestTogether:
    def test_files_written_together_appear_together(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("old")
        with together():
            for name in ("a.txt", "b.txt"):
                with replacing(tmp_path / name) as temporary:
                    temporary.write_text("new")
            assert (tmp_path / "a.txt").read_text() == "old"
            assert not (tmp_path / "b.txt").exists()
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "new", "b.txt": "new"}

    def test_of_files_written_together_none_appears_when_one_fails(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("old")
        (tmp_path / "folder").mkdir()

        def write() -> None:
            with together():
                for name in ("a.txt", "folder"):
                    with replacing(tmp_path / name) as temporary:
                        temporary.write_text("new")

        with pytest.raises(OutputError, match="folder: cannot write here"):
            write()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "folder"]
        assert (tmp_path / "a.txt").read_text() == "old"
