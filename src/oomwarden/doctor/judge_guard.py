"""Judges the guard: whether one runs, what it can do here, and its configuration."""

from __future__ import annotations

from collections.abc import Iterator

from oomwarden.doctor.facts import Facts, Running, Settled
from oomwarden.doctor.finding import Finding, Gravity, error, note, ok, warning
from oomwarden.doctor.judge_machine import boot_with, sysctl
from oomwarden.errors import ExitCode
from oomwarden.model import Sense, SenseState
from oomwarden.service.last_resort import PERMIT_COMMAND
from oomwarden.wording import counted

_NAMED = 3

_GRAVITY = {
    Sense.PSI: Gravity.WARNING,
    Sense.PSI_TRIGGER: Gravity.NOTE,
    Sense.LOWER_SCORES: Gravity.ERROR,
    Sense.OTHER_USERS: Gravity.WARNING,
    Sense.MEMORY_LOCK: Gravity.WARNING,
    Sense.PRIORITY: Gravity.NOTE,
    Sense.PROCESS_EVENTS: Gravity.NOTE,
    Sense.CONTROL: Gravity.WARNING,
    Sense.ORIGINALS: Gravity.WARNING,
    Sense.KERNEL_LOG: Gravity.WARNING,
    Sense.KILL_COUNTER: Gravity.NOTE,
    Sense.INCIDENTS: Gravity.WARNING,
    Sense.RECLAIM: Gravity.WARNING,
    # Cgroups come and go.
    Sense.CGROUPS: Gravity.NOTE,
    Sense.ASK_KERNEL: Gravity.WARNING,
    Sense.PROCESS_SIGNALS: Gravity.WARNING,
    Sense.MEMORY_RELEASE: Gravity.NOTE,
    Sense.CGROUP_KILL: Gravity.NOTE,
}
"""How much the absence of each sense matters."""


def judge_guard(facts: Facts) -> Iterator[Finding]:
    """Tell what is found of all this."""
    if facts.running is not None:
        yield from _running(facts, facts.running)
    elif facts.guard_hidden:
        yield note("guard", "a guard runs, and this user may not ask it", "sudo oomwarden doctor")
    else:
        yield _not_running(facts)
    for state in facts.senses:
        yield _sense(facts, state)
    yield from _config(facts.config)
    is_told = any(state.sense is Sense.ASK_KERNEL for state in facts.senses)
    if facts.last_resort_confined is not None and not is_told:
        yield warning("last-resort", facts.last_resort_confined, PERMIT_COMMAND)


def _not_running(facts: Facts) -> Finding:
    what = "no guard is running: scores are as the system gave them, and kills go unexplained"
    if facts.unit_installed:
        return warning("guard", what, "systemctl enable --now oomwarden")
    return warning("guard", what, "oomwarden run")


def _running(facts: Facts, running: Running) -> Iterator[Finding]:
    restart = "systemctl restart oomwarden" if facts.unit_installed else None
    yield ok("guard", f"a guard is running (pid {running.pid}, version {running.version})")
    if running.version != facts.version:
        yield warning(
            "guard-version",
            f"the guard that runs is version {running.version}, and {facts.version} is"
            " installed: it was not restarted after the upgrade",
            restart or f"kill -TERM {running.pid} && oomwarden run",
        )
    if running.dry_run:
        yield warning(
            "guard-dry-run",
            "the guard runs with --dry-run: it says what it would do, and does nothing",
            restart or f"kill -TERM {running.pid} && oomwarden run",
        )
    if running.config_state != "valid":
        yield error(
            "guard-config",
            f"the configuration was {running.config_state}",
            "oomwarden check",
            ExitCode.CONFIGURATION,
        )
    if running.denied:
        yield note("guard-denied", f"the kernel has refused {running.denied} of its writes")
    if running.refused:
        yield note(
            "guard-refused",
            f"{counted(running.refused, 'process has', 'processes have')} a protected name without"
            " having deserved the protection; the guard's log says who and why",
        )
    if running.unwritten:
        yield warning(
            "guard-unwritten",
            f"{counted(running.unwritten, 'incident waits', 'incidents wait')} to be written:"
            " 'oomwarden status' says why",
            "oomwarden status",
        )
    if running.unexplained:
        yield note(
            "guard-unexplained",
            f"{running.unexplained} OOM kills of this boot are counted by the kernel and not"
            " explained by its log",
            "oomwarden incidents --boot 0",
        )


def _sense(facts: Facts, state: SenseState) -> Finding:
    name = f"sense-{state.sense.name.lower().replace('_', '-')}"
    if state.works:
        return ok(name, f"{state.sense.value}: {state.detail}")
    message = f"{state.sense.value}: {state.detail}"
    gravity = _GRAVITY[state.sense]
    is_ours = facts.running is None
    if is_ours and facts.uid != 0:
        # What a user lacks says nothing of what root's guard could do.
        return Finding(name, Gravity.NOTE, message, "sudo oomwarden doctor")
    return Finding(name, gravity, message, _mend(facts, state), ExitCode.NOT_PERMITTED)


def _mend(facts: Facts, state: SenseState) -> str | None:
    machine = facts.machine
    match state.sense:
        case Sense.PSI if "switched off" in state.detail:
            return boot_with("psi=1", machine.tools)
        case Sense.KERNEL_LOG if machine.settings.dmesg_restrict:
            return sysctl("kernel.dmesg_restrict", 0)
        case Sense.LOWER_SCORES | Sense.OTHER_USERS | Sense.MEMORY_LOCK | Sense.PROCESS_EVENTS:
            return _grant(facts, state.sense)
        case Sense.INCIDENTS if facts.running is not None:
            return "oomwarden status"
        case (
            Sense.ASK_KERNEL | Sense.PROCESS_SIGNALS | Sense.MEMORY_RELEASE | Sense.CGROUP_KILL
        ) if facts.last_resort_confined is not None:
            return PERMIT_COMMAND
    return None


_CAPABILITIES = {
    Sense.LOWER_SCORES: "SYS_RESOURCE",
    Sense.OTHER_USERS: "DAC_OVERRIDE",
    Sense.MEMORY_LOCK: "IPC_LOCK",
    Sense.PROCESS_EVENTS: "NET_ADMIN",
}


def _grant(facts: Facts, sense: Sense) -> str | None:
    """Write the command that grants a capability, where we know who could."""
    capability = _CAPABILITIES[sense]
    container = facts.machine.containment.container
    if container in {"docker", "podman"}:
        return f"{container} run --pid=host --cap-add={capability} ..."
    if facts.unit_installed and facts.running is not None:
        line = f"[Service]\\nCapabilityBoundingSet=CAP_{capability}\\n"
        file = "/etc/systemd/system/oomwarden.service.d/capability.conf"
        return (
            f"mkdir -p {file.rpartition('/')[0]} && printf '{line}' > {file}"
            " && systemctl daemon-reload && systemctl restart oomwarden"
        )
    return None


def _config(config: Settled) -> Iterator[Finding]:
    files = ", ".join(config.files) or "no file"
    if config.errors:
        more = f" and {len(config.errors) - 1} more" if len(config.errors) > 1 else ""
        yield error(
            "config",
            f"the configuration is wrong: {config.errors[0]}{more}",
            "oomwarden check",
            ExitCode.CONFIGURATION,
        )
        return
    yield ok("config", f"the configuration is valid: {files}")
    if config.warnings:
        more = f" and {len(config.warnings) - 1} more" if len(config.warnings) > 1 else ""
        yield warning("config-warnings", f"{config.warnings[0]}{more}", "oomwarden check")
    if config.own and len(config.idle) == config.own:
        yield warning(
            "config-idle",
            f"not one of the rules written here holds a process now: {_listed(config.idle)}",
            "oomwarden explain $$",
        )
    elif config.idle:
        yield note(
            "config-idle",
            f"{len(config.idle)} of {config.own} rules written here hold no process now:"
            f" {_listed(config.idle)}",
        )
    for text in config.unkillable:
        yield warning("unkillable", text, "oomwarden rank --top 0")


def _listed(names: tuple[str, ...]) -> str:
    rest = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {rest} more" if rest > 0 else shown
