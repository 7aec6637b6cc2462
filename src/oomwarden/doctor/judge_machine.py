"""Judges the machine: its kernel, how that is set up, cgroups, swap, and walls around us."""

from __future__ import annotations

from collections.abc import Iterator

from oomwarden.doctor.facts import Machine
from oomwarden.doctor.finding import Finding, error, note, ok, warning
from oomwarden.errors import ExitCode
from oomwarden.kernel.cgroup import MemoryControl
from oomwarden.kernel.oom_killer import Settings
from oomwarden.wording import size

PANIC_ALWAYS = 2
NEVER_OVERCOMMIT = 2
LITTLE_SWAP_PERCENT = 10


def judge_machine(machine: Machine) -> Iterator[Finding]:
    """Tell what is found of all this."""
    yield from _kernel(machine)
    yield from _settings(machine.settings)
    yield _cgroups(machine)
    yield from _walls(machine)
    yield from _swap(machine)


def sysctl(name: str, value: int) -> str:
    """Write the command that sets a sysctl now and at every boot."""
    file = f"/etc/sysctl.d/60-oomwarden-{name.rpartition('.')[2]}.conf"
    return f"echo {name}={value} > {file} && sysctl -p {file}"


def boot_with(word: str, tools: frozenset[str]) -> str | None:
    """Write the command that adds a word to the kernel's command line; None if none is known."""
    if "grubby" in tools:
        return f"grubby --update-kernel=ALL --args={word} && reboot"
    if "update-grub" in tools:
        edit = rf"""sed -i -E 's/^(GRUB_CMDLINE_LINUX=")/\1{word} /' /etc/default/grub"""
        return f"{edit} && update-grub && reboot"
    return None


def _kernel(machine: Machine) -> Iterator[Finding]:
    if machine.memory is None:
        yield error(
            "meminfo",
            "/proc/meminfo cannot be read: there is no telling how much memory is left",
            None,
            ExitCode.UNSUPPORTED,
        )
        return
    memory = machine.memory
    total, available = size(memory.total_kib), f"{memory.available_percent:.0f} %"
    yield ok("kernel", f"Linux {machine.release}, {total} of memory, {available} of it available")


def _settings(settings: Settings) -> Iterator[Finding]:
    if settings.kill_allocating_task:
        yield error(
            "oom-kill-allocating-task",
            "vm.oom_kill_allocating_task is set: when the machine runs out of memory, the kernel"
            " kills whoever asks for more, and no score counts",
            sysctl("vm.oom_kill_allocating_task", 0),
            ExitCode.UNSUPPORTED,
        )
    if settings.panic_on_oom:
        at_limits = settings.panic_on_oom == PANIC_ALWAYS
        when = "any shortage, even of one cgroup," if at_limits else "a shortage of the machine"
        yield error(
            "panic-on-oom",
            f"vm.panic_on_oom is {settings.panic_on_oom}: {when} stops the machine, and no score"
            " counts",
            sysctl("vm.panic_on_oom", 0),
            ExitCode.UNSUPPORTED,
        )
    if settings.kill_allocating_task is False and settings.panic_on_oom == 0:
        yield ok("scores-count", "the kernel kills by score: no sysctl stands in the way")
    if settings.dump_tasks is False:
        yield warning(
            "oom-dump-tasks",
            "vm.oom_dump_tasks is 0: the kernel does not list who held memory when it killed, so"
            " a report of a kill that nobody watched cannot say it either",
            sysctl("vm.oom_dump_tasks", 1),
        )
    if settings.overcommit == NEVER_OVERCOMMIT:
        yield note(
            "overcommit",
            "vm.overcommit_memory is 2: programs are refused memory before the OOM killer is"
            " needed; what dies is who asks, by its own hand, and that is no OOM kill",
        )


def _cgroups(machine: Machine) -> Finding:
    match machine.cgroups:
        case MemoryControl.VERSION_2:
            return ok("cgroups", "memory is counted by cgroups, version 2")
        case MemoryControl.VERSION_1:
            return note(
                "cgroups",
                "memory is counted by cgroups of version 1: kills at their limits are explained;"
                " killing a service as a whole (memory.oom.group) takes version 2",
                boot_with("systemd.unified_cgroup_hierarchy=1", machine.tools),
            )
        case MemoryControl.OFF:
            return warning(
                "cgroups",
                "the kernel does not count memory by cgroups: limits of services and containers"
                " do nothing, and there is no drill",
                boot_with("cgroup_enable=memory", machine.tools),
            )
        case MemoryControl.NO_CGROUPS:
            return note(
                "cgroups", "no cgroups are mounted: rules by unit or cgroup hold nobody here"
            )


def _walls(machine: Machine) -> Iterator[Finding]:
    inside = machine.containment
    if inside.is_real_root is False:
        yield error(
            "user-namespace",
            "we are in a user namespace: root in it may not lower a score, so nothing can be"
            " protected from here; run oomwarden on the host",
            None,
            ExitCode.NOT_PERMITTED,
        )
    if inside.container is not None:
        yield note(
            "container",
            f"we are in a container ({inside.container}): the kernel's killer is that of the"
            " host, and only a guard that sees the host's processes ranks all of them",
        )
    if inside.sees_all_processes is False:
        yield warning(
            "pid-namespace",
            "we are in a PID namespace of its own: the host's other processes cannot be ranked,"
            " and pids in the kernel's log are not those seen here; run oomwarden on the host,"
            " or give its container the host's (--pid=host, hostPID: true)",
        )


def _swap(machine: Machine) -> Iterator[Finding]:
    memory, areas = machine.memory, machine.swaps
    if memory is None:
        return
    if not memory.swap_total_kib:
        yield note(
            "swap",
            "there is no swap: from tight to out of memory takes a program in a hurry less than"
            " a second; with some, pressure rises first and there is time to see it",
            _make_swap(machine),
        )
        return
    zram_kib = sum(area.size_kib for area in areas if area.is_zram)
    free = memory.swap_free_percent or 0
    sizes = f"{size(memory.swap_free_kib)} of {size(memory.swap_total_kib)}"
    if free < LITTLE_SWAP_PERCENT:
        yield warning(
            "swap",
            f"swap is nearly used up ({sizes} is free): what comes next must fit into memory",
            "oomwarden rank",
        )
    else:
        yield ok("swap", f"swap: {sizes} is free")
    if zram_kib > 2 * memory.total_kib:
        yield warning(
            "zram-size",
            f"zram may take {size(zram_kib)} of pages on a machine of {size(memory.total_kib)}:"
            " if they compress by less than that, memory is full before the swap is",
            "zramctl",
        )
    elif zram_kib:
        yield note(
            "zram",
            f"{size(zram_kib)} of swap is zram, which is kept in memory, compressed: the kernel"
            " and /proc/meminfo count it as if it were elsewhere, so less is left than they say",
        )


def _make_swap(machine: Machine) -> str | None:
    inside = machine.containment
    if inside.container is not None or inside.is_real_root is False:
        return None
    make = "mkswap /swapfile && swapon /swapfile"
    keep = "echo '/swapfile none swap sw 0 0' >> /etc/fstab"
    return f"fallocate -l 2G /swapfile && chmod 600 /swapfile && {make} && {keep}"
