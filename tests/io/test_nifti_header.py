"""Which part of a NIfTI header is believed, which is mended with a warning, and which is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cascade.errors import InputError
from cascade.io.nifti import read_image, read_label_array, write_labels
from cascade.labels import CASCADE
from cascade.volume import LabelMap
from tests import blocks
from tests.robustness.unusual import NIFTI, NIFTI_REFUSED, clean_nifti, unusual_nifti, with_fields

SCAN = blocks.scan()
SCAN.data[:] %= 251


@pytest.mark.parametrize("name", NIFTI)
def test_an_unusual_header_is_read_as_the_rule_says(name: str, tmp_path: Path) -> None:
    unusual = NIFTI[name]
    (tmp_path / "a.nii").write_bytes(unusual_nifti(SCAN, unusual.fields))
    scan, header = read_image(tmp_path / "a.nii")
    assert tuple(notice.code for notice in header.notices) == unusual.warns
    assert np.array_equal(scan.data, SCAN.data)
    assert scan.grid.matches(SCAN.grid, tol_mm=1e-3) == (not unusual.moved)


@pytest.mark.parametrize("name", NIFTI)
def test_labels_of_an_unusual_header_lie_on_their_scan_for_every_program(name: str, tmp_path: Path) -> None:
    """Written, read again by us, and read by nibabel in both forms."""
    (tmp_path / "a.nii").write_bytes(unusual_nifti(SCAN, NIFTI[name].fields))
    scan, header = read_image(tmp_path / "a.nii")
    write_labels(LabelMap(np.ones(scan.grid.shape, np.uint8), scan.grid, CASCADE), tmp_path / "l.nii.gz", header)
    assert read_label_array(tmp_path / "l.nii.gz")[1].matches(scan.grid, tol_mm=1e-3)
    written = nib.load(tmp_path / "l.nii.gz")
    for affine in (written.affine, written.get_sform(), written.get_qform()):
        assert np.isfinite(affine).all()
    said = [notice.code for notice in read_image(tmp_path / "l.nii.gz")[1].notices]
    assert said == [c for c in NIFTI[name].warns if c != "header-mended"]


@pytest.mark.parametrize("name", NIFTI_REFUSED)
def test_a_header_without_a_sound_form_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    fields, said = NIFTI_REFUSED[name]
    (tmp_path / "a.nii").write_bytes(unusual_nifti(SCAN, fields))
    with pytest.raises(InputError, match=said) as caught:
        read_image(tmp_path / "a.nii")
    assert str(caught.value).startswith(f"{tmp_path / 'a.nii'}: expected ")
    assert str(caught.value).endswith("correct the header")


@pytest.mark.parametrize("over", [0.0, 1e-7, 8e-7, 3e-6, 1e-4, 9e-4])
def test_the_only_form_may_have_a_quaternion_that_is_a_hair_too_long(over: float, tmp_path: Path) -> None:
    """A half turn about an axis, as scans from behind have it."""
    turn = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.diag([4.0, 0.9, 1.1, 1.0])
    image = nib.Nifti1Image(SCAN.data.astype(np.uint8), turn)
    image.set_qform(turn, 1)
    image.set_sform(None, 0)
    content = with_fields(image.to_bytes(), quaternion=(0, 0, 1 + over), sform_code=0)
    (tmp_path / "a.nii").write_bytes(content)
    scan, header = read_image(tmp_path / "a.nii")
    assert np.allclose(scan.grid.vox2world, turn, atol=1e-5)
    assert header.notices == ()


def test_what_is_said_names_numbers_and_the_form_that_is_used(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(unusual_nifti(SCAN, NIFTI["pixdim_slightly_off"].fields))
    (notice,) = read_image(tmp_path / "a.nii")[1].notices
    assert notice.code == "spacing-disagrees"
    assert notice.text == "pixdim says 4.4 x 0.9 x 1.1 mm, the sform 4 x 0.9 x 1.1 mm; the sform is used, by which volumes are -9.1 %"


def test_both_byte_orders_and_both_versions_follow_the_same_rule(tmp_path: Path) -> None:
    for kind, order, codes in ((nib.Nifti1Image, ">", 252), (nib.Nifti2Image, "<", 344), (nib.Nifti2Image, ">", 344)):
        image = kind(SCAN.data.astype(f"{order}i2"), SCAN.grid.vox2world, kind.header_class(endianness=order))
        image.set_qform(SCAN.grid.vox2world, 1)
        content = bytearray(image.to_bytes())
        struct.pack_into(f"{order}{'h' if codes == 252 else 'i'}", content, codes, 0)
        field, quaternion = ("f", 256) if codes == 252 else ("d", 352)
        struct.pack_into(f"{order}3{field}", content, quaternion, np.nan, 9, 9)
        (tmp_path / "a.nii").write_bytes(bytes(content))
        scan, header = read_image(tmp_path / "a.nii")
        assert header.notices == ()
        assert scan.grid.matches(SCAN.grid, tol_mm=1e-3)


def test_a_clean_header_is_not_remarked_upon(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(clean_nifti(SCAN))
    scan, header = read_image(tmp_path / "a.nii")
    assert header.notices == ()
    assert scan.grid.matches(SCAN.grid, tol_mm=1e-4)
