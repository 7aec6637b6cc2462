"""What the runs came to, as tables for docs/compare.md."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.compare.cases import TROUBLES

LATE_SECONDS, SLOW_SECONDS = 0.2, 1.0
"""A wake-up later than that, or an ``ls`` longer than that, is felt."""

LOW_KIB = 72_600
"""A tenth of what the machine has: from then on something has to happen."""

KILLED = re.compile(r"Killed process \d+ \(([^)]+)\)")


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Times are in seconds from the start of the trouble; None: not within the time."""

    trouble: str
    guard: str
    low: float | None
    ended: float | None
    recovered: float | None
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
        low=None if low is None else low - begun,
        ended=None if gone is None or by_deadline else gone - begun,
        recovered=recovered,
        longest_stall=max((row[1] for row in wakes), default=0.0),
        slowest_ls=max((row[1] for row in runs), default=0.0),
        slowest_login=max((row[1] for row in logins), default=0.0),
        is_by_deadline=by_deadline,
        lost=tuple(name for name, lived in result["lived"].items() if not lived),
        kernel_killed=tuple(killed),
        cpu_seconds=guard.get("cpu_s"),
        rss_mib=guard["rss_kib"] / 1024 if guard.get("rss_kib") else None,
    )


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
            " start to recovered, s | longest stall, s |"
            " slowest `ls`, s | slowest login, s | others lost | CPU, s | RSS, MB |"
        )
        parts.append("|" + "---|" * 12)
        parts += [_row(guard, found) for guard, found in by_trouble[name].items()]
        parts.append("")
    return "\n".join(parts)


def _row(guard: str, runs: list[Run]) -> str:
    ended = sum(run.ended is not None for run in runs)
    lost = sorted(name for run in runs for name in run.lost)
    cells = (
        guard,
        len(runs),
        f"{ended} of {len(runs)}",
        _spread([_since_low(run, run.ended) for run in runs]),
        _spread([_since_low(run, run.recovered) for run in runs]),
        _spread([run.recovered for run in runs]),
        _spread([run.longest_stall for run in runs], 2),
        _spread([run.slowest_ls for run in runs]),
        _spread([run.slowest_login for run in runs]),
        ", ".join(lost) or "none",
        _spread([run.cpu_seconds for run in runs], 2),
        _spread([run.rss_mib for run in runs]),
    )
    return f"| {' | '.join(map(str, cells))} |"


def _since_low(run: Run, moment: float | None) -> float | None:
    """How long after little was left; 0 where it never came to that."""
    if moment is None:
        return None
    return 0.0 if run.low is None else max(moment - run.low, 0.0)


def _spread(values: list[float | None], digits: int = 1) -> str:
    known = sorted(value for value in values if value is not None)
    if not known:
        return "-"
    low, high = (f"{each:.{digits}f}" for each in (known[0], known[-1]))
    middle = f"{median(known):.{digits}f}"
    return middle if low == high else f"{middle} ({low}-{high})"
