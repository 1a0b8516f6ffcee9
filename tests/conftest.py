"""Options and fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from cascade.volume import LabelMap, Volume
from tests import synthetic

_COMMON = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}
settings.register_profile("cascade", max_examples=25, **_COMMON)
settings.register_profile("quick", max_examples=4, phases=[Phase.explicit, Phase.generate], **_COMMON)
settings.register_profile("thorough", max_examples=300, **_COMMON)
settings.load_profile("cascade")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", type=Path, default=None, help="folder of real scans with cases.tsv (or set CASCADE_DATA)")


@pytest.fixture(scope="session")
def data_folder(request: pytest.FixtureRequest) -> Path:
    """The folder of real scans; the test is skipped where there is none."""
    given = request.config.getoption("--data") or os.environ.get("CASCADE_DATA")
    if not given:
        pytest.skip("needs real scans: --data DIR or CASCADE_DATA")
    folder = Path(given)
    if not (folder / "cases.tsv").is_file():
        pytest.skip(f"no cases.tsv in {folder}")
    return folder


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
