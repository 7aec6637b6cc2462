"""From a guard's status to what Prometheus reads."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from oomwarden.incidents.incident import Accounted
from oomwarden.incidents.listing import Listed
from oomwarden.kill import Scope
from oomwarden.metrics import Family, Recorded, Sample, families, text

NOW = 1000.0
LINE = {"avg10_percent": 50.0, "avg60_percent": 5.0, "avg300_percent": 0.0, "total_us": 1_500_000}
STATUS: dict[str, Any] = {
    "version": "1.0",
    "dry_run": False,
    "config": {"state": "valid", "files": ["/etc/oomwarden/config.yaml"]},
    "alerts": {"targets": ["chat", "mail"]},
    "level": {"name": "low", "levels": ["calm", "low", "bad"]},
    "senses": [{"name": "psi", "works": True}, {"name": "kernel_log", "works": False}],
    "wakeups": {"timer": 3},
    "punctuality": {
        "calm": {
            "late": {"count": 4, "p50_seconds": 0.002, "p99_seconds": 0.25, "max_seconds": 0.3,
                     "too_long": 1},
        },
        "pressure": {
            "late": {"count": 0, "p50_seconds": None, "p99_seconds": None, "max_seconds": 0.0,
                     "too_long": 0},
        },
    },
    "sample": {
        "age_seconds": 2.5,
        "memory_total_kib": 4,
        "memory_available_kib": 2,
        "swap_total_kib": 0,
        "swap_free_kib": 0,
        "psi": {"some": LINE, "full": LINE},
    },
    "adjustments": {
        "applied": 1, "gone": 2, "denied": 3, "yielded": 4, "protection_refused": 5,
        "in_force": 6,
    },
    "processes": 7,
    "rules": [{"name": "ssh", "processes": 1}],
    "exempt": [{"memcg": None, "exempt_kib": 1}, {"memcg": "/a", "exempt_kib": 2}],
    "kills": {"counted": 9, "unexplained": 1, "lost_records": 0, "unwritten": 2},
}  # fmt: skip


def listed(id_: int, **about: Any) -> Listed:
    """An incident in short."""
    given = {
        "key": f"b:{id_}", "boot_id": "b", "at_unix": NOW, "since_boot_us": 1,
        "recorded_unix": NOW, "accounted": Accounted.EXPLAINED, "memcg": None, "pid": 1,
        "comm": "x", "freed_kib": 1, "counter": None, "counted": 0, "explained": 0,
        "explained_by": None,
    }  # fmt: skip
    return Listed(id=id_, **{**given, **about})


def recorded(*incidents: Listed, waiting: dict[str, int] | None = None) -> Recorded:
    """What is in the database; a target that could not be reached has been tried twice."""
    waiting = waiting or {}
    return Recorded(incidents, waiting, dict.fromkeys(waiting, 2))


def values(found: tuple[Family, ...]) -> dict[str, dict[tuple[str, ...], float]]:
    """Name -> values of labels -> value."""
    return {
        family.name: {
            tuple(value for _, value in sample.labels): sample.value for sample in family.samples
        }
        for family in found
    }


def test_a_guard_is_told_in_base_units() -> None:
    """Bytes, seconds and ratios; what is no number is a label."""
    found = values(families(STATUS, recorded(), NOW))

    assert found["oomwarden_up"] == {(): 1}
    assert found["oomwarden_build_info"] == {("1.0",): 1}
    assert found["oomwarden_level"] == {("calm",): 0, ("low",): 1, ("bad",): 0}
    assert found["oomwarden_level_index"] == {(): 1}
    assert found["oomwarden_delay_seconds"] == {
        ("late", "calm", "p50"): 0.002, ("late", "calm", "p99"): 0.25, ("late", "calm", "max"): 0.3,
    }  # fmt: skip
    assert found["oomwarden_delays_too_long_total"] == {
        ("late", "calm"): 1, ("late", "pressure"): 0,
    }  # fmt: skip
    assert found["oomwarden_memory_available_bytes"] == {(): 2048}
    assert found["oomwarden_pressure_ratio"]["some", "10s"] == 0.5
    assert found["oomwarden_pressure_stalled_seconds_total"]["full",] == 1.5
    assert found["oomwarden_sample_timestamp_seconds"] == {(): 997.5}
    assert found["oomwarden_adjustments_total"]["refused",] == 5
    assert found["oomwarden_sense_works"] == {("psi",): 1, ("kernel_log",): 0}
    assert found["oomwarden_exempt_bytes"] == {("",): 1024, ("/a",): 2048}
    assert found["oomwarden_kernel_kills_total"] == {(): 9}
    assert found["oomwarden_incidents_unwritten"] == {(): 2}
    assert found["oomwarden_config_info"] == {("/etc/oomwarden/config.yaml",): 1}


def test_what_is_unknown_is_left_out() -> None:
    """A 0 would be a lie."""
    blind = {**STATUS, "kills": None, "sample": {**STATUS["sample"], "psi": None}}
    uncounted = {**STATUS, "kills": {**STATUS["kills"], "counted": None}}

    assert not [name for name in values(families(blind, None, NOW)) if "kill" in name]
    assert not [name for name in values(families(blind, None, NOW)) if "pressure" in name]
    assert "oomwarden_kernel_kills_total" not in values(families(uncounted, None, NOW))


def test_without_a_guard_it_is_down() -> None:
    """And nothing is said of what only it could know."""
    assert values(families(None, None, NOW)) == {"oomwarden_up": {(): 0}}


def test_kills_are_counted_by_scope_and_unit() -> None:
    """One that the log does not explain has neither, and counts as many as it stands for."""
    shop = listed(1, place="/system.slice/shop.service", scope=Scope.MEMCG, kills=2)
    again = replace(shop, id=2, kills=1)
    unexplained = listed(3, place=None, scope=None, kills=0, counted=4)

    found = values(families(None, recorded(shop, again, unexplained), NOW))

    assert found["oomwarden_kills_total"] == {
        ("memcg", "shop.service"): 3,
        ("", ""): 4,
        ("global", ""): 0,
        ("memcg", ""): 0,
    }


def test_kills_in_pods_are_counted_by_what_a_node_knows_of_them() -> None:
    """The pod's uid, by which a cluster knows its name, and the container; none of all others."""
    uid, container = "0f0b6b5c-5a32-4f6c-9a4e-6f1f2f7a3c11", "4be1" * 16
    place = f"/kubepods/burstable/pod{uid}/{container}"
    in_pod = listed(1, place=place, scope=Scope.MEMCG, kills=2)
    of_pod = listed(2, place=f"/kubepods/burstable/pod{uid}", scope=Scope.MEMCG, kills=1)
    shop = listed(3, place="/system.slice/shop.service", scope=Scope.MEMCG, kills=1)

    found = values(families(None, recorded(in_pod, of_pod, shop), NOW))

    assert found["oomwarden_pod_kills_total"] == {(uid, container): 2, (uid, ""): 1}


def test_alerts_that_wait_are_counted_for_each_target() -> None:
    """One that has none is told as 0, so that it can be seen to rise."""
    found = values(families(STATUS, recorded(waiting={"chat": 3, "gone": 1}), NOW))

    assert found["oomwarden_alerts_waiting"] == {("chat",): 3, ("mail",): 0, ("gone",): 1}
    assert found["oomwarden_alert_target_failures"] == {("chat",): 2, ("mail",): 0, ("gone",): 2}


def test_a_counter_is_there_before_its_first_kill() -> None:
    """Else its first increase would be seen by nobody."""
    assert values(families(None, recorded(), NOW))["oomwarden_kills_total"] == {
        ("global", ""): 0,
        ("memcg", ""): 0,
    }


def test_hostile_names_stay_in_their_label() -> None:
    """A unit may be called anything: no line can be added, and no byte that is no character."""
    sample = Sample((("unit", 'a"} 1\nevil 2\\\udcff'),), 1.5)

    written = text([Family("x", "help", (sample,))])

    assert written.splitlines()[2:] == ['x{unit="a\\"} 1\\nevil 2\\\\\\\\udcff"} 1.5']


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_nothing_to_say() -> None:
    """Neither of the format nor of names and units."""
    pod = "/kubepods/burstable/pod0f0b6b5c-5a32-4f6c-9a4e-6f1f2f7a3c11"
    shop = listed(1, place=pod, scope=Scope.MEMCG, kills=2)

    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text(families(STATUS, recorded(shop, waiting={"chat": 2}), NOW)),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
