from __future__ import annotations

from pathlib import Path

import numpy as np

from cascade.io.formats import write_labels_file
from cascade.io.slicer import colour_table, seg_entries
from cascade.labels import CASCADE, CASCADE_EXTENDED
from cascade.terminology import colour_of
from tests import blocks

TABLE = Path(__file__).parents[2] / "integrations" / "slicer" / "cascade.ctbl"


def test_every_structure_becomes_a_segment_with_name_colour_and_value():
    labels = blocks.labels()
    entries = seg_entries(labels)
    for n, (value, name) in enumerate(zip(labels.values, labels.structures, strict=True)):
        assert entries[f"Segment{n}_Name"] == name
        assert entries[f"Segment{n}_LabelValue"] == str(value)
        assert np.allclose([float(c) * 255 for c in entries[f"Segment{n}_Color"].split()], colour_of(name), atol=0.01)
    assert f"Segment{len(labels.values)}_Name" not in entries


def test_the_terminology_of_l5_is_its_snomed_code():
    labels = blocks.labels()
    n = labels.structures.index("L5")
    assert "~SCT^123037004^Anatomical Structure~SCT^49668003^L5 vertebra~" in seg_entries(labels)[f"Segment{n}_Tags"]


def test_the_header_of_a_file_holds_the_entries(tmp_path: Path):
    write_labels_file(blocks.labels(), tmp_path / "levels.seg.nrrd")
    header = (tmp_path / "levels.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert "Segment0_Name:=L4\n" in header
    assert "space: left-posterior-superior" in header


def test_a_colour_table_names_every_number_of_a_scheme():
    rows = [line.split() for line in colour_table(CASCADE).splitlines() if not line.startswith("#")]
    assert {int(row[0]): row[1] for row in rows} == {0: "background"} | {number: name for name, number in CASCADE.ids.items()}
    assert all(len(row) == 6 and all(0 <= int(c) <= 255 for c in row[2:]) for row in rows)


def test_the_colour_table_in_the_repository_is_the_one_the_scheme_gives():
    assert TABLE.read_text(encoding="utf-8") == colour_table(CASCADE_EXTENDED)
