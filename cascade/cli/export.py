"""``cascade-export``: the networks as MONAI bundles, ONNX or TorchScript."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cascade._version import __version__
from cascade.cli import console
from cascade.cli.parser import Parser

_EXAMPLES = """\
examples:
  cascade-export bundle bundles/                       three MONAI bundles: spine, tissues, and the whole cascade
  cascade-export onnx networks/                        stage1_spine.onnx, stage2_levels.onnx, and a JSON beside each that describes it
  cascade-export torchscript networks/ --weights mine  both networks from weights of your own

Every network is compared with torch before it is left in OUT; one that differs by more than 0.001 is an error.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    return console.run(lambda: _export(options))


def _parser() -> argparse.ArgumentParser:
    parser = Parser("cascade-export", "Write the two networks for other programs.", _EXAMPLES)
    parser.add_argument("format", choices=("bundle", "onnx", "torchscript"), help="MONAI bundles, or the bare networks")
    parser.add_argument("output", type=Path, metavar="OUT", help="folder")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="weights of your own instead of the packaged ones")
    parser.add_argument("--version", action="version", version=f"cascade {__version__}")
    return parser


def _export(options: argparse.Namespace) -> int:
    if options.format == "bundle":
        from cascade.export.bundles import export_bundles

        for folder in export_bundles(options.output, options.weights):
            console.tell(str(folder))
        return console.DONE
    from cascade.export.networks import export_networks, write_onnx, write_torchscript

    write, suffix = (write_onnx, ".onnx") if options.format == "onnx" else (write_torchscript, ".ts")
    for path, spec in export_networks(write, suffix, options.output, options.weights):
        console.tell(f"{path}\t{' '.join(spec.classes)}")
    return console.DONE


if __name__ == "__main__":
    sys.exit(main())
