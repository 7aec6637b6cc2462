"""Measures oomwarden against its peers in one run, and tells how far each budget is kept.

    python tests/benchmarks/run.py [apply|level|tick|startup|idle|memory|all]
        [--processes 1000] [--rounds 5] [--seconds 60] [--python PATH] [--nohang PATH]
        [--json FILE]

Only ratios of things measured in the same run mean anything on another machine. All figures
are CPU time, user and system; contenders take turns, and the median of the rounds counts.
oomwarden must be installed for the interpreter of ``--python`` (by default this one).

Idle figures want a quiet machine: the guard looks at every process that is born. Where it is not
quiet, a process table of one's own keeps others out: ``unshare --fork --pid --mount-proc``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

# As a script, its own directory comes first on the path, and its modules are not found.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.benchmarks import resident, rounds  # noqa: E402
from tests.benchmarks.contenders import Contenders, find  # noqa: E402
from tests.benchmarks.crowd import Crowd  # noqa: E402
from tests.benchmarks.rows import Row, table  # noqa: E402

CHOICES = ("apply", "level", "tick", "startup", "idle", "memory", "all")


def main() -> int:
    """Measure what is asked for; fail where a budget is not kept."""
    arguments = _parser().parse_args()
    chosen = set(CHOICES) if arguments.what == "all" else {arguments.what}
    # A benchmark that is told to stop must end its crowd first.
    signal.signal(signal.SIGTERM, _stop)
    contenders, missing = find(arguments.python, arguments.nohang)
    for line in missing:
        print(f"left out: {line}")
    print(_machine(contenders))
    rows = _measure(chosen, contenders, arguments)
    print(*table(rows), sep="\n")
    if arguments.json is not None:
        document = {"schema": 1, "rows": [asdict(row) | {"kept": row.is_kept} for row in rows]}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0 if all(row.is_kept is not False for row in rows) else 1


def _measure(chosen: set[str], contenders: Contenders, arguments: argparse.Namespace) -> list[Row]:
    rows = []
    if "idle" in chosen:
        rows += resident.idle(contenders, arguments.seconds, arguments.rounds)
    if chosen & {"apply", "level", "tick", "startup", "memory"}:
        with (
            tempfile.TemporaryDirectory() as directory,
            Crowd(Path(directory), arguments.processes) as crowd,
        ):
            print(f"{crowd.total()} processes, {len(crowd.pids)} of them started for this")
            rows += rounds.measure(chosen, contenders, crowd, arguments.rounds)
            if "memory" in chosen:
                rows += resident.memory(contenders, crowd)
    return rows


def _machine(contenders: Contenders) -> str:
    load = os.getloadavg()[0]
    uname = os.uname()
    return (
        f"{os.cpu_count()} CPUs, Linux {uname.release}, {contenders.python_version}, "
        f"load {load:.2f}"
    )


def _stop(*_: object) -> NoReturn:
    sys.exit("stopped")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="oomwarden against its peers, in one run")
    parser.add_argument("what", nargs="?", choices=CHOICES, default="all")
    parser.add_argument("--processes", type=int, default=1000, help="on the whole machine (1000)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (5)")
    parser.add_argument("--seconds", type=float, default=60, help="of idling (60)")
    parser.add_argument(
        "--python", type=Path, default=Path(sys.executable), help="interpreter that has oomwarden"
    )
    parser.add_argument("--nohang", type=Path, help="where it is, if it is not installed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
