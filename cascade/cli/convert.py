"""``python -m cascade.cli.convert``: give older checkpoints the identity that loading asks for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from cascade.cli import console
from cascade.cli.parser import Parser
from cascade.errors import CheckpointError

_EXAMPLES = """\
examples:
  python -m cascade.cli.convert runs/levels            its stage2_levels.json gets the entry checkpoint_sha256; the weights stay as they are

After a spec was edited on purpose: delete its entry checkpoint_sha256, and run this.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    parser = Parser(
        "python -m cascade.cli.convert",
        "Write the identity (sha256 over weights and spec) of checkpoints that have none, after verifying their weights.",
        _EXAMPLES,
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="folder of stage1_spine.* or stage2_levels.* or both")
    options = parser.parse_args(arguments)
    return console.run(lambda: _convert(options.folders))


def _convert(folders: Sequence[Path]) -> int:
    from cascade.networks.checkpoint import convert_checkpoint

    for folder in folders:
        specs = [path.with_suffix(".json") for path in sorted(folder.glob("*.safetensors"))]
        if not specs:
            raise CheckpointError(f"{folder}: expected a folder of checkpoints; there is no .safetensors file in it; give another")
        for path in specs:
            console.tell(f"{path}\t{convert_checkpoint(path).checkpoint_sha256}")
    return console.DONE


if __name__ == "__main__":
    sys.exit(main())
