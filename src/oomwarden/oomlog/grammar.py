"""Every line that the OOM killer of Linux prints, by version, as data.

One form for each shape of a line, with the version that began to print it and the last that
did; distributions port changes back, so a line is read by its shape and never by the version.
Sources: mm/oom_kill.c, mm/memcontrol.c, lib/show_mem.c (mm/page_alloc.c), drivers/tty/sysrq.c.
"""

from __future__ import annotations

from oomwarden.oomlog.forms import Form, Kind, form

_GLOBAL = "Out of memory"
_MEMCG = "Memory cgroup out of memory"
_ALLOCATING = "Out of memory (oom_kill_allocating_task)"

_GFP = r"gfp_mask=(?P<gfp>0x[0-9a-f]+)"
_GFP_NAMES = _GFP + r"\((?P<names>[^)]*)\)"
_ADJ = r"oom_score_adj=(?P<adj>-?\d+)"
_ORDER = r"order=(?P<order>-?\d+), " + _ADJ

# Retyped logs have a space after "total-vm:".
_SIZES = r"total-vm: *(?P<vm>\d+)kB, anon-rss:(?P<anon>\d+)kB, file-rss:(?P<file>\d+)kB"
_SHMEM = _SIZES + r", shmem-rss:(?P<shmem>\d+)kB"
_ALL = _SHMEM + r", UID:(?P<uid>\d+) pgtables:(?P<pgt>\d+)kB oom_score_adj:(?P<adj>-?\d+)"
_VICTIM = r"(?P<pid>\d+) \((?P<comm>.*)\)"
# What is left of any of these: a number counts only with what follows it, or it may be cut too.
# A name of 15 bytes has room for ") total-vm:1kB,", but not for the space behind it.
_CUT = (
    r"(?:(?P<pid>\d+)(?=[ ,])(?:, UID (?P<uid>\d+),)?(?: \((?P<comm>.*)\)(?:, UID (?P<uid7>\d+),)?"
    r"(?=\s*+\Z|\s+total-vm))?"
    r"(?:\s+total-vm: *(?P<vm>\d+)kB(?=,\s))?(?:,\s*anon-rss:(?P<anon>\d+)kB)?"
    r"(?:,\s*file-rss:(?P<file>\d+)kB)?(?:,\s*shmem-rss:(?P<shmem>\d+)kB)?"
    r"(?:,\s*UID:(?P<uid5>\d+)(?= pgtables))?(?: pgtables:(?P<pgt>\d+)kB)?|\d*\s*+\Z)"
)
_KILL_CUT = r"(?:(?P<pid>\d+)(?=[ ,])(?: \((?P<comm>.*)\)(?= score| *+\Z))?|\d*\s*+\Z)"
_SCORE = r"(?P<pid>\d+) \((?P<comm>.*)\) score (?P<score>-?\d+) or sacrifice child"
_COMM = r"(?P<comm>.{0,60}?)"
RELEASE = r" (?:Kdump: loaded )?(?:Not tainted|Tainted:[A-Z \-]*) (\d\S*)"
"""What follows the name in the first line of a stack: the version of the kernel."""

_TAINT = RELEASE + r"(?: .*)?"

FORMS: tuple[Form, ...] = (
    form("boot", Kind.BOOT, "2.6", "", "Linux version ", r"\d.*"),
    # SysRq-f. Up to 4.x the line names the subsystem twice.
    form("sysrq 2.6", Kind.SYSRQ, "2.6", "4.1", "SysRq : ", "Manual OOM execution"),
    form("sysrq 4.2", Kind.SYSRQ, "4.2", "4.19", "sysrq: SysRq : ", "Manual OOM execution"),
    form("sysrq 4.20", Kind.SYSRQ, "4.20", "", "sysrq: ", "Manual OOM execution"),
    form("sysrq ignored", Kind.SYSRQ_IGNORED, "4.2", "", "sysrq: ", "OOM request ignored.*"),
    # dump_header(): who asked. The name comes first, so these are found by the words after it.
    form(
        "invoked el6",
        Kind.INVOKED,
        "2.6.36 (el6: 2.6.32)",
        "3.9",
        "",
        rf"(?P<comm>.*?) invoked oom-killer: {_GFP}, order=(?P<order>-?\d+), oom_adj=-?\d+, {_ADJ}",
    ),
    form(
        "invoked 3.10",
        Kind.INVOKED,
        "3.10",
        "4.5",
        "",
        rf"(?P<comm>.*?) invoked oom-killer: {_GFP}, {_ORDER}",
    ),
    form(
        "invoked 4.6, 5.0",
        Kind.INVOKED,
        "4.6 (not 4.9 to 4.20)",
        "",
        "",
        rf"(?P<comm>.*?) invoked oom-killer: {_GFP_NAMES}, {_ORDER}",
    ),
    # 4.11 and 4.12 print two spaces before the order, and print it in pieces.
    form(
        "invoked 4.9",
        Kind.INVOKED,
        "4.9",
        "4.20 (el8: 4.18)",
        "",
        rf"(?P<comm>.*?) invoked oom-killer: {_GFP_NAMES}, nodemask=(?P<nodemask>.*?), +{_ORDER}",
    ),
    form(
        "invoked, cut",
        Kind.INVOKED,
        "2.6",
        "",
        "",
        r"(?P<comm>.*?) invoked oom-killer(?=:|\s*+\Z)"
        r"(?::\s*gfp_mask=(?P<gfp>0x[0-9a-f]+)(?=[(,]))?(?:\((?P<names>[^)]*)\))?"
        r"(?:, nodemask=(?P<nodemask>.*?)(?=, +order))?"
        r"(?:, +order=(?P<order>-?\d+)(?=,))?",
        is_cut=True,
    ),
    form(
        "cpuset",
        Kind.CPUSET,
        "2.6",
        "4.20",
        "",
        r"(?P<comm>.*?) cpuset=(?P<cpuset>.*) mems_allowed=(?P<mems>[0-9,\-]*)",
    ),
    # dump_stack(): the only place that gives the number of the thread that asked.
    form(
        "stack el6",
        Kind.STACK,
        "2.6",
        "3.9",
        "Pid: ",
        rf"(?P<pid>\d+), comm: {_COMM}{_TAINT}",
    ),
    form(
        "stack 3.10",
        Kind.STACK,
        "3.10",
        "6.10",
        "CPU: ",
        rf"\d+ PID: (?P<pid>\d+) Comm: {_COMM}{_TAINT}",
    ),
    form(
        "stack 6.11",
        Kind.STACK,
        "6.11",
        "",
        "CPU: ",
        rf"\d+ UID: \d+ PID: (?P<pid>\d+) Comm: {_COMM}{_TAINT}",
    ),
    form(
        "stack, cut",
        Kind.STACK,
        "3.10",
        "",
        "CPU: ",
        rf"\d+ (?:UID: \d+ )?PID: (?P<pid>\d+) Comm: {_COMM}(?= (?:Kdump:|Not|Tainted:)|\s*+\Z)",
        is_cut=True,
    ),
    # mem_cgroup_print_oom_info()
    form(
        "task in",
        Kind.TASK_IN,
        "2.6",
        "4.20",
        "Task in ",
        r"(?P<task>.*) killed as a result of limit of (?P<limit>.*)",
    ),
    form("task in, cut", Kind.TASK_IN, "2.6", "4.20", "Task in /", r".*", is_cut=True),
    form(
        "limit reached",
        Kind.LIMIT_REACHED,
        "4.0",
        "4.20",
        "Memory limit reached of cgroup ",
        r"(?P<limit>.*)",
    ),
    *(
        form(
            f"usage of {what}",
            Kind.USAGE,
            since,
            until,
            f"{what}: usage ",
            r"(?P<usage>\d+)kB, limit (?P<limit>\d+)kB, failcnt (?P<failcnt>\d+)",
        )
        for what, since, until in (
            ("memory", "2.6", ""),
            ("memory+swap", "2.6", ""),  # version 1 of cgroups; version 2 as well up to 5.2
            ("kmem", "3.8", ""),
            ("swap", "5.3", ""),
        )
    ),
    form(
        "stats 3.10",
        Kind.STATS,
        "3.10",
        "5.2",
        "Memory cgroup stats for ",
        r"(?P<path>.*?):(?P<items>(?: \w+:\d+KB)+)",
    ),
    # 5.3 prints memory.stat below it, in one record of many lines or in one for each item.
    form(
        "stats 5.3",
        Kind.STATS,
        "5.3",
        "",
        "Memory cgroup stats for ",
        r"(?P<path>[^\n]*):(?P<items>(?:\n[a-z0-9_]+ \d+)*)",
    ),
    form("stat", Kind.STAT, "5.3", "", "", r"(?:[a-z][a-z0-9_]* \d+\n?)+"),
    form(
        "protection",
        Kind.PROTECTION,
        "6.19",
        "",
        "Memory cgroup min protection ",
        r"(?P<min>\d+)kB -- low protection (?P<low>\d+)kB",
    ),
    # show_mem()
    form("mem-info", Kind.MEM_INFO, "2.6", "", "Mem-Info:", ""),
    form("mem-info pairs", Kind.MEM_PAIRS, "2.6", "", "", r"\s*+(?:[a-z_]+:\d+\s*+)++"),
    form("mem-info count", Kind.MEM_COUNT, "2.6", "", "", r"(?P<count>\d+) (?P<what>.*pages.*)"),
    form("free swap", Kind.MEM_SWAP, "2.6", "", "Free swap ", r" *= *(?P<free>\d+)kB"),
    form("total swap", Kind.MEM_SWAP, "2.6", "", "Total swap ", r" *= *(?P<total>\d+)kB"),
    # dump_tasks(): the columns of each version are in table.py.
    form("title", Kind.TITLE, "4.19", "", "Tasks state ", r"\(memory values in pages\):"),
    form("header 2.6", Kind.HEADER, "2.6.36", "4.18 (el8 too)", "[ pid ]", r"(?P<columns> .*)"),
    form("header 4.19", Kind.HEADER, "4.19", "", "[  pid  ]", r"(?P<columns> .*)"),
    form("row", Kind.ROW, "2.6.36", "", "", r"\[ *\d+\] +-?\d.*"),
    # The summary is read from both its ends, see summary.py.
    form("summary", Kind.SUMMARY, "5.0 (el8: 4.18)", "", "oom-kill:", r"constraint=.*"),
    *(
        form(f"summary tail {start}", Kind.SUMMARY_TAIL, "5.0", "", start, r".*")
        for start in (",cpuset=", ",mems_allowed=", ",oom_memcg=", ",global_oom", ",task")
    ),
    # The choice. Up to 5.0 a child may be killed in its place.
    *(
        form(f"kill, {start}", Kind.KILL, since, until, f"{start}: Kill process ", _SCORE)
        for start, since, until in (
            (_GLOBAL, "2.6.36", "5.0"),
            (_MEMCG, "2.6.36", "5.0"),
            (_ALLOCATING, "2.6.36", "5.0"),
        )
    ),
    *(
        form(
            f"kill, cut, {start}",
            Kind.KILL,
            "2.6.36",
            "5.0",
            f"{start}: Kill process ",
            _KILL_CUT,
            is_cut=True,
        )
        for start in (_GLOBAL, _MEMCG, _ALLOCATING)
    ),
    # The kill.
    *(
        form(
            f"killed 5.4, {start}",
            Kind.KILLED,
            "5.4 (el8: 4.18)",
            "",
            f"{start}: Killed process ",
            f"{_VICTIM} {_ALL}",
        )
        for start in (_GLOBAL, _MEMCG, _ALLOCATING)
    ),
    *(
        form(
            f"killed 5.1, {start}",
            Kind.KILLED,
            "5.1 (el8: 4.18)",
            "5.3",
            f"{start}: Killed process ",
            f"{_VICTIM} {_SHMEM}",
        )
        for start in (_GLOBAL, _MEMCG, _ALLOCATING)
    ),
    form("killed 4.5", Kind.KILLED, "4.5", "5.0", "Killed process ", f"{_VICTIM} {_SHMEM}"),
    form("killed 3.10", Kind.KILLED, "2.6.36", "4.4", "Killed process ", f"{_VICTIM} {_SIZES}"),
    form(
        "killed el7",
        Kind.KILLED,
        "el7: 3.10.0-1062",
        "",
        "Killed process ",
        rf"{_VICTIM}, UID (?P<uid>\d+), {_SHMEM}",
    ),
    form(
        "killed el6",
        Kind.KILLED,
        "el6: 2.6.32",
        "",
        "Killed process ",
        rf"(?P<pid>\d+), UID (?P<uid>\d+), \((?P<comm>.*)\) {_SIZES}",
    ),
    *(
        form(f"killed, cut, {start}", Kind.KILLED, "2.6", "", start, _CUT, is_cut=True)
        for start in (
            "Killed process ",
            f"{_GLOBAL}: Killed process ",
            f"{_MEMCG}: Killed process ",
            f"{_ALLOCATING}: Killed process ",
        )
    ),
    form(
        "sharing",
        Kind.SHARING,
        "2.6.36",
        "4.5",
        "Kill process ",
        r"(?P<pid>\d+) \((?P<comm>.*)\) sharing same memory",
    ),
    form("pinned", Kind.PINNED, "4.9", "", "oom killer ", r"\d+ \(.*\) has mm pinned by .*"),
    *(
        form(
            f"skipped, {start}",
            Kind.SKIPPED,
            "5.9",
            "",
            f"{start}: OOM victim ",
            r"(?P<pid>\d+) \(.*\) is already exiting. Skip killing the task",
        )
        for start in (_GLOBAL, _MEMCG)
    ),
    form(
        "group",
        Kind.GROUP,
        "4.19",
        "",
        "Tasks in ",
        r"(?P<path>.*) are going to be killed due to memory\.oom\.group set",
    ),
    form("group, cut", Kind.GROUP, "4.19", "", "Tasks in /", r".*", is_cut=True),
    form(
        "reaped",
        Kind.REAPED,
        "4.6",
        "",
        "oom_reaper: reaped process ",
        r"(?P<pid>\d+) \((?P<comm>.*)\)(?:, now.*)?",
    ),
    form(
        "unreaped", Kind.UNREAPED, "4.6", "", "oom_reaper: unable to reap ", r"pid:(?P<pid>\d+) .*"
    ),
    form("no killable", Kind.NO_KILLABLE, "4.19", "", f"{_GLOBAL} and no killable ", r"proc.*"),
    *(
        form(name, Kind.PANIC, since, until, "Kernel panic - not syncing: ", f"(?P<text>{text})")
        for name, since, until, text in (
            ("panic, none", "2.6", "4.18", r"Out of memory and no killable processes\.\.\."),
            ("panic, deadlock", "4.19", "", "System is deadlocked on memory"),
            ("panic_on_oom", "2.6", "", r"[Oo]ut of memory[:.].*"),
        )
    ),
    # 2.6.20 ended no line, so several of its messages may stand in one.
    form(
        "kill 2.6.20",
        Kind.KILL,
        "2.6.20",
        "2.6.3x",
        f"{_GLOBAL}: kill process ",
        r"(?P<pid>\d+) \((?P<comm>[^)]*)\) score (?P<score>\d+) or a child",
    ),
)
"""In the order in which they are tried: what says most comes first."""
