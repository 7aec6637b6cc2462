"""An incident: what is kept around one firing of the OOM killer, for whoever asks afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from oomwarden.incidents.asked import Asked
from oomwarden.incidents.past import Accounted, Adjusted, Growth, Ranked, Reading, Seen
from oomwarden.kill import Episode

__all__ = ["Accounted", "Adjusted", "Growth", "Incident", "Ranked", "Reading", "Seen"]


@dataclass(frozen=True, slots=True)
class Incident:
    """Everything that is kept. ``key`` is the same however often the same log is read.

    ``at_unix`` is in seconds, of the first kill, or of when an unexplained one was noticed.
    ``since_boot_us`` is the kernel's clock, ``boottime_seconds`` the one by which processes
    tell when they started, and which goes on while the machine is suspended. ``episode`` is
    None where nothing but a counter tells of the kills; ``counted`` is by how much the kernel's
    counter grew, and ``counter`` which one it was (``/proc/vmstat``, or a cgroup path).
    ``level`` was in force, with ``level_seconds`` since it was entered. ``predicted`` was
    ranked ``predicted_seconds`` before. ``lost_records`` had been overwritten in the kernel's
    ring before we could read. ``left_out`` says what was there and is not kept, because it was
    too much. ``asked`` is what the guard did to bring it about, None where it did nothing.
    """

    key: str
    boot_id: str
    at_unix: float | None
    since_boot_us: int | None
    accounted: Accounted
    episode: Episode | None
    counted: int | None = None
    counter: str | None = None
    level: str | None = None
    level_seconds: float | None = None
    readings: tuple[Reading, ...] = ()
    seen: tuple[Seen, ...] = ()
    growth: tuple[Growth, ...] = ()
    adjusted: tuple[Adjusted, ...] = ()
    predicted: tuple[Ranked, ...] = ()
    predicted_seconds: float | None = None
    kernel_release: str | None = None
    page_kib: int | None = None
    lost_records: int = 0
    left_out: tuple[str, ...] = ()
    asked: Asked | None = None
    boottime_seconds: float | None = None
