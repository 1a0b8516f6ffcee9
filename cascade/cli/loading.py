"""How the commands load the networks."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cascade.cli import console

if TYPE_CHECKING:
    from cascade.pipeline import Segmenter


@dataclass(frozen=True)
class Loading:
    """Which networks run where.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
    threads : int, optional
        CPU threads; all cores by default.
    weights : Path, optional
        Folder of weights instead of the packaged ones.
    """

    device: str = "auto"
    threads: int | None = None
    weights: Path | None = None

    @staticmethod
    def add_options(parser: argparse._ActionsContainer) -> None:
        """Add the options that it is made of."""
        parser.add_argument(
            "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where the networks run (default: auto)"
        )
        parser.add_argument("--threads", type=console.positive, metavar="N", help="CPU threads (default: all cores, shared out among jobs)")
        parser.add_argument("--weights", type=Path, metavar="DIR", help="weights of your own instead of the packaged ones")

    def load(self) -> Segmenter:
        """Load both networks."""
        with console.large_imports():
            import torch

            from cascade.pipeline import Segmenter

        if self.threads:
            torch.set_num_threads(self.threads)
        return Segmenter.from_pretrained(self.device, self.weights)
