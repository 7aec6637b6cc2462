"""What a guard's state looks like to Prometheus: families of samples, and their text.

Made of the document that the guard's status socket gives and of what is stored of this boot, by
whoever asks: the guard itself knows nothing of it. Names, units and types follow
https://prometheus.io/docs/practices/naming/; the text is
https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from oomwarden.incidents.listing import Listed
from oomwarden.policy.places import container_in, pod_in
from oomwarden.policy.rules import unit_of

_KIB = 1024
_WINDOWS = {"10s": "avg10_percent", "60s": "avg60_percent", "300s": "avg300_percent"}
_FIGURES = {"p50": "p50_seconds", "p99": "p99_seconds", "max": "max_seconds"}
_RESULTS = {
    "applied": "applied",
    "gone": "gone",
    "denied": "denied",
    "yielded": "yielded",
    "protection_refused": "refused",
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the database tells: ``incidents`` of this boot, and of alerts.

    For each of their targets, how many are ``waiting``, and how often in a row it could not be
    reached (``failures``).
    """

    incidents: tuple[Listed, ...]
    waiting: Mapping[str, int]
    failures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value, with the labels that tell it from others of its family."""

    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """All samples of one name. A counter's name ends in ``_total``."""

    name: str
    help: str
    samples: tuple[Sample, ...]

    @property
    def type(self) -> str:
        """``counter`` or ``gauge``."""
        return "counter" if self.name.endswith("_total") else "gauge"


def families(
    status: Mapping[str, Any] | None, recorded: Recorded | None, now_unix: float
) -> tuple[Family, ...]:
    """Tell all there is; without a guard that answers (None) that it is down, and what is recorded.

    ``recorded`` is None where it may not be read; ``now_unix`` is when the guard was asked.
    """
    found = [Family("oomwarden_up", "Whether a guard answers.", (_one(status is not None),))]
    if status is not None:
        found += _of_guard(status)
        found += _of_memory(status["sample"], now_unix)
        found += _of_scores(status)
        found += _of_log(status["kills"])
        # A guard of before an upgrade may still be running.
        found += _of_punctuality(status.get("punctuality", {}))
    if recorded is not None:
        found += (_kills(recorded.incidents), _pod_kills(recorded.incidents))
        # A target that nothing was ever sent to is known by the guard alone.
        targets = dict.fromkeys(status["alerts"]["targets"], 0) if status is not None else {}
        found += _of_alerts({**targets, **recorded.waiting}, {**targets, **recorded.failures})
    return tuple(family for family in found if family.samples)


def text(found: Iterable[Family]) -> str:
    """Write families as Prometheus reads them."""
    return "".join(f"{line}\n" for family in found for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.type}"
    for sample in family.samples:
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels)
        yield (
            f"{family.name}{{{labels}}} {_number(sample.value)}"
            if labels
            else (f"{family.name} {_number(sample.value)}")
        )


def _escaped(value: str) -> str:
    # Names of units are whatever bytes somebody chose: what is no character must not get out.
    clean = value.encode("utf-8", "backslashreplace").decode()
    return clean.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _one(value: float) -> Sample:
    return Sample((), float(value))


def _each(label: str, values: Mapping[str, float]) -> tuple[Sample, ...]:
    return tuple(Sample(((label, name),), float(value)) for name, value in values.items())


def _of_guard(status: Mapping[str, Any]) -> Iterator[Family]:
    version = (("version", status["version"]),)
    yield Family("oomwarden_build_info", "The version that runs.", (Sample(version, 1.0),))
    config = status["config"]
    yield Family(
        "oomwarden_config_valid",
        "Whether the configuration that was read last is in force.",
        (_one(config["state"] == "valid"),),
    )
    yield Family(
        "oomwarden_config_info",
        "A file of the configuration in force.",
        _each("file", dict.fromkeys(config["files"], 1.0)),
    )
    yield Family("oomwarden_config_rules", "Rules in force.", (_one(len(status["rules"])),))
    yield Family(
        "oomwarden_dry_run", "Whether the guard only says what it would do.",
        (_one(status["dry_run"]),),
    )  # fmt: skip
    level = status["level"]
    yield Family(
        "oomwarden_level",
        "1 for the level in force, 0 for all others.",
        _each("level", {name: name == level["name"] for name in level["levels"]}),
    )
    yield Family(
        "oomwarden_level_index",
        "Place of the level in force, 0 for calm.",
        (_one(level["levels"].index(level["name"])),),
    )
    senses = {sense["name"]: float(sense["works"]) for sense in status["senses"]}
    yield Family(
        "oomwarden_sense_works", "Whether a sense of the guard works.", _each("sense", senses)
    )
    yield Family(
        "oomwarden_wakeups_total", "Wake-ups of the guard.", _each("reason", status["wakeups"])
    )


def _of_memory(sample: Mapping[str, Any], now_unix: float) -> Iterator[Family]:
    yield Family(
        "oomwarden_sample_timestamp_seconds",
        "When the guard last looked at memory.",
        (_one(now_unix - sample["age_seconds"]),),
    )
    for name, key, words in (
        ("memory_total", "memory_total_kib", "Memory of the machine."),
        ("memory_available", "memory_available_kib", "Memory available without swapping."),
        ("swap_total", "swap_total_kib", "Swap of the machine."),
        ("swap_free", "swap_free_kib", "Swap that is not used."),
    ):
        yield Family(f"oomwarden_{name}_bytes", words, (_one(sample[key] * _KIB),))
    if sample["psi"] is None:
        return
    lines = sample["psi"].items()
    yield Family(
        "oomwarden_pressure_ratio",
        "Part of the time in which some, or all, tasks waited for memory (PSI).",
        tuple(
            Sample((("kind", kind), ("window", window)), line[key] / 100)
            for kind, line in lines
            for window, key in _WINDOWS.items()
        ),
    )
    yield Family(
        "oomwarden_pressure_stalled_seconds_total",
        "Time in which some, or all, tasks waited for memory since boot (PSI).",
        _each("kind", {kind: line["total_us"] / 1e6 for kind, line in lines}),
    )


def _of_scores(status: Mapping[str, Any]) -> Iterator[Family]:
    done = status["adjustments"]
    yield Family(
        "oomwarden_adjustments_total",
        "Scores that were to be changed, by what became of it.",
        _each("result", {result: done[key] for key, result in _RESULTS.items()}),
    )
    yield Family(
        "oomwarden_scores_in_force",
        "Processes whose score is the guard's.",
        (_one(done["in_force"]),),
    )
    yield Family("oomwarden_processes", "Processes seen.", (_one(status["processes"]),))
    rules = {rule["name"]: rule["processes"] for rule in status["rules"]}
    yield Family("oomwarden_rule_processes", "Processes that a rule holds.", _each("rule", rules))
    yield Family(
        "oomwarden_exempt_bytes",
        "Memory held by processes that cannot be killed; memcg is empty for the machine.",
        _each("memcg", {each["memcg"] or "": each["exempt_kib"] * _KIB
                        for each in status["exempt"]}),
    )  # fmt: skip


def _of_log(kills: Mapping[str, Any] | None) -> Iterator[Family]:
    if kills is None:
        return
    if kills["counted"] is not None:
        yield Family(
            "oomwarden_kernel_kills_total",
            "OOM kills that the kernel has counted since boot.",
            (_one(kills["counted"]),),
        )
    yield Family(
        "oomwarden_kills_unexplained",
        "OOM kills of this boot that the kernel's log does not explain.",
        (_one(kills["unexplained"]),),
    )
    yield Family(
        "oomwarden_log_records_lost_total",
        "Records of the kernel's log that were overwritten before they were read.",
        (_one(kills["lost_records"]),),
    )
    yield Family(
        "oomwarden_incidents_unwritten",
        "Incidents that wait for the disk.",
        (_one(kills["unwritten"]),),
    )


def _of_punctuality(punctuality: Mapping[str, Any]) -> Iterator[Family]:
    told = [
        ((("kind", kind), ("when", when)), figures)
        for when, kinds in punctuality.items()
        for kind, figures in kinds.items()
    ]
    yield Family(
        "oomwarden_delay_seconds",
        "How late the guard woke up, how long a turn took, and how much of it was no work.",
        tuple(
            Sample((*labels, ("figure", figure)), figures[key])
            for labels, figures in told
            if figures["count"]
            for figure, key in _FIGURES.items()
        ),
    )
    yield Family(
        "oomwarden_delays_too_long_total",
        "Of these delays, those of more than a quarter of a second.",
        tuple(Sample(labels, float(figures["too_long"])) for labels, figures in told),
    )


def _kills(incidents: Iterable[Listed]) -> Family:
    """Count the kills of this boot: a sum that only grows, until the next boot."""
    # A counter that appears with its first kill has no increase for anybody to see.
    counts: Counter[tuple[str, str]] = Counter({("global", ""): 0, ("memcg", ""): 0})
    for each in incidents:
        unit = unit_of(each.place or "") or ""
        counts[each.scope.value if each.scope else "", unit] += each.kills or each.counted
    return Family(
        "oomwarden_kills_total",
        "Processes killed for want of memory in this boot, by whose memory it was and unit.",
        tuple(
            Sample((("scope", scope), ("unit", unit)), float(count))
            for (scope, unit), count in sorted(counts.items())
        ),
    )


def _pod_kills(incidents: Iterable[Listed]) -> Family:
    """Count those in pods of Kubernetes; what a pod is called is not known on its node."""
    counts: Counter[tuple[str, str]] = Counter()
    for each in incidents:
        pod = pod_in(each.place)
        if pod is not None:
            counts[pod, container_in(each.place) or ""] += each.kills or each.counted
    return Family(
        "oomwarden_pod_kills_total",
        "Processes of Kubernetes pods killed for want of memory in this boot, by the pod's uid.",
        tuple(
            Sample((("pod_uid", pod), ("container_id", container)), float(count))
            for (pod, container), count in sorted(counts.items())
        ),
    )


def _of_alerts(waiting: Mapping[str, int], failures: Mapping[str, int]) -> Iterator[Family]:
    yield Family(
        "oomwarden_alerts_waiting",
        "Alerts that have not been sent to a target yet.",
        _each("target", waiting),
    )
    yield Family(
        "oomwarden_alert_target_failures",
        "How often in a row a target of alerts could not be reached.",
        _each("target", failures),
    )
