"""What holds for the tests themselves: where they lie, and that what they assert is asserted."""

from __future__ import annotations

import ast
from configparser import ConfigParser
from pathlib import Path

import cascade

TESTS = Path(__file__).parent
PACKAGE = Path(cascade.__file__).parent
FILES = sorted(TESTS.rglob("test_*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
#: Folders of tests that stand for no room of the package, and files for no module.
OF_ALL_ROOMS = {"docs", "full", "integrations", "robustness"}
#: Files that drive a room as people do, through a browser.
FROM_OUTSIDE = {"test_browser.py"}
OF_ALL_MODULES = {"test_architecture.py", "test_conventions.py", "test_packaging.py"}


def mirrored() -> list[Path]:
    """Test files below a room's folder, from ``tests/``."""
    return [path.relative_to(TESTS) for path in FILES if path.parent != TESTS and path.relative_to(TESTS).parts[0] not in OF_ALL_ROOMS]


def test_the_files_were_found() -> None:
    assert len(FILES) > 50
    assert len(mirrored()) > 40


def test_each_folder_of_tests_stands_for_a_room() -> None:
    assert {str(path.parent) for path in mirrored() if not (PACKAGE / path.parent).is_dir()} == set()


def test_each_file_of_tests_outside_a_folder_stands_for_a_module() -> None:
    subjects = {path.name: path.stem.removeprefix("test_") for path in FILES if path.parent == TESTS and path.name not in OF_ALL_MODULES}
    assert [name for name, subject in subjects.items() if not any((PACKAGE / f"{subject}{end}").exists() for end in ("", ".py"))] == []


def test_a_file_of_tests_imports_from_its_room() -> None:
    rooms = {path: f"cascade.{path.parts[0]}." for path in mirrored() if path.name not in FROM_OUTSIDE}
    assert [str(path) for path, room in rooms.items() if not any(f"{name}.".startswith(room) for name in imported(path))] == []


def imported(path: Path) -> set[str]:
    """Full names of what a file of tests imports."""
    nodes = list(ast.walk(TREES[TESTS / path]))
    named = {f"{node.module}.{alias.name}" for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return named | {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}


def test_no_assertion_waits_for_a_condition_that_may_never_hold() -> None:
    tests = [(path.name, node) for path, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    branches = [
        (name, node) for name, test in tests if test.name.startswith("test_") for node in ast.walk(test) if isinstance(node, ast.If)
    ]
    assert [(name, branch.lineno) for name, branch in branches if any(isinstance(node, ast.Assert) for node in ast.walk(branch))] == []


def test_no_test_replaces_a_private_function() -> None:
    """Numbers of a module (``_LIMIT_BYTES``) may be changed; a stand-in for a function hides that it is no longer called."""
    calls = [(path.name, node) for path, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    setting = [(name, call) for name, call in calls if ast.unparse(call.func).endswith(".setattr") and len(call.args) > 1]
    targets = [(name, ast.unparse(call.args[-2]).strip("'")) for name, call in setting]
    replaced = [(name, target.rpartition(".")[2]) for name, target in targets if target.partition(".")[0] != "monai"]
    assert len(replaced) > 20
    assert [(file, name) for file, name in replaced if name.startswith("_") and not name.startswith("__") and not name.isupper()] == []


def test_pytest_is_strict_about_marks_options_and_expected_failures() -> None:
    configuration = ConfigParser()
    configuration.read(PACKAGE.parent / "setup.cfg")
    options = configuration["tool:pytest"]
    assert {"--strict-markers", "--strict-config"} <= set(options["addopts"].split())
    assert options["xfail_strict"] == "true"
