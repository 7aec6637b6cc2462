"""Compares guards: ``python -m tests.compare.run --troubles file,swap --guards none,earlyoom``.

Takes root, QEMU, and what tests/compare/image.py lists. Results that are there are kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.compare.cases import GUARDS, TROUBLES
from tests.compare.image import HOW, build, missing_programs
from tests.compare.machine import Case, run_case
from tests.compare.table import read, tables


def main() -> int:
    """Run what is asked for, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--troubles", default=",".join(TROUBLES))
    parser.add_argument("--guards", default=",".join(GUARDS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--at-once", type=int, default=2, help="machines beside each other")
    parser.add_argument("--out", type=Path, required=True, help="where results are kept")
    parser.add_argument("--only-table", action="store_true", help="of what is there already")
    choices = parser.parse_args()
    if not choices.only_table:
        missing = missing_programs()
        if missing:
            print(f"not installed: {', '.join(missing)} ({HOW})", file=sys.stderr)
            return 1
        _run_all(choices)
    print(tables(read(choices.out)))
    return 0


def _run_all(choices: argparse.Namespace) -> None:
    image = build(choices.kernel)
    jobs = [
        (Case(trouble, guard), choices.out / trouble / guard / str(number))
        for number in range(1, choices.runs + 1)
        for trouble in choices.troubles.split(",")
        for guard in choices.guards.split(",")
    ]

    def one(job: tuple[Case, Path]) -> None:
        case, out = job
        if (out / "result.json").exists():
            return
        started = time.monotonic()
        is_over = run_case(image, case, out)
        word = "done" if is_over else "NOT done"
        took = f"{time.monotonic() - started:.0f} s"
        told = f"{case.trouble} {case.guard} {out.name}: {word} in {took}"
        print(told, file=sys.stderr, flush=True)

    with ThreadPoolExecutor(choices.at_once) as pool:
        list(pool.map(one, jobs))


if __name__ == "__main__":
    sys.exit(main())
