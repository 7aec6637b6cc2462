"""``python -m oomwarden.config.compile [--config FILE]``: load, and write the answer to stdout.

The guard starts this as a child at a reload and reads the pipe to its end. A configuration
with errors is an answer too, so the exit code is 0 for both.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from oomwarden.config.compiled import dump
from oomwarden.config.load import load_config


def main(argv: Sequence[str] | None = None) -> int:
    """Write the bytes that :func:`oomwarden.config.compiled.load` reads."""
    parser = argparse.ArgumentParser(prog="python -m oomwarden.config.compile")
    parser.add_argument("--config", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    sys.stdout.buffer.write(dump(load_config(arguments.config)))
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
