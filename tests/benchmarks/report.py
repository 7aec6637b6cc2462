"""Measures how long a report of a large dump takes, beside reading that dump from its log.

    python tests/benchmarks/report.py [--tasks 2000] [--rounds 7]

One process makes the report of one kill with so many processes in the kernel's table and renders
it in each format, in turns; figures are CPU time, medians of the rounds. The peer is what must be
done in any case: reading the same episode out of its log. Fails where a page takes more than a
second or 600 KB.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

# As a script, its own directory comes first on the path, and its modules are not found.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.report.test_formats import large_episode  # noqa: E402

from oomwarden.kill import Episode, Record  # noqa: E402
from oomwarden.oomlog.scan import episodes_in  # noqa: E402
from oomwarden.report import document, html, markdown, terminal  # noqa: E402
from oomwarden.report.kill_report import KillReport  # noqa: E402
from oomwarden.report.summary import summarise_episode  # noqa: E402

MOST_SECONDS = 1.0
MOST_BYTES = 600_000


def main() -> int:
    """Measure, print, and judge."""
    arguments = _parser().parse_args()
    whole = large_episode(arguments.tasks)
    log = "".join(f"[ 7200.000000] {record.text}\n" for record in whole.records).encode()
    works: dict[str, Callable[[], object]] = {
        "reading the log": lambda: list(episodes_in([log])),
        "text": lambda: terminal.render([_report(whole)]),
        "markdown": lambda: markdown.render([_report(whole)]),
        "json": lambda: json.dumps(document.render([_report(whole)])),
        "html": lambda: html.render([_report(whole)], records=[_records(whole)]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(arguments.rounds):
        for name, work in works.items():
            begin = time.process_time()
            work()
            seconds[name].append(time.process_time() - begin)
    peer = median(seconds["reading the log"])
    for name, each in seconds.items():
        print(f"{name:16} {median(each) * 1000:7.1f} ms   {median(each) / peer:5.2f} x reading")
    size = len(html.render([_report(whole)], records=[_records(whole)]).encode())
    print(f"the page of {arguments.tasks} tasks has {size / 1000:.0f} KB")
    return 0 if median(seconds["html"]) <= MOST_SECONDS and size <= MOST_BYTES else 1


def _report(whole: Episode) -> KillReport:
    return summarise_episode(whole)


def _records(whole: Episode) -> Sequence[Record]:
    return whole.records


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    return parser


if __name__ == "__main__":
    sys.exit(main())
