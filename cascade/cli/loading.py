"""How the commands load the networks."""

from __future__ import annotations

import argparse
import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cascade.cli import console
from cascade.networks import BACKENDS
from cascade.networks.threads import Load, set_threads, spare_threads

if TYPE_CHECKING:
    from cascade.pipeline import Segmenter

#: Before the large imports, so that the load of the machine meanwhile is known when they are done.
_START = Load.now()


@dataclass(frozen=True)
class Loading:
    """Which networks run where.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
    threads : int, optional
        CPU threads; by default all cores that nothing else keeps busy.
    weights : Path, optional
        Folder of weights instead of the packaged ones.
    backend : {"auto", "torch", "onnx"}
    """

    device: str = "auto"
    threads: int | None = None
    weights: Path | None = None
    backend: str = "auto"

    @staticmethod
    def add_options(parser: argparse._ActionsContainer) -> None:
        """Add the options that it is made of."""
        parser.add_argument(
            "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where the networks run (default: auto)"
        )
        parser.add_argument(
            "--backend", choices=BACKENDS, default="auto", help="what runs them (default: auto, the one that is expected to be done first)"
        )
        parser.add_argument(
            "--threads", type=console.positive, metavar="N", help="CPU threads (default: the cores that are free, shared out among jobs)"
        )
        parser.add_argument("--weights", type=Path, metavar="DIR", help="weights of your own instead of the packaged ones")

    @classmethod
    def of(cls, given: argparse.Namespace, weights: Path | None) -> Loading:
        """From what `add_options` added, with the folder of weights as the workers find it."""
        return cls(given.device, given.threads, weights, given.backend)

    def load(self, scans: float = 1) -> Segmenter:
        """Load both networks, for so many scans in one process."""
        # Read when torch is imported: its threads sleep when they wait, instead of keeping a core from others by looking for work.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        with console.large_imports():
            from cascade.networks.backends import choose_backend

            backend = choose_backend(self.backend, self.device, self.weights, scans=scans)
            importlib.import_module({"torch": "torch", "onnx": "onnxruntime"}[backend])
            from cascade.pipeline import Segmenter

        set_threads(self.threads or spare_threads(_START))
        return Segmenter.from_pretrained(self.device, self.weights, backend=backend)
