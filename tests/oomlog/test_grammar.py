"""Every form of every line is the one that its sample is recognised by."""

from __future__ import annotations

import re
import time

import pytest
from tests.oomlog.writer import ERAS, Era, seen_by, write

from oomwarden.kill import Episode, Kill, Scope
from oomwarden.oomlog.forms import Form, Kind
from oomwarden.oomlog.grammar import FORMS
from oomwarden.oomlog.recognise import LONGEST_TEXT, recognise, recognise_as, run_together

_SIZES = "total-vm:188228kB, anon-rss:4240kB, file-rss:388kB"
_SHMEM = f"{_SIZES}, shmem-rss:12kB"
_GLOBAL = "Out of memory"
_MEMCG = "Memory cgroup out of memory"
_ALLOCATING = "Out of memory (oom_kill_allocating_task)"

SAMPLES = {
    "boot": "Linux version 6.1.0-31-amd64 (debian-kernel@lists.debian.org) #1 SMP",
    "sysrq 2.6": "SysRq : Manual OOM execution",
    "sysrq 4.2": "sysrq: SysRq : Manual OOM execution",
    "sysrq 4.20": "sysrq: Manual OOM execution",
    "sysrq ignored": "sysrq: OOM request ignored. No task eligible",
    "invoked el6": "sshd invoked oom-killer: gfp_mask=0x200d2, order=0, oom_adj=0, oom_score_adj=0",
    "invoked 3.10": "ruby invoked oom-killer: gfp_mask=0x24000c0, order=0, oom_score_adj=876",
    "invoked 4.6, 5.0": "CPU 0/KVM invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=-1,"
    " oom_score_adj=0",
    "invoked 4.9": "tmux: server invoked oom-killer: gfp_mask=0x14200ca(GFP_HIGHUSER_MOVABLE),"
    " nodemask=(null),  order=0, oom_score_adj=0",
    "invoked, cut": "mem_on_node0 invoked oom-killer",
    "cpuset": "ruby cpuset=/ mems_allowed=0-1",
    "stack el6": "Pid: 6607, comm: ruby Tainted: G           --------------- H  2.6.32-431.el6 #1",
    "stack 3.10": "CPU: 4 PID: 29481 Comm: sed Kdump: loaded Not tainted 4.18.0-147.el8 #1",
    "stack 6.11": "CPU: 1 UID: 0 PID: 337 Comm: a b Tainted: G S         OE      6.12.0 #1 Debian",
    "stack, cut": "CPU: 5 PID: 9068 Comm: syz-executor.0 Not",
    "task in": "Task in /a/b killed as a result of limit of /a",
    "task in, cut": "Task in /a/b",
    "limit reached": "Memory limit reached of cgroup /a",
    "usage of memory": "memory: usage 980kB, limit 980kB, failcnt 4152239",
    "usage of memory+swap": "memory+swap: usage 0kB, limit 18014398509481983kB, failcnt 0",
    "usage of kmem": "kmem: usage 4kB, limit 9007199254740988kB, failcnt 0",
    "usage of swap": "swap: usage 2112kB, limit 9007199254740988kB, failcnt 0",
    "stats 3.10": "Memory cgroup stats for /a: cache:0KB rss:980KB rss_huge:0KB",
    "stats 5.3": "Memory cgroup stats for /a:\nanon 66846720\nfile 0\nkernel_stack 16384",
    "stat": "anon 66846720",
    "protection": "Memory cgroup min protection 0kB -- low protection 12kB",
    "mem-info": "Mem-Info:",
    "mem-info pairs": " active_file:29 inactive_file:186 isolated_file:0",
    "mem-info count": "44659 total pagecache pages",
    "free swap": "Free swap  = 84kB",
    "total swap": "Total swap = 25165820kB",
    "title": "Tasks state (memory values in pages):",
    "header 2.6": "[ pid ]   uid  tgid total_vm      rss cpu oom_adj oom_score_adj name",
    "header 4.19": "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj"
    " name",
    "row": "[ 473206]   504 473206  7572670  2308581 60686336  5225427             0 doxygen",
    "summary": "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),global_oom,task=a,pid=1,uid=0",
    "summary tail ,cpuset=": ",cpuset=/,mems_allowed=0",
    "summary tail ,mems_allowed=": ",mems_allowed=0,global_oom",
    "summary tail ,oom_memcg=": ",oom_memcg=/a,task_memcg=/a",
    "summary tail ,global_oom": ",global_oom,task_memcg=/",
    "summary tail ,task": ",task=memcg_test_1,pid=11280,uid=0",
    **{
        f"kill, {start}": f"{start}: Kill process 7 ((sd-pam)) score 187000 or sacrifice child"
        for start in (_GLOBAL, _MEMCG, _ALLOCATING)
    },
    **{
        f"kill, cut, {start}": f"{start}: Kill process 7 (a"
        for start in (_GLOBAL, _MEMCG, _ALLOCATING)
    },
    **{
        f"killed 5.4, {start}": f"{start}: Killed process 7 (a) {_SHMEM}, UID:0 pgtables:9kB"
        " oom_score_adj:-998 "
        for start in (_GLOBAL, _MEMCG, _ALLOCATING)
    },
    **{
        f"killed 5.1, {start}": f"{start}: Killed process 7 (a) {_SHMEM}"
        for start in (_GLOBAL, _MEMCG, _ALLOCATING)
    },
    "killed 4.5": f"Killed process 7 (Web Content) {_SHMEM}",
    "killed 3.10": f"Killed process 7 (php) {_SIZES.replace(':', ': ', 1)}",
    "killed el7": f"Killed process 7 (a), UID 27, {_SHMEM}",
    "killed el6": f"Killed process 7, UID 27, (a) {_SIZES}",
    "killed, cut, Killed process ": "Killed process 7 (a) total-vm:37044kB, ",
    **{
        f"killed, cut, {start}: Killed process ": f"{start}: Killed process 7 (a) {_SHMEM}, UID:0"
        for start in (_GLOBAL, _MEMCG, _ALLOCATING)
    },
    "sharing": "Kill process 9 (b) sharing same memory",
    "pinned": "oom killer 8 (a) has mm pinned by 9 (b)",
    f"skipped, {_GLOBAL}": f"{_GLOBAL}: OOM victim 8 (java) is already exiting. Skip killing the"
    " task",
    f"skipped, {_MEMCG}": f"{_MEMCG}: OOM victim 8 (java) is already exiting. Skip killing the"
    " task",
    "group": "Tasks in /a b are going to be killed due to memory.oom.group set",
    "group, cut": "Tasks in /build are going to be killed due",
    "reaped": "oom_reaper: reaped process 7 (a), now anon-rss:0kB, file-rss:0kB, shmem-rss:444kB",
    "unreaped": "oom_reaper: unable to reap pid:7 (a)",
    "no killable": "Out of memory and no killable processes...",
    "panic, none": "Kernel panic - not syncing: Out of memory and no killable processes...",
    "panic, deadlock": "Kernel panic - not syncing: System is deadlocked on memory",
    "panic_on_oom": "Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled",
    "kill 2.6.20": "Out of memory: kill process 12475 (qemu) score 7899 or a child",
}
_MOST_SECONDS = 3.0
_BELOW = {Kind.CPUSET, Kind.STAT, Kind.MEM_PAIRS, Kind.MEM_COUNT, Kind.MEM_SWAP, Kind.ROW}


def test_every_form_has_a_sample() -> None:
    """A form that nothing hits would be a guess; a name is given once."""
    assert [form.name for form in FORMS if form.name not in SAMPLES] == []
    assert len({form.name for form in FORMS}) == len(FORMS) == len(SAMPLES)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_sample_is_recognised_by_its_form(form: Form) -> None:
    """None stands in the shadow of another."""
    sample = SAMPLES[form.name]
    below = form.kind in _BELOW and not form.start
    line = recognise_as(form.kind, sample) if below else recognise(sample)
    assert line is not None
    assert line.form.name == form.name


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_in_the_middle_of_a_record_it_is_somebody_elses_text(form: Form) -> None:
    """A mount option, a module's name, a USB device: others choose what the kernel prints."""
    sample = SAMPLES[form.name]
    for text in (
        f'EXT4-fs (vda): Unrecognized mount option "{sample}" or missing value',
        f"usb 1-1: Product: {sample}",
        f"systemd[1]: said: {sample}",
    ):
        assert recognise(text) is None


@pytest.mark.parametrize("era", ERAS, ids=str)
def test_what_a_version_prints_is_recognised_by_the_forms_of_its_time(era: Era) -> None:
    """No line of any version is taken for a cut one, but the two that end in another's line."""
    whole = Episode(
        kills=(
            Kill(
                7,
                comm="a",
                uid=0,
                task_memcg="/a",
                total_vm_kib=1,
                anon_rss_kib=1,
                file_rss_kib=0,
                shmem_rss_kib=0,
                pgtables_kib=4,
                oom_score_adj=0,
                score=5,
                reaped=True,
            ),
        ),
        scope=Scope.MEMCG,
        memcg="/a",
        trigger_comm="b",
        trigger_pid=8,
        trigger_oom_score_adj=0,
        gfp_mask="0xcc0",
        gfp_names="GFP_KERNEL",
        order=0,
        nodemask="(null)",
        cpuset="/",
        mems_allowed="0",
        memcg_usage={"memory_usage_kib": 1, "memory_failcnt": 0},
        memcg_stats_bytes={"rss": 1024},
    )
    lines = [recognise(record.text) for record in write(era, seen_by(era, whole))]
    kinds = {line.kind for line in lines if line is not None}
    assert [line.form.name for line in lines if line is not None and line.form.is_cut] == []
    assert {Kind.INVOKED, Kind.STACK, Kind.USAGE, Kind.STATS, Kind.HEADER, Kind.KILLED} <= kinds
    assert (Kind.SUMMARY in kinds, Kind.KILL in kinds) == (era.summary, era.kill_line)


@pytest.mark.parametrize(
    "text",
    [
        "Killed process [3002]: segfault at 0 ip 0000000000401136 sp 00007ffd error 6",
        "Out of memory: Killed processes are many",
        "Task dump for CPU 1:",
        "Tasks are frozen",
        "Memory: 16384K/16384K available",
        "CPU: 3 not responding",
        "oom_reaper: started",
        "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009",
        "OOM killer disabled.",
        "Huh VM_FAULT_OOM leaked out to the #PF handler. Retrying PF",
        "INFO: task gdbus:1963 blocked for 62 seconds.",
        "[ 123.456] nested stamp",
        "",
        " ",
    ],
)
def test_what_resembles_a_line_is_none(text: str) -> None:
    """Not every line with such words in it is the OOM killer's."""
    assert recognise(text) is None


def test_a_name_longer_than_any_is_not_a_name() -> None:
    """The kernel cuts names to 15 bytes; more of text is somebody's text."""
    rest = " invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"
    assert recognise("exactly-fifteen" + rest) is not None
    assert recognise("more-than-fifteen" + rest) is None
    # Escaped by rsyslog, or by the kernel: four characters for one byte.
    assert recognise("#033[31mfour#303#251#303#251" + rest) is not None
    assert recognise(r"\x1b[31mfour\xc3\xa9\xc3\xa9" + rest) is not None


def test_a_second_space_before_the_text_does_no_harm() -> None:
    """Seen on consoles of arm64."""
    line = recognise(f"  {SAMPLES['killed 5.4, Out of memory']}")
    assert line is not None
    assert line.match["pid"] == "7"


def test_a_number_that_may_be_cut_is_not_read() -> None:
    """The number that a line ends with could have had more digits."""
    whole = f"Out of memory: Killed process 4333 (a) {_SHMEM}, UID:1000 pgtables:68kB"
    for length in range(len("Out of memory: Killed process "), len(whole)):
        line = recognise(whole[:length])
        assert line is not None
        said = {name: text for name, text in line.match.groupdict().items() if text}
        truth = {
            "pid": "4333",
            "comm": "a",
            "vm": "188228",
            "anon": "4240",
            "file": "388",
            "shmem": "12",
            "uid5": "1000",
            "pgt": "68",
        }
        assert said.items() <= truth.items()


def test_messages_without_an_end_are_parted() -> None:
    """As 2.6.20 printed them."""
    kill = SAMPLES["kill 2.6.20"]
    assert run_together(f"Killed process 1 (a){kill}{kill}Killed process 2 (b)") == [
        "",
        "Killed process 1 (a)",
        kill,
        kill,
        "Killed process 2 (b)",
    ]
    assert run_together("Killed process 1 (a)") == []


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_no_text_is_slow_to_refuse(form: Form) -> None:
    """A pattern takes time in proportion to the text: some 0.1 ms for the longest."""
    sample = SAMPLES[form.name]
    fillers = (" ", ")", ",task=", "a:1 ", " Tainted: ", ") score 1", "0", ": a:1KB", "\n", "==")
    begun = time.process_time()
    for filler in fillers:
        text = (sample + filler * LONGEST_TEXT)[:LONGEST_TEXT] + "!"
        for _ in range(10):
            recognise(text)
            form.pattern.match(text)
    assert time.process_time() - begun < _MOST_SECONDS


def test_every_form_tells_its_versions() -> None:
    """The grammar is also the list of what changed when."""
    assert [form.name for form in FORMS if not re.search(r"\d\.\d", form.since)] == []


@pytest.mark.parametrize("digits", ["9" * 21, "9" * 5000, "٣٤"])
def test_a_number_that_no_kernel_prints(digits: str) -> None:
    """It is no number: Python would refuse to make one of thousands of digits."""
    line = recognise(f"Out of memory: Killed process {digits} (a) {_SHMEM}")
    assert line is None or line.match["pid"] is None
    line = recognise(f"Out of memory: Killed process 7 (a) total-vm:{digits}kB, anon-rss:1kB")
    assert line is not None
    assert line.match["vm"] is None
