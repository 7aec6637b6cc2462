"""Compares guards: ``python -m tests.compare.run --troubles file,swap --guards none,earlyoom``.

Takes root, QEMU, and what tests/compare/image.py lists. Results that are there are kept.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.compare.cases import GUARDS, TROUBLES
from tests.compare.image import HOW, build, missing_programs
from tests.compare.machine import Bench, Case
from tests.compare.table import RESULTS, into_page, read, tables, to_csv
from tests.guest.kernels import cache_folder
from tests.guest.machine import ROOT, _place

PAGE = ROOT / "docs/compare.md"


def main() -> int:
    """Run what is asked for, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--troubles", default=",".join(TROUBLES))
    parser.add_argument("--guards", default=",".join(GUARDS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--out", type=Path, required=True, help="where results are kept")
    parser.add_argument("--only-table", action="store_true", help="of what is there already")
    parser.add_argument("--publish", action="store_true", help=f"in {RESULTS.name} and {PAGE.name}")
    choices = parser.parse_args()
    # Machines that are kept take much room: they are to be removed however this ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if not choices.only_table:
        missing = missing_programs()
        if missing:
            print(f"not installed: {', '.join(missing)} ({HOW})", file=sys.stderr)
            return 1
        _run_all(choices)
    runs = read(choices.out)
    print(tables(runs))
    if choices.publish:
        to_csv(runs, RESULTS)
        into_page(tables(runs), PAGE)
    return 0


def _run_all(choices: argparse.Namespace) -> None:
    jobs = [
        (Case(trouble, guard), choices.out / trouble / guard / str(number))
        for number in range(1, choices.runs + 1)
        for trouble in choices.troubles.split(",")
        for guard in choices.guards.split(",")
    ]
    # One of the places for guests for all runs: what is measured shall not wait for others.
    with _place(), tempfile.TemporaryDirectory(prefix=".compare-", dir=cache_folder()) as name:
        work = Path(name)
        bench = Bench(build(choices.kernel, work), work)
        for case, out in jobs:
            if (out / "result.json").exists():
                continue
            started = time.monotonic()
            is_over = bench.run_case(case, out)
            word = "done" if is_over else "NOT done"
            took = f"{time.monotonic() - started:.0f} s"
            told = f"{case.trouble} {case.guard} {out.name}: {word} in {took}"
            print(told, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
