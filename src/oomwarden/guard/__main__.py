"""The guard's own interpreter: ``python -m oomwarden.guard FD OPTIONS``, started by ``run``.

A fresh one, because the command line's parser and the YAML reader would stay in its memory
for as long as it runs, and that memory is locked. FD holds the compiled configuration,
OPTIONS are any of ``config=FILE``, ``dry-run``, ``keep``, ``debug`` and ``courier=none``.
"""

from __future__ import annotations

import oomwarden.guard.lean  # noqa: F401 - before all others: they load dataclasses

# isort: split
import contextlib
import os
import resource
import sys
import time

from oomwarden.config.compiled import load
from oomwarden.config.schema import Config
from oomwarden.errors import ExitCode, explain
from oomwarden.guard import narrate, newborns
from oomwarden.guard.accounts import read_uid_min
from oomwarden.guard.control import ControlServer, runtime_directory
from oomwarden.guard.courier import Courier
from oomwarden.guard.events import Events
from oomwarden.guard.herald import Post
from oomwarden.guard.loop import Edges, Guard, Options
from oomwarden.guard.originals import Originals
from oomwarden.guard.recorder import Recorder
from oomwarden.guard.scribe import Scribe
from oomwarden.guard.senses import Senses
from oomwarden.guard.systemd import BIRTHS, Notifier, log_handler, passed_sockets
from oomwarden.guard.witness import Sources
from oomwarden.incidents.places import state_directory
from oomwarden.kernel.boot import read_boot
from oomwarden.kernel.kill_counters import KillCounter
from oomwarden.kernel.kmsg import Kmsg, KmsgDevice
from oomwarden.kernel.memory_lock import lock_memory
from oomwarden.kernel.own_name import set_own_name
from oomwarden.kernel.priority import take_priority
from oomwarden.kernel.privilege import Privilege
from oomwarden.kernel.process_events import ProcessEvents
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Sense

CONFIG = "config="
MOST_DESCRIPTORS = 16384
STAMP = "alerts-waiting"
"""oomwarden-courier.path watches it."""

SPARE_DESCRIPTORS = 64
"""Descriptors that are not for scores: senses, socket, clients, log."""


def main(arguments: list[str]) -> ExitCode:
    """Run the guard to its end."""
    fd, wanted = int(arguments[0]), arguments[1:]
    is_debug, has_courier = "debug" in wanted, "courier=none" not in wanted
    narrate.log.addHandler(log_handler(os.environ))
    narrate.log.setLevel("DEBUG" if is_debug else "INFO")
    with contextlib.suppress(OSError):
        # A name is a courtesy to who looks at ps: no reason not to guard.
        set_own_name("oomwarden")
    try:
        with os.fdopen(fd, "rb") as file:
            loaded = load(file.read())
        narrate.problems((*loaded.notes, *loaded.problems))
        _guard(loaded.require(), _options(wanted), has_courier=has_courier)
    except Exception as error:  # noqa: BLE001 - this is the place where errors become words
        return explain(error, debug=is_debug)
    return ExitCode.OK


def _options(wanted: list[str]) -> Options:
    files = [word.removeprefix(CONFIG) for word in wanted if word.startswith(CONFIG)]
    return Options(
        config_file=files[0] if files else None,
        dry_run="dry-run" in wanted,
        keep="keep" in wanted,
    )


def _guard(config: Config, options: Options, *, has_courier: bool) -> None:
    root = "/"
    most_open = _raise_descriptor_limit() - SPARE_DESCRIPTORS
    senses = Senses(root)
    processes = ProcessTable(root)
    control = None if options.dry_run else _listen(senses)
    originals = None if control is None else _journal(senses, control)
    births = _hear_of_births(senses)
    sources = _hear_of_kills(senses, root, dry_run=options.dry_run)
    privilege = Privilege()
    _lock_memory(senses)
    _take_priority(senses)
    notifier = Notifier(os.environ)
    try:
        with Events() as events:
            edges = Edges(
                uid_min=read_uid_min(root),
                clock=time.monotonic,
                busy=time.thread_time,
                events=events,
                senses=senses,
                processes=processes,
                control=control,
                notifier=notifier,
                privilege=privilege,
                originals=originals,
                births=births,
                sources=sources,
                post=Post(
                    recorder=None if sources is None else sources.recorder,
                    unix_clock=_unix_clock,
                    config_file=options.config_file,
                    spawn=Courier if has_courier else None,
                    stamp=None if has_courier else _stamp(control),
                ),
            )
            Guard(config, options, edges, most_open=most_open).run()
    finally:
        if control is not None:
            control.close()
        for edge in (originals, births):
            if edge is not None:
                edge.close()
        senses.close()
        processes.close()
        notifier.close()


def _stamp(control: ControlServer | None) -> str | None:
    """Tell which file says that a courier is wanted: beside the status socket."""
    return None if control is None else os.path.join(os.path.dirname(control.path), STAMP)


def _listen(senses: Senses) -> ControlServer | None:
    directory = runtime_directory(os.environ, os.geteuid())
    price = "oomwarden status has nobody to ask"
    if directory is None:
        senses.note(Sense.CONTROL, f"$XDG_RUNTIME_DIR is not set; {price}", works=False)
        return None
    try:
        control = ControlServer(directory)
    except OSError as error:
        senses.note(Sense.CONTROL, f"{error}; {price}", works=False)
        return None
    senses.note(Sense.CONTROL, control.path, works=True)
    return control


def _journal(senses: Senses, control: ControlServer) -> Originals | None:
    try:
        originals = Originals(os.path.dirname(control.path))
    except OSError as error:
        price = "if the guard is killed, scores stay as they are"
        senses.note(Sense.ORIGINALS, f"{error}; {price}", works=False)
        return None
    senses.note(Sense.ORIGINALS, "journalled, to be given back if we are killed", works=True)
    return originals


def _hear_of_births(senses: Senses) -> ProcessEvents | None:
    try:
        births = ProcessEvents(fd=passed_sockets(os.environ).get(BIRTHS))
    except OSError as error:
        price = "new processes are found at the next look, up to 4 s later"
        senses.note(Sense.PROCESS_EVENTS, f"{error.strerror}; {price}", works=False)
        return None
    senses.note(Sense.PROCESS_EVENTS, newborns.describe(births.buffer_kib), works=True)
    return births


def _hear_of_kills(senses: Senses, root: str, *, dry_run: bool) -> Sources | None:
    try:
        boot = read_boot(root)
    except OSError as error:
        price = "kills cannot be told apart from those of other boots: none is recorded"
        senses.note(Sense.KERNEL_LOG, f"{error}; {price}", works=False)
        return None
    recorder = None if dry_run else _record(senses)
    return Sources(
        root=root,
        boot=boot,
        kmsg=_read_log(senses, root),
        counter=_count_kills(senses, root),
        recorder=recorder,
        unix_clock=_unix_clock,
        boottime=_boottime,
        scribe=None if recorder is None else Scribe(),
    )


def _read_log(senses: Senses, root: str) -> Kmsg | None:
    try:
        device = KmsgDevice(root)
    except PermissionError as error:
        why = f"{error.strerror}: it takes CAP_SYSLOG, or sysctl kernel.dmesg_restrict=0"
        senses.note(Sense.KERNEL_LOG, f"{why}; {_UNREAD}", works=False)
        return None
    except OSError as error:
        senses.note(Sense.KERNEL_LOG, f"/dev/kmsg: {error.strerror}; {_UNREAD}", works=False)
        return None
    senses.note(Sense.KERNEL_LOG, "/dev/kmsg, every record at once", works=True)
    return Kmsg(device)


_UNREAD = "kills are only counted, and nobody can tell who it was and why"


def _count_kills(senses: Senses, root: str) -> KillCounter | None:
    price = "a kill that is not in the kernel's log goes unnoticed"
    try:
        counter = KillCounter(root)
        count = counter.read()
    except OSError as error:
        senses.note(Sense.KILL_COUNTER, f"/proc/vmstat: {error.strerror}; {price}", works=False)
        return None
    if count is None:
        senses.note(Sense.KILL_COUNTER, f"this kernel has none (Linux 4.13 does); {price}",
                    works=False)  # fmt: skip
        counter.close()
        return None
    senses.note(Sense.KILL_COUNTER, "oom_kill of /proc/vmstat", works=True)
    return counter


def _record(senses: Senses) -> Recorder | None:
    directory = state_directory(os.environ, os.geteuid())
    price = "incidents are told, and not kept"
    if directory is None:
        senses.note(Sense.INCIDENTS, f"there is no home to keep them in; {price}", works=False)
        return None
    try:
        recorder = Recorder(directory, _unix_clock)
    except OSError as error:
        senses.note(Sense.INCIDENTS, f"{error.strerror}; {price}", works=False)
        return None
    senses.note(Sense.INCIDENTS, directory, works=True)
    return recorder


def _lock_memory(senses: Senses) -> None:
    try:
        lock_memory()
    except OSError as error:
        price = "under pressure the guard may be late, as its own pages can be evicted"
        senses.note(Sense.MEMORY_LOCK, f"{error.strerror}; {price}", works=False)
    else:
        senses.note(Sense.MEMORY_LOCK, "as it is used", works=True)


def _take_priority(senses: Senses) -> None:
    try:
        take_priority()
    except OSError as error:
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        price = "where many want the CPU the guard waits for its turn"
        detail = f"a niceness of {nice}" if nice < 0 else f"{error.strerror}; {price}"
        senses.note(Sense.PRIORITY, detail, works=nice < 0)
    else:
        senses.note(Sense.PRIORITY, "real-time: before all ordinary processes", works=True)


def _unix_clock() -> float:
    """Tell the time of day: this module and the command line own the clocks."""
    return time.clock_gettime(time.CLOCK_REALTIME)


def _boottime() -> float:
    """Tell the seconds since boot, those included in which the machine was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _raise_descriptor_limit() -> int:
    """Allow ourselves as many descriptors as we are permitted, and tell how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
