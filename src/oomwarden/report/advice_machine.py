"""What to do about the machine: its log, its settings, its kernel, its swap. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from oomwarden.incidents.incident import Accounted
from oomwarden.report.culprit import Known
from oomwarden.report.facts import Kind
from oomwarden.report.log_lines import kills_who_asks
from oomwarden.report.verdicts import Advice, Where
from oomwarden.wording import counted, size

_LARGE_ORDER = 3
_MUCH_PERCENT = 30


def about_counting(known: Known) -> Iterator[Advice]:
    """The log ran over before it was read: kills may be missing."""
    accounting = known.report.accounting
    if accounting.lost_records and (accounting.missing or not known.report.victims):
        yield Advice(
            "log",
            (f"The kernel overwrote {counted(accounting.lost_records, 'record')} unread.",),
            ("Give its log more room, from the next boot on (kernel command line):",),
            Where.COMMAND,
            ("log_buf_len=8M",),
        )
    if accounting.state is Accounted.UNEXPLAINED:
        yield Advice(
            "log",
            ("The log that the guard could read does not tell of it.",),
            ("See whether the journal does, and what a guard may read here:",),
            Where.COMMAND,
            ("oomwarden analyze --report --boot 0; oomwarden doctor",),
        )


def about_settings(known: Known) -> Iterator[Advice]:
    """Settings of the kernel that take the choice away, or hide why it fell."""
    episode = known.episode
    if episode is None:
        return
    if kills_who_asks(episode.records):
        yield Advice(
            "victim",
            ("vm.oom_kill_allocating_task is set, so scores decide nothing.",),
            ("Let the kernel choose by them again:",),
            Where.SYSCTL,
            ("vm.oom_kill_allocating_task = 0",),
            "/etc/sysctl.d/50-oom.conf",
        )
    if episode.table is None and episode.complete and episode.mem_info:
        yield Advice(
            "log",
            ("The kernel printed no table of processes, so nobody can tell why it was this one.",),
            ("Have it printed the next time:",),
            Where.SYSCTL,
            ("vm.oom_dump_tasks = 1",),
            "/etc/sysctl.d/50-oom.conf",
        )


def about_kernel(known: Known) -> Iterator[Advice]:
    """The kernel itself, or memory that no process holds, had filled it."""
    makeup = known.report.makeup
    if makeup is None or makeup.of_memcg:
        return
    sizes = {part.kind: part.kib for part in makeup.parts}
    if makeup.is_leak:
        slab_kib, rest_kib = sizes.get(Kind.KERNEL_SLAB, 0), sizes.get(Kind.UNACCOUNTED, 0)
        is_slab = slab_kib >= rest_kib
        where = "unreclaimable slab" if is_slab else "memory that is in no account"
        line = "slabtop -o -s c | head -20" if is_slab else "zramctl; sort -k2 -n /proc/vmallocinfo"
        yield Advice(
            "leak",
            (f"{size(max(slab_kib, rest_kib))} were {where}: no kill gives that back.",),
            ("Look who holds it; a driver, a balloon, zram or a leak in the kernel is likely:",),
            Where.COMMAND,
            (line,),
        )
    huge_kib = sizes.get(Kind.HUGE, 0)
    if huge_kib * 100 >= makeup.total_kib * _MUCH_PERCENT:
        yield Advice(
            "huge pages",
            (f"{size(huge_kib)} are set aside as huge pages, used or not.",),
            ("Set fewer aside; see how many are free in /proc/meminfo:",),
            Where.COMMAND,
            ("grep Huge /proc/meminfo; sysctl vm.nr_hugepages",),
        )
    shared_kib = sizes.get(Kind.SHARED, 0)
    if shared_kib * 100 >= makeup.total_kib * _MUCH_PERCENT:
        yield Advice(
            "shared memory",
            (f"{size(shared_kib)} are shared memory or files in tmpfs: no kill removes files.",),
            ("Look what is in there, and give the largest a size:",),
            Where.COMMAND,
            ("df -h -t tmpfs; ipcs -m",),
        )


def about_swap(known: Known) -> Iterator[Advice]:
    """Without swap, idle memory cannot make room and everything ends at once."""
    makeup = known.report.makeup
    if makeup is None or makeup.of_memcg or makeup.swap_total_kib is None:
        return
    if makeup.swap_total_kib == 0:
        yield Advice(
            "swap",
            ("The machine has no swap: what nobody uses had to stay in memory.",),
            ("Compressed swap in memory costs little (systemd's zram-generator):",),
            Where.SYSTEMD,
            ("[zram0]", "zram-size = min(ram / 2, 4096)"),
            "/etc/systemd/zram-generator.conf",
        )


def about_order(known: Known) -> Iterator[Advice]:
    """A large request failed for want of neighbours, not of memory."""
    report = known.report
    order = report.trigger.order if report.trigger else None
    makeup = report.makeup
    if order is None or order < _LARGE_ORDER or makeup is None or makeup.of_memcg:
        return
    yield Advice(
        "fragmentation",
        (f"The request was for {1 << order} pages in a row (order {order}).",),
        ("Keep more memory free, so that the kernel finds some in a row:",),
        Where.SYSCTL,
        ("vm.min_free_kbytes = 262144",),
        "/etc/sysctl.d/50-oom.conf",
    )


def about_guard(known: Known) -> Iterator[Advice]:
    """Without a guard nothing of the minutes before is known."""
    if known.report.accounting.state is Accounted.FOUND_LATE:
        yield Advice(
            "guard",
            ("No guard was running, so that nothing of the minutes before is known.",),
            ("Have a guard run from the boot on:",),
            Where.COMMAND,
            ("systemctl enable --now oomwarden.service",),
        )


def about_rest(known: Known) -> Iterator[Advice]:
    """What was read is only a part: the machine itself may have the rest."""
    accounting = known.report.accounting
    if accounting.state is None and accounting.missing and not known.report.arithmetic.candidates:
        yield Advice(
            "log",
            ("What was read is only a part of the kernel's log.",),
            ("Read all of it, on that machine and of that boot:",),
            Where.COMMAND,
            ("journalctl -k -o short-monotonic -b -1 | oomwarden analyze --report -",),
        )
