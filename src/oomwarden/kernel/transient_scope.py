"""A cgroup from systemd, which owns the hierarchy of version 2 where it runs: a transient scope.

It is asked for over D-Bus (org.freedesktop.systemd1(5), StartTransientUnit), with
``Delegate=yes``: what lies below is ours then, and nothing of it is systemd's (systemd.io,
"Control Group APIs and Delegation"). It ends with its last process, and systemd removes it.
"""

from __future__ import annotations

import os
import subprocess

from oomwarden.errors import NotPermittedError, OomwardenError, UnsupportedError
from oomwarden.wording import printable

_ANSWER_SECONDS = 10


def is_systemd(root: str) -> bool:
    """Whether systemd is process 1 (sd_booted(3))."""
    return os.path.isdir(os.path.join(root, "run/systemd/system"))


def start_command(unit: str, pid: int) -> list[str]:
    """Compose the call that puts a process into a new scope named ``unit``.

    CollectMode: not even a scope that systemd thinks has failed, since there was an OOM kill
    in it, is kept in its list.
    """
    properties = [
        *("PIDs", "au", "1", str(pid)),
        *("Description", "s", "oomwarden drill: a contained OOM kill"),
        *("Delegate", "b", "true"),
        *("CollectMode", "s", "inactive-or-failed"),
    ]
    return [
        *("busctl", "--system", "--quiet", "call"),
        *("org.freedesktop.systemd1", "/org/freedesktop/systemd1"),
        *("org.freedesktop.systemd1.Manager", "StartTransientUnit"),
        *("ssa(sv)a(sa(sv))", unit, "fail"),
        *("4", *properties),
        "0",
    ]


def start(unit: str, pid: int) -> None:
    """Ask for it; the process is in it a moment later.

    Raises UnsupportedError without busctl, NotPermittedError, OomwardenError.
    """
    try:
        subprocess.run(  # noqa: S603 - fixed words, our own name and a number; no shell
            start_command(unit, pid),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=True,
            timeout=_ANSWER_SECONDS,
        )
    except FileNotFoundError as error:
        message = "systemd owns the cgroups here, and busctl, which asks it, is not installed"
        raise UnsupportedError(message) from error
    except subprocess.TimeoutExpired as error:
        message = f"systemd has not answered for {_ANSWER_SECONDS} s"
        raise OomwardenError(message) from error
    except subprocess.CalledProcessError as error:
        said = printable(error.stderr.decode(errors="replace").strip())
        if "denied" in said.lower() or "authentication" in said.lower():
            message = f"systemd refuses a scope ({said}); run it as root"
            raise NotPermittedError(message) from error
        message = f"systemd made no scope: {said}"
        raise OomwardenError(message) from error
