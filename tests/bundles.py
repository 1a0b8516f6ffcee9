"""Running bundles as ``python -m monai.bundle run`` does, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow


def workflow(bundle: Path, config: str, **entries: Any) -> ConfigWorkflow:
    """A config of a bundle, initialised; its paths do not depend on the working directory."""
    kind = "train" if config == "train" else "infer"
    entries = {"bundle_root": str(bundle), "device": "cpu"} | {name: _plain(value) for name, value in entries.items()}
    path = str(bundle / "configs" / f"{config}.json")
    made = ConfigWorkflow(config_file=path, workflow_type=kind, logging_file=False, **entries)
    made.initialize()
    return made


def run(bundle: Path, config: str, **entries: Any) -> None:
    """Run a config from start to end."""
    made = workflow(bundle, config, **entries)
    made.run()
    made.finalize()


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
