"""Whether we see the whole machine: /proc/self/ns (namespaces(7)) and the marks of containers.

The first PID and user namespaces have numbers of their own (include/linux/proc_ns.h). In any
other user namespace root has no right to lower scores, whatever its capabilities say.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

_FIRST_PID_NAMESPACE = "pid:[4026531836]"
_FIRST_USER_NAMESPACE = "user:[4026531837]"
_MARKS = {
    "run/.containerenv": "podman",
    ".dockerenv": "docker",
    "var/run/secrets/kubernetes.io": "kubernetes",
}


@dataclass(frozen=True, slots=True)
class Containment:
    """What we are in: of a namespace, None where the kernel does not tell.

    ``container`` is what the manager of the container calls itself; None outside of one.
    """

    sees_all_processes: bool | None
    is_real_root: bool | None
    container: str | None


def read_containment(root: str) -> Containment:
    """Look where we are."""
    return Containment(
        _is(root, "pid", _FIRST_PID_NAMESPACE),
        _is(root, "user", _FIRST_USER_NAMESPACE),
        _container(root),
    )


def _is(root: str, kind: str, first: str) -> bool | None:
    try:
        return os.readlink(os.path.join(root, "proc/self/ns", kind)) == first
    except OSError:
        return None


def _container(root: str) -> str | None:
    try:
        # systemd writes down what its own manager told it ($container).
        with open(os.path.join(root, "run/systemd/container"), encoding="utf-8") as file:
            return file.read().strip() or None
    except OSError:
        pass
    for mark, name in _MARKS.items():
        if os.path.exists(os.path.join(root, mark)):
            return name
    return None
