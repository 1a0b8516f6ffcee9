"""What the commands share."""

from __future__ import annotations

import gc

import pytest

from cascade.cli.console import large_imports


class TestLargeImports:
    def test_what_they_leave_is_never_looked_through_for_garbage(self) -> None:
        before = gc.get_freeze_count()
        with large_imports():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        gc.unfreeze()

    def test_garbage_is_collected_again_after_one_that_fails(self) -> None:
        with pytest.raises(ImportError), large_imports():
            import cascade.not_there  # type: ignore[import-not-found]  # noqa: F401
        assert gc.isenabled()
        gc.unfreeze()
