"""What the runs came to: a line each for results.csv, and tables for docs/compare.md."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.compare.cases import GUARDS, TROUBLES

if TYPE_CHECKING:
    from collections.abc import Iterable

LATE_SECONDS, SLOW_SECONDS = 0.2, 1.0
"""A wake-up later than that, or an ``ls`` longer than that, is felt."""

LOW_KIB = 72_600
"""A tenth of what the machine has: from then on something has to happen."""

KILLED = re.compile(r"Killed process \d+ \(([^)]+)\)")

RESULTS = Path(__file__).with_name("results.csv")
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
"""What the tables stand between."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Times are in seconds from the start of the trouble; None: not within the time.

    ``least_mib``: the least that was available before the hog was gone.
    """

    trouble: str
    guard: str
    number: int
    low: float | None
    ended: float | None
    recovered: float | None
    least_mib: float
    longest_stall: float
    slowest_ls: float
    slowest_login: float
    is_by_deadline: bool
    lost: tuple[str, ...]
    kernel_killed: tuple[str, ...]
    cpu_seconds: float | None
    rss_mib: float | None


def read(folder: Path) -> list[Run]:
    """Read all runs that came to their end."""
    return [_run(path.parent) for path in sorted(folder.glob("*/*/*/result.json"))]


def _run(folder: Path) -> Run:
    result = json.loads((folder / "result.json").read_text())
    begun = result["begun"]
    looks = [row for row in _rows(folder / "look.txt") if row[0] >= begun]
    alive = [row[0] for row in looks if row[5]]
    gone = next((row[0] for row in looks if alive and row[0] > alive[-1]), None)
    wakes = [row for row in _rows(folder / "wake.txt") if row[0] >= begun]
    runs = [row for row in _rows(folder / "run.txt") if row[0] >= begun]
    logins = [row for row in _rows(folder / "login.txt") if row[0] >= begun]
    by_deadline = any(row[6] for row in looks)
    felt = [row[0] + row[1] for row in wakes if row[1] > LATE_SECONDS]
    felt += [row[0] + row[1] for row in runs if row[1] > SLOW_SECONDS]
    recovered = None if gone is None or by_deadline else max([gone, *felt]) - begun
    log = folder / "dmesg.txt"
    killed = KILLED.findall(log.read_text(errors="replace")) if log.exists() else []
    low = next((row[0] for row in looks if row[1] < LOW_KIB), None)
    guard = result["guard"]
    return Run(
        trouble=folder.parents[1].name,
        guard=folder.parent.name,
        number=int(folder.name),
        low=_rounded(None if low is None else low - begun),
        ended=_rounded(None if gone is None or by_deadline else gone - begun),
        recovered=_rounded(recovered),
        least_mib=round(min(row[1] for row in looks if gone is None or row[0] < gone) / 1024, 1),
        longest_stall=max((row[1] for row in wakes), default=0.0),
        slowest_ls=max((row[1] for row in runs), default=0.0),
        slowest_login=max((row[1] for row in logins), default=0.0),
        is_by_deadline=by_deadline,
        lost=tuple(name for name, lived in result["lived"].items() if not lived),
        kernel_killed=tuple(killed),
        cpu_seconds=_rounded(guard.get("cpu_s")),
        rss_mib=_rounded(guard["rss_kib"] / 1024 if guard.get("rss_kib") else None),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def to_csv(runs: Iterable[Run], path: Path) -> None:
    """Write a line for each run; lists have semicolons, None is empty."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(each.name for each in fields(Run))
        for run in runs:
            values = asdict(run).values()
            writer.writerow(";".join(each) if isinstance(each, tuple) else each for each in values)


def from_csv(path: Path) -> list[Run]:
    """Read what :func:`to_csv` has written."""
    with path.open(newline="") as file:
        return [_from_row(row) for row in csv.DictReader(file)]


def _from_row(row: dict[str, str]) -> Run:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    def names(name: str) -> tuple[str, ...]:
        return tuple(row[name].split(";")) if row[name] else ()

    return Run(
        trouble=row["trouble"],
        guard=row["guard"],
        number=int(row["number"]),
        low=number("low"),
        ended=number("ended"),
        recovered=number("recovered"),
        least_mib=float(row["least_mib"]),
        longest_stall=float(row["longest_stall"]),
        slowest_ls=float(row["slowest_ls"]),
        slowest_login=float(row["slowest_login"]),
        is_by_deadline=row["is_by_deadline"] == "True",
        lost=names("lost"),
        kernel_killed=names("kernel_killed"),
        cpu_seconds=number("cpu_seconds"),
        rss_mib=number("rss_mib"),
    )


def into_page(text: str, page: Path) -> None:
    """Put tables where they belong in a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _rows(path: Path) -> list[list[float]]:
    if not path.exists():
        return []
    return [[float(word) for word in line.split()] for line in path.read_text().splitlines()]


def tables(runs: list[Run]) -> str:
    """One table for each trouble."""
    by_trouble: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        by_trouble[run.trouble][run.guard].append(run)
    parts = []
    for name, trouble in TROUBLES.items():
        if name not in by_trouble:
            continue
        parts.append(f"### {name}: {trouble.what}\n")
        parts.append(
            "| guard | runs | ended | low to hog gone, s | low to recovered, s |"
            " start to recovered, s | least available, MB | longest stall, s |"
            " slowest `ls`, s | slowest login, s | others lost | CPU, s | RSS, MB |"
        )
        parts.append("|" + "---|" * 13)
        order = [guard for guard in GUARDS if guard in by_trouble[name]]
        parts += [_row(guard, by_trouble[name][guard]) for guard in order]
        parts.append("")
    return "\n".join(parts)


def _row(guard: str, runs: list[Run]) -> str:
    lasts = TROUBLES[runs[0].trouble].lasts
    ended = sum(run.ended is not None and not (lasts and run.ended >= lasts) for run in runs)
    lost = sorted(name for run in runs for name in run.lost)
    cells = (
        guard,
        len(runs),
        f"{ended} of {len(runs)}",
        _spread([_since_low(run, run.ended) for run in runs]),
        _spread([_since_low(run, run.recovered) for run in runs]),
        _spread([run.recovered for run in runs]),
        _spread([run.least_mib for run in runs], 0),
        _spread([run.longest_stall for run in runs], 2),
        _spread([run.slowest_ls for run in runs]),
        _spread([run.slowest_login for run in runs]),
        ", ".join(lost) or "none",
        _spread([run.cpu_seconds for run in runs], 2),
        _spread([run.rss_mib for run in runs]),
    )
    return f"| {' | '.join(map(str, cells))} |"


def _since_low(run: Run, moment: float | None) -> float | None:
    """How long after little was left; 0 where it never came to that.

    None where it never shall: such a trouble ends by itself.
    """
    if moment is None or TROUBLES[run.trouble].lasts:
        return None
    return 0.0 if run.low is None else max(moment - run.low, 0.0)


def _spread(values: list[float | None], digits: int = 1) -> str:
    known = sorted(value for value in values if value is not None)
    if not known:
        return "-"
    low, high = (f"{each:.{digits}f}" for each in (known[0], known[-1]))
    middle = f"{median(known):.{digits}f}"
    return middle if low == high else f"{middle} ({low}-{high})"
