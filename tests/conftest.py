"""Options and fixtures that all tests share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture import providers

from cascade.io.nifti import write_labels, write_volume
from cascade.pipeline import Segmenter
from cascade.volume import LabelMap, Volume
from tests import synthetic

#: Type of the fixture `answer_with`.
AnswerWith = Callable[[object], None]

# Hypothesis also draws the numbers that stand in the modules of a project. Then a change anywhere changes every example, and whether the
# package is installed does too: a test would fail because of a line that it never runs.
providers._get_local_constants = lambda: providers._local_constants

_COMMON = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}
settings.register_profile("cascade", max_examples=12, **_COMMON)
settings.register_profile("full", max_examples=25, **_COMMON)  # tests/full/test_properties.py
settings.register_profile("quick", max_examples=4, phases=[Phase.explicit, Phase.generate], **_COMMON)
settings.register_profile("thorough", max_examples=300, **_COMMON)
settings.load_profile("cascade")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", type=Path, default=None, help="folder of real scans with cases.tsv (or set CASCADE_DATA)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A server or a browser that stumbles once is no fault of ours."""
    for item in items:
        if item.get_closest_marker("outside"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def data_folder(request: pytest.FixtureRequest) -> Path:
    """The folder of real scans; the test is skipped where there is none."""
    given = request.config.getoption("--data") or os.environ.get("CASCADE_DATA")
    if not given:
        pytest.skip("needs real scans: --data=DIR or CASCADE_DATA")
    folder = Path(given)
    if not (folder / "cases.tsv").is_file():
        pytest.skip(f"no cases.tsv in {folder}")
    return folder


@pytest.fixture(scope="session")
def cuda() -> torch.device:
    """A CUDA device; the test is skipped where there is none."""
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    return torch.device("cuda")


@pytest.fixture
def answer_with(monkeypatch: pytest.MonkeyPatch) -> AnswerWith:
    """Call with what is to stand in the place of the loaded networks, for commands that run in this process."""
    return lambda segmenter: monkeypatch.setattr(Segmenter, "from_pretrained", lambda *_, **__: segmenter)


@pytest.fixture(scope="session")
def coded() -> tuple[Volume, LabelMap]:
    """The default scan of the tests, anisotropic, oblique, with three different primes as its shape, and its labels."""
    return synthetic.coded_scan()


@pytest.fixture(scope="session")
def oracle_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints that segment coded scans without having been trained."""
    folder = tmp_path_factory.mktemp("oracle")
    synthetic.save_oracles(folder)
    return folder


@pytest.fixture(scope="session")
def blind_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints that see background everywhere."""
    folder = tmp_path_factory.mktemp("blind")
    synthetic.save_oracles(folder, blind=True)
    return folder


@pytest.fixture(scope="session")
def scans(coded: tuple[Volume, LabelMap], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one coded scan, ``sub/a.nii.gz``, stored from behind."""
    folder = tmp_path_factory.mktemp("scans")
    write_volume(coded[0].reoriented("PIR"), folder / "sub" / "a.nii.gz")
    return folder


@pytest.fixture(scope="session")
def labelled(coded: tuple[Volume, LabelMap], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one coded scan and its labels (scheme VERSE): ``a_image.nii.gz``, ``a_labels.nii.gz``."""
    folder = tmp_path_factory.mktemp("labelled")
    write_volume(coded[0], folder / "a_image.nii.gz")
    write_labels(coded[1], folder / "a_labels.nii.gz")
    return folder


@pytest.fixture(scope="session")
def bundles(oracle_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three MONAI bundles of the oracles."""
    from cascade.export.bundles import export_bundles

    folder = tmp_path_factory.mktemp("bundles")
    assert len(list(export_bundles(folder, oracle_weights))) == 3
    return folder


@pytest.fixture(scope="session")
def recipes(oracle_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Training recipes of a few small patches, by bundle."""
    from cascade.export.plans import PLANS
    from cascade.networks.checkpoint import load_checkpoint

    folder, paths = tmp_path_factory.mktemp("recipes"), {}
    for kind in PLANS:
        spec = json.loads(load_checkpoint(kind.stage, oracle_weights).spec.to_json())
        content = {"steps": 2, "patches": [{"shape": [8, 16, 16], "batch": 1}], "learning_rate": 0.5, "spec": spec}
        paths[kind.name] = folder / f"{kind.name}.json"
        paths[kind.name].write_text(json.dumps(content), encoding="utf-8")
    return paths
