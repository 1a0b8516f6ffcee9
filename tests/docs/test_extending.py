"""The recipes of docs/extending.md, followed word for word in a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cascade.networks.checkpoint import packaged_weights
from tests.docs.pages import ROOT, blocks, text_of

SECTION = re.compile(r"^## (.+?)$(.*?)(?=^## |\Z)", flags=re.MULTILINE | re.DOTALL)
RECIPES = dict(SECTION.findall(text_of(ROOT / "docs" / "extending.md")))
RULES = "rooms or floor or circles or nibabel or what_it_is_for"


def new_files(recipe: str) -> dict[str, str]:
    """The files that a recipe writes, by their path."""
    return dict(re.findall(r"^New file `(\S+)`:\n\n```python\n(.*?)^```$", recipe, re.MULTILINE | re.DOTALL))


def changes(recipe: str) -> list[tuple[str, str, str]]:
    """The files that a recipe changes: path, what stands there before, and after."""
    found, path = [], ""
    for line in re.split(r"^(?=Changes? in |```diff$)", recipe, flags=re.MULTILINE):
        path = (re.match(r"Changes? in `(\S+)`", line) or [None, path])[1]
        for block in blocks(line, "diff"):
            lines = block.splitlines(keepends=True)
            found.append((path, *("".join(text[1:] for text in lines if text[0] != sign) for sign in "+-")))
    return found


def checks(recipe: str) -> str:
    """The last block of Python: what works now."""
    return blocks(recipe, "python")[-1]


def test_the_page_has_four_recipes_each_with_a_check() -> None:
    assert list(RECIPES) == ["A structure", "A file format", "A data set", "A stage"]
    assert all("assert" in checks(recipe) for recipe in RECIPES.values())


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and the test of its architecture, with everything changed as the page says."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "cascade", folder / "cascade", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "weights").symlink_to(packaged_weights())
    (folder / "tests").mkdir()
    for name in ("__init__.py", "dicom_files.py", "test_architecture.py"):
        shutil.copy(ROOT / "tests" / name, folder / "tests" / name)
    for recipe in RECIPES.values():
        for path, content in new_files(recipe).items():
            assert not (folder / path).exists(), path
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(content, encoding="utf-8")
        for path, before, after in changes(recipe):
            text = (folder / path).read_text(encoding="utf-8")
            assert text.count(before) == 1, f"{path}: these lines are not there, or not once:\n{before}"
            (folder / path).write_text(text.replace(before, after), encoding="utf-8")
    return folder


@pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet")
def test_what_the_recipes_say_works_and_keeps_the_rules_of_the_house(copy: Path, tmp_path: Path) -> None:
    for number, recipe in enumerate(RECIPES.values()):
        (tmp_path / str(number)).mkdir()
        (tmp_path / f"{number}.py").write_text(checks(recipe), encoding="utf-8")
    code = f"""
import os, runpy, pytest
import cascade
assert cascade.__file__.startswith({str(copy)!r}), cascade.__file__
for number in range({len(RECIPES)}):
    os.chdir({str(tmp_path)!r} + f"/{{number}}")
    runpy.run_path(f"../{{number}}.py")
os.chdir({str(copy)!r})
raise SystemExit(pytest.main(["-q", "-p", "no:cacheprovider", "tests/test_architecture.py", "-k", {RULES!r}]))
"""
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", env=environment, cwd=copy, timeout=600, check=False
    )
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-4000:]


def test_new_files_are_typed_and_tidy(copy: Path) -> None:
    files = [path for recipe in RECIPES.values() for path in new_files(recipe)]
    assert len(files) >= 4
    ruff = [sys.executable, "-m", "ruff", "check", "-q", "--config", str(ROOT / "ruff.toml"), *files]
    assert subprocess.run(ruff, cwd=copy, capture_output=True, encoding="utf-8", check=False).stdout == ""
