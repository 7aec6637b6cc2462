"""``service install``, ``uninstall`` and ``status``."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from oomwarden.cli.output import say, say_json, say_table
from oomwarden.config.load import load_config
from oomwarden.errors import ExitCode, NotPermittedError, OomwardenError
from oomwarden.service.last_resort import describe_confinement, is_confined
from oomwarden.service.manage import (
    Host,
    Manager,
    find_manager,
    install,
    installed,
    package_unit,
    run_command,
    uninstall,
    unit_states,
)


def service_install(*, last_resort: bool | None = None) -> int:
    """Install the service, or bring it up to date, and start it.

    ``last_resort`` permits the guard what a last resort takes, or forbids it again.
    """
    _need_root()
    # One that could not start would be started over and over, and say so where nobody looks.
    config = load_config().require()
    host = _host()
    manager = find_manager(host.root)
    changes = install(host, manager, last_resort=last_resort)
    for path in changes.written or ([] if changes.removed else ["nothing: all files are current"]):
        say(f"wrote {path}")
    for path in changes.removed:
        say(f"removed {path}")
    say(f"the guard runs {host.program} under {manager}: oomwarden status")
    if last_resort and not config.last_resort:
        say("it may do now what a last resort takes; none is configured")
    if config.last_resort and is_confined(host.root):
        say(f"warning: {describe_confinement()}")
    return ExitCode.OK


def service_uninstall() -> int:
    """Stop the service, which gives back all scores, and remove it."""
    _need_root()
    host = _host()
    removed = uninstall(host, find_manager(host.root))
    if not removed:
        say("nothing is installed")
        return ExitCode.OK
    for path in removed:
        say(f"removed {path}")
    say("the configuration in /etc/oomwarden and what was recorded in /var/lib/oomwarden are kept")
    return ExitCode.OK


def service_status(*, as_json: bool) -> int:
    """Tell whether the service is installed, current and running; fails if it is not."""
    host = _host()
    manager = find_manager(host.root)
    files = installed(host, manager)
    units = unit_states(host) if manager is Manager.SYSTEMD else {}
    package = package_unit(host) if manager is Manager.SYSTEMD else None
    is_well = all(each.state == "current" for each in files)
    is_well = is_well and units.get("oomwarden.service", "active") == "active"
    if as_json:
        say_json(
            {
                "schema": 1,
                "manager": manager.value,
                "program": host.program,
                "package_unit": str(package) if package is not None else None,
                "files": [{"path": each.path, "state": each.state} for each in files],
                "units": units,
            }
        )
    else:
        if package is not None:
            say(f"a package of the distribution has installed {package}")
        if files:
            say_table([("FILE", "left"), ("STATE", "left")], [(f.path, f.state) for f in files])
        if units:
            say("")
            say_table([("UNIT", "left"), ("STATE", "left")], units.items())
    return ExitCode.OK if is_well else ExitCode.FAILED


def _need_root() -> None:
    if os.geteuid() != 0:
        raise NotPermittedError("services of the machine are root's: run it as root")


def _host() -> Host:
    return Host(Path("/"), find_program(), run_command)


def find_program() -> str:
    """Tell the path of the command ``oomwarden`` that belongs to this very installation."""
    beside = Path(sys.executable).with_name("oomwarden")
    if os.access(beside, os.X_OK):
        return str(beside)
    found = shutil.which("oomwarden")
    if found is None:
        raise OomwardenError("there is no command 'oomwarden' for a service to run")
    return os.path.abspath(found)
