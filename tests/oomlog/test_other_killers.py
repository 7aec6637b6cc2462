"""Kills by others than the kernel, as each version of theirs tells of them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomwarden.oomlog import other_forms
from oomwarden.oomlog.other_killers import (
    KILLER_OF,
    Hint,
    Killer,
    Line,
    OtherKill,
    OtherKillers,
    fold,
)

AT = 1_790_000_000_000_000
_UNIT = "/user.slice/user-1000.slice/user@1000.service"
_SCOPE = f"{_UNIT}/app.slice/app-code-892075.scope"
_PRESSURE = f"memory pressure for {_UNIT} being 59.83% > 50.00% for > 20s with reclaim activity"
_SWAP = (
    "memory used (16260780032) / total (16419115008) and swap used (29560922112) / total "
    "(32838500352) being more than 90.00%"
)
_LOW = "low memory! at or below SIGTERM limits: mem 10.00%, swap 15.00%"

# What was printed, and what it tells.
SAMPLES: list[tuple[str, list[str], OtherKill]] = [
    (
        "systemd-oomd",
        [
            "Considered 62 cgroups for killing, top candidates were:",
            f"        Path: {_SCOPE}",
            "oomd attempting to kill 63 with KILL",
            "oomd attempting to kill 66 with KILL",
            f"Killed {_SCOPE} due to {_PRESSURE}",
        ],
        OtherKill(Killer.OOMD, AT, place=_SCOPE, pids=(63, 66), how="SIGKILL", why=_PRESSURE),
    ),
    (
        "systemd-oomd",
        [f"Killed {_SCOPE} due to {_SWAP}"],
        OtherKill(Killer.OOMD, AT, place=_SCOPE, how="SIGKILL", why=_SWAP),
    ),
    (
        "systemd-oomd",
        [
            "oomd attempting to kill 407 with KILL",
            f"Marked /system.slice/a.service for killing due to {_PRESSURE}",
        ],
        OtherKill(
            Killer.OOMD,
            AT,
            place="/system.slice/a.service",
            pids=(407,),
            how="SIGKILL",
            why=_PRESSURE,
        ),
    ),
    (
        "earlyoom",
        [
            "Low Memory! At or below sigterm limits (mem: 10 %, swap: 10 %)",
            "mem avail:  644 of 5875 MiB (10 %), swap free:    0 of    0 MiB ( 0 %)",
            "Killing process 'bash' with signal 15, pid: 5874, badness: 538, VmRSS: 3160 MiB",
        ],
        OtherKill(
            Killer.EARLYOOM,
            AT,
            pid=5874,
            comm="bash",
            rss_kib=3160 * 1024,
            how="SIGTERM",
            why="Low Memory! At or below sigterm limits (mem: 10 %, swap: 10 %)",
        ),
    ),
    (
        "earlyoom",
        ['killing process 27541 "bash" with signal 9: badness 550, VmRSS 7609 MiB'],
        OtherKill(Killer.EARLYOOM, AT, pid=27541, comm="bash", rss_kib=7609 * 1024, how="SIGKILL"),
    ),
    (
        "earlyoom",
        [
            "low memory! at or below SIGTERM limits: mem 50 %, swap 10 %",
            'sending SIGTERM to process 12006 "python3": badness 209, VmRSS 2891 MiB',
            "escalating to SIGKILL after 2.4 seconds",
            "process exited after 2.8 seconds",
        ],
        OtherKill(
            Killer.EARLYOOM,
            AT,
            pid=12006,
            comm="python3",
            rss_kib=2891 * 1024,
            how="SIGTERM",
            why="low memory! at or below SIGTERM limits: mem 50 %, swap 10 %",
        ),
    ),
    (
        "earlyoom",
        [_LOW, 'sending SIGTERM to process 696 uid 1001 "ip "fs": badness -3, VmRSS 637 MiB'],
        OtherKill(
            Killer.EARLYOOM,
            AT,
            pid=696,
            comm='ip "fs',
            uid=1001,
            rss_kib=637 * 1024,
            how="SIGTERM",
            why=_LOW,
        ),
    ),
    (
        "earlyoom",
        [
            _LOW,
            (
                'sending SIGKILL to process 906175 uid 1000 "java": oom_score 1170, '
                'oom_score_adj 300, VmRSS 43912 MiB, cmdline "java -jar ": badness 1, VmRSS 9 MiB"'
            ),
        ],
        OtherKill(
            Killer.EARLYOOM,
            AT,
            pid=906175,
            comm="java",
            uid=1000,
            rss_kib=43912 * 1024,
            how="SIGKILL",
            why=_LOW,
        ),
    ),
    (
        "nohang",
        [
            "Memory status that requires corrective actions:",
            "  MemAvailable [383 MiB, 5.0 %] <= soft_threshold_min_mem [384 MiB, 5.0 %]",
            "  SwapFree [104 MiB, 5.1 %] <= soft_threshold_min_swap [205 MiB, 10.0 %]",
            "TOP printed in 1ms; process with highest badness:",
            "  PID: 903309, name: mysqld, badness: 849",
            "Implementing a corrective action:",
            "  Sending SIGTERM to the victim",
            "OK; total response time: 12ms",
            "The victim died in 0.055s",
        ],
        OtherKill(
            Killer.NOHANG,
            AT,
            pid=903309,
            comm="mysqld",
            how="SIGTERM",
            why="MemAvailable [383 MiB, 5.0 %] <= soft_threshold_min_mem [384 MiB, 5.0 %]",
        ),
    ),
    (
        "nohang-desktop",
        [
            "PSI avg (92.97) > soft_threshold_max_psi (90.0)",
            "Process with highest badness (found in 6 ms):",
            "PID: 477, Name: Xorg, badness: 12",
            "Implement a corrective action:",
            "Send SIGTERM to the victim; total response time: 13246 ms",
        ],
        OtherKill(
            Killer.NOHANG,
            AT,
            pid=477,
            comm="Xorg",
            how="SIGTERM",
            why="PSI avg (92.97) > soft_threshold_max_psi (90.0)",
        ),
    ),
    (
        "nohang",
        [
            "New victim is cached victim 12297 (tail (x))",
            "Implement a corrective action:",
            "  Run the command: kill -TERM 12297",
            "  Exit status: None; total response time: 7 ms",
        ],
        OtherKill(Killer.NOHANG, AT, pid=12297, comm="tail (x)", how="kill -TERM 12297"),
    ),
    (
        "kubelet",
        [
            (
                "W0120 00:20:07.726836 32406 eviction_manager.go:332] eviction manager: attempting"
                " to reclaim memory"
            ),
            (
                "I0120 00:20:07.726862 32406 eviction_manager.go:346] eviction manager: must evict"
                " pod(s) to reclaim memory"
            ),
            (
                "I0120 00:20:08.1 32406 eviction_manager.go:191] eviction manager: pods"
                " web-5d_shop(860629c4-fd5e-11e7-880c-6c626d3ed96f) evicted, waiting for pod to be"
                " cleaned up"
            ),
        ],
        OtherKill(
            Killer.KUBELET,
            AT,
            place="shop/web-5d",
            how="eviction",
            why="the node runs short of memory",
        ),
    ),
    (
        "k3s",
        [
            (
                'I0428 1:0:5 9 eviction_manager.go:387] "Eviction manager: must evict pod(s) to'
                ' reclaim" resourceName="memory"'
            ),
            (
                'I0428 1:0:6 9 eviction_manager.go:199] "Eviction manager: pods evicted, waiting'
                ' for pod to be cleaned up" pods=["default/mysql"]'
            ),
        ],
        OtherKill(
            Killer.KUBELET,
            AT,
            place="default/mysql",
            how="eviction",
            why="the node runs short of memory",
        ),
    ),
]


def _read(program: str, texts: list[str]) -> list[OtherKill | Hint]:
    killers = OtherKillers()
    found = [each for text in texts for each in killers.feed(Line(program, text, AT))]
    return found + killers.close()


@pytest.mark.parametrize(("program", "texts", "kill"), SAMPLES)
def test_what_each_of_them_prints(program: str, texts: list[str], kill: OtherKill) -> None:
    """One decision is one kill, with all that the lines around it tell."""
    assert _read(program, texts) == [kill]


def test_several_pods_of_one_eviction() -> None:
    """Each of them is named, in either form of a list."""
    texts = ['"Eviction manager: must evict pod(s) to reclaim" resourceName="memory"']
    head = '"Eviction manager: pods evicted, waiting for pod to be cleaned up"'

    quoted = _read("kubelet", [*texts, f'{head} pods=["a/b","c/d"]'])
    bare = _read("kubelet", [*texts, f"{head} pods=[a/b c/d]"])

    assert [each.place for each in quoted if isinstance(each, OtherKill)] == ["a/b", "c/d"]
    assert quoted == bare


@pytest.mark.parametrize(
    ("program", "texts"),
    [
        ("systemd-oomd", ["oomd dry-run: Would have tried to kill /a.slice with recurse=true"]),
        ("systemd-oomd", [f"Memory pressure for {_UNIT} is 64.15% > 1.00% for > 30s with reclaim"]),
        ("systemd-oomd", ["Failed to kill any cgroups based on swap: No such process"]),
        (
            "earlyoom",
            [
                "sending SIGTERM when mem <=  4.00% and swap <= 10.00%,",
                'sending 0 (no-op signal) to process 1 uid 0 "x": badness 3, VmRSS 5 MiB',
                "process exited after 0.1 seconds",
                "kill failed: Timer expired",
            ],
        ),
        (
            "earlyoom",
            [
                _LOW,
                'sending SIGTERM to process 1 uid 0 "x": badness 3, VmRSS 5 MiB',
                "dryrun, not actually sending any signal",
            ],
        ),
        (
            "nohang",
            [
                "  PID: 903309, name: mysqld, badness: 849",
                "  Sending SIGTERM to the victim",
                "Selected process died before corrective action",
            ],
        ),
        (
            "nohang",
            ["  Sending SIGTERM to the victim", "Cannot send a signal: PermissionError"],
        ),
        ("nohang", ["  [ OK ] Sending SIGTERM to mysqld: 3"]),
        (
            "kubelet",
            [
                '"Eviction manager: must evict pod(s) to reclaim" resourceName="ephemeral-storage"',
                '"Eviction manager: pods evicted, waiting for pod to be cleaned up" pods=["a/b"]',
            ],
        ),
        (
            # The second pod has filled its own disk: no word of a resource before it.
            "kubelet",
            ["eviction manager: pods b_a(uid) evicted, waiting for pod to be cleaned up"],
        ),
        ("kernel", [f"Killed {_SCOPE} due to {_PRESSURE}"]),
        ("earlyoom", [f"Killed {_SCOPE} due to {_PRESSURE}"]),
        ("bash", ['sending SIGTERM to process 12006 "python3": badness 209, VmRSS 2891 MiB']),
        ("systemd", ["a.service: Failed with result 'signal'."]),
        ("systemd", ["a.service: Main process exited, code=killed, status=9/KILL"]),
    ],
)
def test_what_is_no_kill(program: str, texts: list[str]) -> None:
    """Plans, trials, attempts that found nobody, other resources, and other writers."""
    assert _read(program, texts) == []


@pytest.mark.parametrize(
    "text",
    [
        "my.service: A process of this unit has been killed by the OOM killer.",
        "my.service: The kernel OOM killer killed some processes in this unit.",
        "my.service: systemd-oomd killed 12 process(es) in this unit.",
        "my.service: systemd-oomd killed some process(es) in this unit.",
        "my.service: Failed with result 'oom-kill'.",
    ],
)
def test_what_systemd_says_is_a_hint(text: str) -> None:
    """It knows the unit, and not who it was."""
    assert _read("systemd", [text]) == [Hint("my.service", AT, text)]


def test_a_line_that_never_came_does_not_hide_a_kill() -> None:
    """The signal of nohang was sent, even where the log ends there, or another follows."""
    texts = ["  PID: 1, name: a, badness: 8", "  Sending SIGKILL to the victim"] * 2

    found = _read("nohang", texts)

    assert [each.pid for each in found if isinstance(each, OtherKill)] == [1, 1]


def test_what_is_remembered_is_for_one_kill() -> None:
    """The next one does not inherit pids, reasons or resources."""
    for program, remembered, kill in (
        ("systemd-oomd", "oomd attempting to kill 63 with KILL", f"Killed {_SCOPE} due to {_SWAP}"),
        ("earlyoom", _LOW, 'sending SIGTERM to process 1 "a": badness 2, VmRSS 3 MiB'),
    ):
        first, second = _read(program, [remembered, kill, kill])

        assert isinstance(first, OtherKill)
        assert isinstance(second, OtherKill)
        assert (first.pids or first.why) in ((63,), _LOW)
        assert second == replace(first, pids=(), why=_SWAP if first.pids else None)


def test_attempts_at_one_process_are_one_kill() -> None:
    """A signal is sent again until the process is gone; a minute later it is another."""

    def kill(pid: int, seconds: int, how: str, comm: str = "ipfs") -> OtherKill:
        return OtherKill(Killer.EARLYOOM, AT + seconds * 1_000_000, pid=pid, comm=comm, how=how)

    kills = [
        kill(696, 0, "SIGTERM"),
        kill(7, 1, "SIGTERM"),
        kill(696, 10, "SIGKILL"),
        kill(696, 65, "SIGKILL"),
        kill(696, 66, "SIGKILL", "other"),
        kill(696, 500, "SIGTERM", "other"),
    ]

    assert fold(kills) == [kills[3], kills[1], kills[4], kills[5]]
    cgroup = OtherKill(Killer.OOMD, AT, place="/a")
    assert fold([cgroup, cgroup]) == [cgroup, cgroup]


def test_every_form_is_printed_by_somebody() -> None:
    """A pattern that no sample needs would be a guess."""
    forms = [
        form
        for value in vars(other_forms).values()
        for form in (value if isinstance(value, tuple) else (value,))
        if isinstance(form, re.Pattern)
    ]
    texts = [text for _, lines, _ in SAMPLES for text in lines]
    texts += [
        "Selected process died before corrective action",
        "dryrun, not actually sending any signal",
    ]
    texts += [
        "a.service: A process of this unit has been killed by the OOM killer.",
        "a.service: systemd-oomd killed 12 process(es) in this unit.",
        "a.service: Failed with result 'oom-kill'.",
    ]

    assert len(forms) > 15
    assert [form for form in forms if not any(map(form.search, texts))] == []


@given(st.lists(st.tuples(st.sampled_from([*KILLER_OF, "systemd"]), st.text()), max_size=5))
def test_any_text_is_read(lines: list[tuple[str, str]]) -> None:
    """Nothing that anybody writes is an error."""
    killers = OtherKillers()
    for program, text in lines:
        killers.feed(Line(program, text))
    killers.close()


@pytest.mark.parametrize("program", sorted(KILLER_OF))
def test_hostile_lines_take_linear_time(program: str) -> None:
    """A line of a megabyte that nearly fits is read as fast as any."""
    heads = {text[:30] for _, texts, _ in SAMPLES for text in texts}
    for head in heads:
        for filler in (" ", '"', '": badness 1', "0", "pods=", "/"):
            assert len(_read(program, [head + filler * (1_000_000 // len(filler))])) <= 1
