"""The arrows of the house point one way: who may import whom, and what importing costs."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest

import cascade
from cascade.io.nifti import write_volume
from cascade.networks.checkpoint import packaged_weights
from cascade.volume import Grid, Volume
from tests.dicom_files import slices, write_series

ROOT = Path(cascade.__file__).parent
#: All rooms. One imports nothing but rooms on an earlier line (or its own), nor for a type alone.
FLOORS = (
    {"_version", "errors", "notices"},
    {"labels"},
    {"terminology", "volume"},
    {"phantom", "centreline"},
    {"partial"},
    {"io"},
    {"postproc", "measure", "points"},
    {"networks", "report"},
    {"stage1_spine", "stage2_levels"},
    {"segmentation"},
    {"cohorts"},
    {"pipeline"},
    {"datasets", "study", "training"},
    {"stages"},
    {"evaluation", "review"},
    {"demo", "bundle"},
    {"export"},
    {"cli", "__main__"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
#: What a room never imports, directly.
NEVER = {
    "postproc": {"torch", "monai", "io"},
    "measure": {"torch", "monai"},
    "stage1_spine": {"stage2_levels"},
    "stage2_levels": {"stage1_spine"},
    "evaluation": {"torch", "monai", "networks", "pipeline", "training", "datasets"},
    "io": {"torch", "monai"},
}


def room_of(module: str) -> str:
    """``cascade.postproc.chain`` -> ``postproc``."""
    return [*module.split("."), ""][1]


def modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(tree: ast.Module) -> set[str]:
    """Full names of what a module imports, anywhere in it, also under ``if TYPE_CHECKING``."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


GRAPH = {name: imports(tree) for name, tree in modules().items() if name != "cascade"}
EDGES = sorted({(name, target) for name, targets in GRAPH.items() for target in targets})


def target_room(target: str) -> str:
    """Room of an import of cascade, otherwise the package that is imported."""
    package = target.split(".")[0]
    return room_of(target) if package == "cascade" else package


def test_the_graph_was_read() -> None:
    assert len(GRAPH) > 30
    assert "cascade.volume.Grid" in GRAPH["cascade.io.nifti"]


def test_every_room_is_on_a_floor() -> None:
    assert {room_of(name) for name in GRAPH} == set(FLOOR_OF)


def test_rooms_import_only_from_floors_below() -> None:
    wrong = [
        (name, target)
        for name, target in EDGES
        if target.startswith("cascade.") and room_of(name) != room_of(target)
        if FLOOR_OF[room_of(target)] >= FLOOR_OF[room_of(name)]
    ]
    assert not wrong


@pytest.mark.parametrize("room", NEVER)
def test_a_room_never_imports_what_it_must_not_know(room: str) -> None:
    assert not [(name, target) for name, target in EDGES if room_of(name) == room and target_room(target) in NEVER[room]]


def test_nothing_imports_the_commands_but_the_commands() -> None:
    assert not [(n, t) for n, t in EDGES if target_room(t) == "cli" and t.startswith("cascade.") and room_of(n) != "cli"]


def test_nibabel_files_are_touched_where_formats_live_only() -> None:
    wrong = [
        (n, t)
        for n, t in EDGES
        if t.split(".")[0] == "nibabel" and not t.startswith("nibabel.orientations") and t != "nibabel.orientations"
        if room_of(n) not in {"io", "datasets", "cli"}
    ]
    assert not wrong


def test_every_error_has_its_class_in_one_module() -> None:
    classes = [(name, node) for name, tree in modules().items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    errors = {node.name: name for name, node in classes if any(ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases)}
    assert len(errors) > 5
    assert set(errors.values()) == {"cascade.errors"}


def test_no_module_reaches_the_network() -> None:
    network = {"socket", "ssl", "urllib", "http", "requests", "ftplib", "httpx", "aiohttp", "starlette", "uvicorn"}
    servers = {"cli", "review"}
    assert not [(n, t) for n, t in EDGES if t.split(".")[0] in network and room_of(n) not in servers]


def test_nothing_is_unpickled() -> None:
    assert not [
        (n, t) for n, t in EDGES if t.split(".")[0] in {"pickle", "shelve", "marshal", "dill", "joblib"} and t != "pickle.UnpicklingError"
    ]
    calls = [(name, node) for name, tree in modules().items() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loads = [(name, {k.arg: ast.unparse(k.value) for k in call.keywords}) for name, call in calls if ast.unparse(call.func) == "torch.load"]
    assert loads
    assert not [name for name, options in loads if options.get("weights_only") != "True"]


def test_scripts_beside_the_package_import_what_is_there() -> None:
    scripts = [path for folder in ("benchmarks", "docs", "integrations") for path in (ROOT.parent / folder).rglob("*.py")]
    wanted = {(path.name, name) for path in scripts for name in imports(ast.parse(path.read_text(encoding="utf-8")))}
    assert len(scripts) > 20
    assert not [(script, name) for script, name in sorted(wanted) if name.startswith("cascade.") and not is_there(name)]


def is_there(name: str) -> bool:
    """Whether a name of cascade can be imported."""
    module, _, attribute = name.rpartition(".")
    return name in GRAPH or hasattr(importlib.import_module(module), attribute)


def test_modules_do_not_import_one_another_in_circles() -> None:
    known = set(GRAPH)
    edges = {n: {m for t in ts for m in (t, t.rpartition(".")[0]) if m in known and m != n} for n, ts in GRAPH.items()}
    done: set[str] = set()
    while len(done) < len(edges):
        ready = {n for n, targets in edges.items() if n not in done and targets <= done}
        assert ready, f"in circles: {sorted(set(edges) - done)}"
        done |= ready


def fresh(code: str) -> str:
    """Run code in a new interpreter."""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent, timeout=120, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout


HEAVY = "torch monai numpy scipy skimage nibabel matplotlib"


def test_import_cascade_imports_neither_torch_nor_monai() -> None:
    loaded = fresh(f"import cascade, sys; print([m for m in '{HEAVY}'.split() if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_the_types_are_there_without_torch() -> None:
    loaded = fresh(
        "import cascade, sys; cascade.VERSE, cascade.Volume, cascade.Numbering; print('torch' in sys.modules, 'monai' in sys.modules)"
    )
    assert loaded.strip() == "False False"


@pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet")
@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_segmenting_imports_neither_monai_nor_what_takes_long_and_is_not_needed(backend: str) -> None:
    slow = "monai ignite matplotlib pandas skimage scipy.signal scipy.stats scipy.optimize torch._dynamo onnx"
    code = f"""
import sys
from cascade.cli.options import SegmentOptions
words = ["scan.nii.gz", "-o", "labels.nii.gz", "--device", "cpu", "--threads", "1", "--backend", "{backend}"]
SegmentOptions.parse(words).loading.load()
print("torch" in sys.modules, [m for m in "{slow}".split() if m in sys.modules])
"""
    assert fresh(code).strip() == f"{backend == 'torch'} []"


#: Packages that the command may import until it looks at the first voxel of a scan, and those that a format or a backend adds.
BEFORE_A_SCAN = {"numpy", "scipy", "nibabel", "safetensors", "tqdm"}
OF_WHAT = {"nifti": set[str](), "dicom": {"pydicom", "gdcm", "PIL", "requests"}, "onnx": {"onnxruntime"}, "torch": {"torch"}}
#: Those that setup.cfg asks for, and what takes long to import.
PACKAGES = {
    "monai",
    "skimage",
    "PIL",
    "highdicom",
    "SimpleITK",
    "onnx",
    "distributed",
    "matplotlib",
    "pandas",
    "sympy",
    "requests",
    "starlette",
}


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("kind", ["nifti", "dicom"])
def test_the_command_imports_neither_more_nor_less_than_it_needs_before_it_sees_the_first_voxel(
    kind: str, backend: str, tmp_path: Path
) -> None:
    """The scan has too few slices, which is found as soon as it is read."""
    small = Volume(np.ones((4, 40, 40), np.float32), Grid((4, 40, 40), np.diag([4.0, 2.0, 2.0, 1.0])))
    write_volume(small, tmp_path / "nifti.nii.gz")
    write_series(slices(small.reoriented("PSR")), tmp_path / "dicom")
    scan = tmp_path / {"nifti": "nifti.nii.gz"}.get(kind, kind)
    code = f"""
import contextlib, io, sys
from cascade.cli.segment import main
with contextlib.redirect_stderr(io.StringIO()) as text:
    assert main([{str(scan)!r}, "-o", {str(tmp_path / "out.nii.gz")!r}, "--device", "cpu", "--backend", "{backend}"]) == 1
assert "expected at least 5 voxels along each axis" in text.getvalue(), text.getvalue()
print(*(name for name in {BEFORE_A_SCAN | PACKAGES | set().union(*OF_WHAT.values())!r} if name in sys.modules))
"""
    found = set(fresh(code).split())
    brought = {"sympy"} if backend == "torch" else set()
    assert BEFORE_A_SCAN | OF_WHAT[backend] <= found
    assert found - brought <= BEFORE_A_SCAN | OF_WHAT[kind] | OF_WHAT[backend]


@pytest.mark.parametrize("command", ["segment", "train", "export"])
def test_help_needs_less_than_half_a_second_and_none_of_the_heavy_packages(command: str) -> None:
    code = f"""
import contextlib, io, sys, time
from cascade.cli.{command} import main
with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
    main(["--help"])
assert "usage: cascade-{command}" in text.getvalue()
assert "examples:" in text.getvalue()
print(time.process_time(), [m for m in "{HEAVY}".split() if m in sys.modules])
"""
    seconds, loaded = min((fresh(code).split(maxsplit=1) for _ in range(3)), key=lambda answer: float(answer[0]))
    assert loaded.strip() == "[]"
    assert float(seconds) < 0.5


def test_doctests_are_run_and_there_are_some_where_a_line_says_most() -> None:
    configuration = ConfigParser()
    configuration.read(ROOT.parent / "setup.cfg")
    assert "cascade" in configuration["tool:pytest"]["testpaths"].split()
    assert "--doctest-modules" in configuration["tool:pytest"]["addopts"]
    finder = doctest.DocTestFinder()
    for name in ("labels", "evaluation.metrics", "networks.patches"):
        module = importlib.import_module(f"cascade.{name}")
        assert any(test.examples for test in finder.find(module)), name


def test_every_public_name_has_an_example_but_errors_which_share_one() -> None:
    public = {name: getattr(cascade, name) for name in dir(cascade) if not name.startswith("_")}
    errors = {name for name, value in public.items() if isinstance(value, type) and issubclass(value, cascade.CascadeError)}
    shown = {name for name, value in public.items() if ">>>" in (value.__doc__ or "")}
    assert set(public) - errors - shown == set()
    assert "CascadeError" in shown


def test_only_public_names_are_listed() -> None:
    assert dir(cascade) == sorted(cascade.__all__)


def test_the_commands_run_without_their_scripts() -> None:
    words = [sys.executable, "-m", "cascade"]
    process = subprocess.run([*words, "segment", "--version"], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert process.stdout == f"cascade {cascade.__version__}\n"
    assert subprocess.run([*words, "segmnt"], capture_output=True, check=False, cwd=ROOT.parent).returncode == 2


def test_every_module_says_what_it_is_for() -> None:
    assert not [name for name, tree in modules().items() if not ast.get_docstring(tree)]
    assert {info.name for info in pkgutil.iter_modules([str(ROOT)])} >= {"labels", "volume", "io", "postproc", "cli"}
