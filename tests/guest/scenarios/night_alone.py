"""A small server's night without a guard: whom the kernel kills, and who still gets in."""

from __future__ import annotations

from tests.guest.inside import Report, run
from tests.guest.needs import Needs
from tests.guest.night.night import spend

NEEDS = Needs(
    on_request=True, systemd=True, memory_mib=768, timeout_seconds=500, disk_mbps=60, disk_iops=500
)


def scenario(report: Report) -> None:
    """Nobody guards."""
    spend(report, None)


if __name__ == "__main__":
    run(scenario)
