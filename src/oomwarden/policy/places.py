"""What a cgroup path says of a process: its systemd unit, its container, its pod."""

from __future__ import annotations

import re

from oomwarden.policy.rules import unit_of

_CONTAINER = re.compile(r"(?:^|[-:])([0-9a-f]{64})(?:\.scope)?$")
_POD = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?:\.slice)?(?:$|:)")
_PLAIN_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}")


def unit_in(place: str | None) -> str | None:
    """Name the innermost systemd unit of a path that is no mere slice."""
    return None if place is None else unit_of(place)


def container_in(place: str | None) -> str | None:
    """Tell the id of the innermost container: Docker, containerd, CRI-O and Podman alike."""
    return _innermost(_CONTAINER, place)


def pod_in(place: str | None) -> str | None:
    """Tell the uid of the Kubernetes pod, with dashes."""
    pod = _innermost(_POD, place)
    return None if pod is None else pod.replace("_", "-")


def is_within(place: str | None, memcg: str) -> bool:
    """Whether a path is that of a cgroup, or lies below it."""
    return place is not None and f"{place.rstrip('/')}/".startswith(f"{memcg.rstrip('/')}/")


def is_plain_unit(unit: str) -> bool:
    """Whether a name has nothing in it that no unit's name may have: it can be written down."""
    return _PLAIN_UNIT.fullmatch(unit) is not None


def _innermost(pattern: re.Pattern[str], place: str | None) -> str | None:
    found = (pattern.search(part) for part in reversed((place or "").split("/")))
    return next((match[1] for match in found if match), None)
