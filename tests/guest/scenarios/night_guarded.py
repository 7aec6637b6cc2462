"""The same night with oomwarden: ssh and the database live, everybody gets in, somebody hears."""

from __future__ import annotations

from tests.guest.inside import Report, run
from tests.guest.needs import Needs
from tests.guest.night.night import GUARD, spend

NEEDS = Needs(
    on_request=True, systemd=True, memory_mib=768, timeout_seconds=500, disk_mbps=60, disk_iops=500
)


def scenario(report: Report) -> None:
    """With a guard."""
    spend(report, GUARD)


if __name__ == "__main__":
    run(scenario)
