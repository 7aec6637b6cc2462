"""A trace as the kernel prints it."""

from __future__ import annotations

from tests.benchmarks.tracing import Birth, read_births

TRACE = """\
# tracer: nop
#
# entries-in-buffer/entries-written: 6/6   #P:2
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
     bench-birth-700     [000] .....  4567.100000: sched_process_exec: filename=/t/bench-birth \
pid=700 old_pid=700
 bench birth: 1-701     [001] .....  4567.100250: sched_process_exec: filename=/t/bench-birth \
pid=701 old_pid=701
       oomwarden-650     [001] .....  4567.101500: oom_score_adj_update: pid=700 comm=bench-birth \
oom_score_adj=300
       oomwarden-650     [001] .....  4567.101900: oom_score_adj_update: pid=702 comm=other \
oom_score_adj=300
       oomwarden-650     [001] .....  4567.102000: oom_score_adj_update: pid=700 comm=bench-birth \
oom_score_adj=300
     bench-birth-700     [000] .....  4568.000000: sched_process_exec: filename=/t/bench-birth \
pid=700 old_pid=700
"""


def test_an_exec_is_joined_to_the_first_score_after_it() -> None:
    """By its pid, which may be another one's later; who got none has no latency."""
    births = read_births(TRACE)

    assert births == [
        Birth(700, 4567.1, 4567.1015),
        Birth(701, 4567.10025, None),
        Birth(700, 4568.0, None),
    ]
    assert [each.latency_ms is None for each in births] == [False, True, True]
    assert round(births[0].latency_ms or 0, 3) == 1.5


def test_an_empty_trace_has_no_births() -> None:
    """Nothing was started."""
    assert read_births(TRACE.partition("     bench")[0]) == []
