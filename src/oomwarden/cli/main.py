"""``oomwarden``: the one place where errors become exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from oomwarden.cli.tree import parser
from oomwarden.errors import ExitCode, explain


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and tell its exit code."""
    arguments = parser().parse_args(argv)
    try:
        code = ExitCode(arguments.command(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - this is the place where errors become words
        return explain(error, debug=arguments.debug)
    return code
