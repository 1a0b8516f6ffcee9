from __future__ import annotations

import json
from pathlib import Path

import pytest

from cascade.errors import InputError
from cascade.io.bids import derivative_path, find_bids_scans, lookup_table, write_dataset_description, write_sidecars
from cascade.labels import CASCADE


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "dataset"
    for name in (
        "sub-01/anat/sub-01_T1w",
        "sub-01/anat/sub-01_T2w",
        "sub-02/ses-a/anat/sub-02_ses-a_acq-sag_T2w",
        "sub-02/ses-a/dwi/sub-02_dwi",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.nii.gz").touch()
    (root / "dataset_description.json").write_text('{"Name": "test", "BIDSVersion": "1.10.0"}')
    return root


def test_anatomical_scans_are_found_with_and_without_sessions(dataset: Path):
    names = [scan.name for scan in find_bids_scans(dataset)]
    assert names == ["sub-01_T1w.nii.gz", "sub-01_T2w.nii.gz", "sub-02_ses-a_acq-sag_T2w.nii.gz"]


def test_derivatives_are_not_scans(dataset: Path):
    before = find_bids_scans(dataset)
    made = dataset / "derivatives/cascade/sub-01/anat/sub-01_desc-cascade_T2w.nii.gz"
    made.parent.mkdir(parents=True)
    made.touch()
    assert find_bids_scans(dataset) == before


def test_derivatives_mirror_the_data_set_and_never_collide(dataset: Path):
    names = [derivative_path(scan, dataset) for scan in find_bids_scans(dataset)]
    assert len(set(names)) == len(names)
    assert Path("sub-02/ses-a/anat/sub-02_ses-a_acq-sag_desc-cascade_dseg") in names
    assert all(name.name.endswith("_dseg") and "_desc-cascade" in name.name for name in names)


@pytest.mark.parametrize("missing", ["dataset_description.json", "sub-*"])
def test_a_folder_that_is_no_data_set_is_refused(missing: str, tmp_path: Path):
    if missing == "sub-*":
        (tmp_path / "dataset_description.json").write_text("{}")
    with pytest.raises(InputError, match=r"expected (a BIDS data set|scans like)"):
        find_bids_scans(tmp_path)


def test_the_derivatives_name_program_version_and_raw_data(dataset: Path):
    write_dataset_description(dataset / "derivatives" / "cascade", dataset)
    description = json.loads((dataset / "derivatives/cascade/dataset_description.json").read_text(encoding="utf-8"))
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "cascade"
    assert (dataset / "derivatives/cascade" / description["DatasetLinks"]["raw"]).resolve() == dataset.resolve()


def test_sidecars_name_the_source_and_explain_every_number(dataset: Path):
    scan = find_bids_scans(dataset)[0]
    output = dataset / "derivatives/cascade" / f"{derivative_path(scan, dataset)}.nii.gz"
    write_sidecars(output, scan, dataset, CASCADE, {"levels": []})
    sidecar = json.loads((output.parent / "sub-01_desc-cascadeT1w_dseg.json").read_text(encoding="utf-8"))
    assert sidecar["Sources"] == ["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"]
    assert (output.parent / "sub-01_desc-cascadeT1w_dseg.tsv").read_text(encoding="utf-8") == lookup_table(CASCADE)


def test_the_lookup_table_has_the_columns_of_the_standard():
    rows = [line.split("\t") for line in lookup_table(CASCADE).splitlines()]
    assert rows[0] == ["index", "name", "abbreviation", "color", "mapping"]
    assert rows[4] == ["4", "L4 vertebral body", "L4", rows[4][3], "n/a"]
    assert all(len(row) == 5 for row in rows)
    assert all(row[3].startswith("#") and len(row[3]) == 7 for row in rows[1:])
