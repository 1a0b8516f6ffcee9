"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", type=Path, default=None, help="folder of real scans with cases.tsv")


@pytest.fixture(scope="session")
def data_folder(request: pytest.FixtureRequest) -> Path:
    given = request.config.getoption("--data") or os.environ.get("CASCADE_DATA")
    if not given or not Path(given).is_dir():
        pytest.skip("no folder of real scans: give --data DIR or CASCADE_DATA")
    return Path(given)
