"""The networks in the package, as a user exports them, at the largest input that their specs allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade.cli import export as command


@pytest.mark.full
@pytest.mark.parametrize(("kind", "suffix"), [("onnx", ".onnx"), ("torchscript", ".ts")])
def test_the_shipped_networks_are_exported_and_agree_with_torch(kind: str, suffix: str, tmp_path: Path) -> None:
    """The command compares each file with torch, at the smallest and the largest shape, and fails where they differ."""
    assert command.main([kind, str(tmp_path)]) == 0
    for stage in ("stage1_spine", "stage2_levels"):
        assert (tmp_path / f"{stage}{suffix}").stat().st_size > 1_000_000
        assert (tmp_path / f"{stage}.json").is_file()
