"""3D Slicer's module, as far as it runs without 3D Slicer: which is all but the panel and the scene."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cascade.labels import BODIES, CANAL, CASCADE_EXTENDED, SACRUM, is_disc, rank
from cascade.postproc.clicks.click import WORDS, read_clicks
from tests.phantom_result import phantom_result

MODULE = Path(__file__).parents[2] / "integrations" / "slicer" / "CascadeSpine"


@pytest.fixture(scope="module")
def logic() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cascade_spine_logic", MODULE / "CascadeSpineLib" / "logic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def script(folder: Path, text: str) -> str:
    """A program that stands for the command."""
    path = folder / "cascade-segment"
    path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_its_examples_are_right(logic: ModuleType) -> None:
    assert doctest.testmod(logic).failed == 0


def test_it_needs_the_standard_library_only_and_no_newer_python_than_slicers() -> None:
    text = (MODULE / "CascadeSpineLib" / "logic.py").read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 9))
    imported = {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    imported |= {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= set(sys.stdlib_module_names)


def test_the_panel_is_python_that_slicer_reads() -> None:
    tree = ast.parse((MODULE / "CascadeSpine.py").read_text(encoding="utf-8"), feature_version=(3, 9))
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert classes == {"CascadeSpine", "CascadeSpineWidget", "CascadeSpineLogic", "CascadeSpineTest"}


def test_its_menu_holds_what_a_click_can_be(logic: ModuleType) -> None:
    assert logic.WORDS == WORDS
    assert set(logic.HINTS) == set(WORDS)
    assert set(logic.LEVELS) >= {name for name in CASCADE_EXTENDED.ids if name != CANAL and "13" not in name}
    assert all(name in BODIES or name == SACRUM or is_disc(name) for name in logic.LEVELS)
    assert [rank(n) for n in logic.LEVELS if n != "L5-L6"] == sorted(rank(n) for n in logic.LEVELS if n != "L5-L6")


def test_the_command_is_one_that_cascade_segment_understands(logic: ModuleType, tmp_path: Path) -> None:
    from cascade.cli.arguments import build_parser

    options = logic.Options(device="cpu", known={"highest": "T11", "count": "6"})
    words = logic.build_command("cascade-segment", logic.Files(tmp_path), options, with_clicks=True)
    parsed = build_parser().parse_args(words[1:])
    assert parsed.inputs == [tmp_path / "scan.nii.gz"]
    assert parsed.output == tmp_path / "levels.seg.nrrd"
    assert (parsed.extended, parsed.device, parsed.highest, parsed.count) == (True, "cpu", "T11", 6)
    assert parsed.clicks == tmp_path / "clicks.json"
    assert "--clicks" not in logic.build_command("cascade-segment", logic.Files(tmp_path))


def test_points_become_clicks_that_cascade_reads(logic: ModuleType, tmp_path: Path) -> None:
    count = logic.write_clicks([("L3", (1.0, 2.0, 3.0)), ("l4/l5", (4.0, 5.0, 6.0)), ("Background ", (0, 0, 0))], tmp_path / "clicks.json")
    clicks = read_clicks(tmp_path / "clicks.json")
    assert count == len(clicks) == 3
    assert [(c.structure, c.position_mm) for c in clicks][:2] == [("L3", (1.0, 2.0, 3.0)), ("L4-L5", (4.0, 5.0, 6.0))]
    with pytest.raises(logic.CascadeSpineError, match=r"found 'F-1'; rename the point"):
        logic.write_clicks([("F-1", (0, 0, 0))], tmp_path / "clicks.json")


def test_the_json_of_a_run_is_shown(logic: ModuleType, tmp_path: Path) -> None:
    result = phantom_result()
    result.save_json(tmp_path / "run.json")
    shown = logic.read_result(tmp_path / "run.json")
    assert [level["name"] for level in shown.levels] == [level.name for level in result.levels]
    assert f"L4: {next(x for x in result.levels if x.name == 'L4').volume_ml:.1f} ml" in shown.text
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(logic.CascadeSpineError, match="expected the JSON of cascade-segment"):
        logic.read_result(tmp_path / "run.json")


def test_warnings_are_returned_and_errors_are_told(logic: ModuleType, tmp_path: Path) -> None:
    program = script(
        tmp_path,
        "import sys\nsys.stderr.write('noise\\ncascade: warning: a/b 1.nii: no-spacing: 1: mm\\ncascade: alarm: a: missing-body: one\\n')",
    )
    called = []
    assert logic.run([program], lambda: called.append(1)) == [("missing-body", "one"), ("no-spacing", "1: mm")]
    failing = script(tmp_path, "import sys\nsys.stderr.write('cascade: error: a.nii: no spine found\\n')\nsys.exit(1)")
    with pytest.raises(logic.CascadeSpineError, match=r"^a.nii: no spine found$"):
        logic.run([failing])
    with pytest.raises(logic.CascadeSpineError, match="cannot be started"):
        logic.run([str(tmp_path / "none")])


def test_the_command_gets_the_users_environment_not_slicers(logic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/slicer")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/slicer/lib")
    monkeypatch.setenv("SLICER_ORIGINAL_LD_LIBRARY_PATH", "/mine")
    out = tmp_path / "environment.json"
    program = script(tmp_path, f"import json, os\njson.dump(dict(os.environ), open({str(out)!r}, 'w'))")
    logic.run([program])
    seen = json.loads(out.read_text(encoding="utf-8"))
    assert "PYTHONHOME" not in seen
    assert seen["LD_LIBRARY_PATH"] == "/mine"
    assert not [key for key in seen if key.startswith("SLICER_ORIGINAL")]


def test_a_program_that_is_not_there_is_an_error_that_helps(logic: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(logic.CascadeSpineError, match=r'pip install -c constraints.txt "\.\[itk\]"'):
        logic.find_command(str(tmp_path / "none"))
    program = script(tmp_path, "")
    assert logic.find_command(program) == program
