"""The drill itself: each step in its order, told as soon as it is over."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn, Protocol

from oomwarden.drill import chain
from oomwarden.drill.chain import LIMIT_KIB, Finding, Guarded, State, Step
from oomwarden.drill.child import Child, outgrow
from oomwarden.drill.evidence import Evidence
from oomwarden.drill.site import Site
from oomwarden.errors import ExitCode, OomwardenError
from oomwarden.kernel.meminfo import MeminfoFile
from oomwarden.kernel.oom_killer import panics_at_every_kill
from oomwarden.kernel.scratch_cgroup import ScratchCgroup
from oomwarden.kill import Episode, Kill
from oomwarden.wording import size

ALL_SECONDS = 30
"""After so long it is over, whatever was seen by then."""

_KILL_SECONDS = 15.0
_LOG_SECONDS = 5.0
_ACCOUNTS_SECONDS = 3.0
_ASK_AGAIN_SECONDS = 0.2
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Guard(Protocol):
    """The guard of this machine, as far as a drill asks it."""

    def seen(self) -> Guarded | None:
        """Tell who it is; None where none runs."""

    def incident(self, kill: Kill, group: str) -> str | None:
        """Name the incident of a kill in a cgroup of that name; None where there is none yet."""

    def alerted(self) -> chain.Alerted | None:
        """Tell who has heard of that incident; None if nobody is to."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """What a drill needs, and found."""

    site: Site
    evidence: Evidence
    has_swap: bool


class Rehearsal:
    """One drill on the machine below ``root``, which is ``/`` except in tests."""

    def __init__(self, root: str, guard: Guard, tell: Callable[[Step], None]) -> None:
        """Prepare; nothing is made yet. Every step is handed to ``tell``."""
        self.steps: list[Step] = []
        self.found: tuple[Episode, Kill] | None = None
        """The kill as the log told it."""
        self._root = root
        self._guard = guard
        self._tell = tell
        self._began = time.monotonic()
        self._ready: _Ready | None = None

    def run(self) -> ExitCode:
        """Go through all steps and tell what the command ends with.

        SIGINT, SIGTERM and SIGHUP end it early (SystemExit), after all was removed.
        """
        with ExitStack() as opened, _ended_by_signals() as hold_signals:
            self._step("ready", lambda: self._prepare(opened))
            if self._ready is not None:
                try:
                    self._follow(self._ready)
                finally:
                    hold_signals()
                    self._ready.site.undo()
                remains = self._ready.site.remains
                self._step("removed", lambda: chain.judge_removal(remains))
        return chain.exit_code(self.steps)

    def _prepare(self, opened: ExitStack) -> Finding:
        """See that a drill is possible and does no harm, before anything is made."""
        site = Site(self._root, ALL_SECONDS)
        opened.callback(site.undo)
        meminfo = MeminfoFile(self._root)
        opened.callback(meminfo.close)
        memory = meminfo.read()
        refusal = chain.judge_room(memory, panics=panics_at_every_kill(self._root))
        if refusal is not None:
            return refusal
        evidence = Evidence(self._root)
        opened.callback(evidence.close)
        self._ready = _Ready(site, evidence, has_swap=memory.swap_total_kib > 0)
        detail = f"the kernel log can be read, {size(memory.available_kib)} of memory are available"
        return Finding(State.OK, detail)

    def _follow(self, ready: _Ready) -> None:
        """Make, let grow, look. What only looks goes on where the step before it has failed."""
        site, evidence = ready.site, ready.evidence
        if not self._step("group", lambda: site.make(has_swap=ready.has_swap)):
            return
        child = Child(outgrow(LIMIT_KIB), ALL_SECONDS)
        if not self._step("child", lambda: site.put(child)):
            return
        guard = self._guard.seen()
        if not self._step("kill", lambda: self._grow(child, evidence, site.group)):
            return
        self._step("log", lambda: self._read_log(evidence, child.pid, site.group.name))
        self._step("accounts", lambda: self._compare(evidence, site.group))
        self._step("incident", lambda: self._look_for_incident(guard, site.group.name))
        self._step("alert", self._look_for_alert)

    def _grow(self, child: Child, evidence: Evidence, group: ScratchCgroup) -> Finding:
        evidence.begin(group)
        seconds = self._at_most(_KILL_SECONDS)
        child.go()
        return chain.judge_end(child.wait(seconds), child.pid, seconds=seconds)

    def _read_log(self, evidence: Evidence, pid: int, group: str) -> Finding:
        seconds = self._at_most(_LOG_SECONDS)
        self.found = evidence.follow(pid, group, time.monotonic() + seconds)
        return chain.judge_log(self.found, pid, seconds=seconds)

    def _compare(self, evidence: Evidence, group: ScratchCgroup) -> Finding:
        own = self.found[0] if self.found else None
        until = time.monotonic() + self._at_most(_ACCOUNTS_SECONDS)
        return chain.judge_accounts(evidence.reconcile(group, own, until))

    def _look_for_incident(self, guard: Guarded | None, group: str) -> Finding:
        began, incident = time.monotonic(), None
        if guard is not None and not guard.is_dry_run and self.found is not None:
            kill = self.found[1]
            while (incident := self._guard.incident(kill, group)) is None:
                if self._at_most(ALL_SECONDS) <= 0:
                    break
                time.sleep(_ASK_AGAIN_SECONDS)
        return chain.judge_incident(guard, incident, seconds=time.monotonic() - began)

    def _look_for_alert(self) -> Finding:
        began = time.monotonic()
        while (alerted := self._guard.alerted()) is not None and not alerted.is_settled:
            if self._at_most(ALL_SECONDS) <= 0:
                break
            time.sleep(_ASK_AGAIN_SECONDS)
        return chain.judge_alert(alerted, seconds=time.monotonic() - began)

    def _at_most(self, seconds: float) -> float:
        """Tell how much of this time is left of the time for all."""
        return max(0.0, min(seconds, self._began + ALL_SECONDS - time.monotonic()))

    def _step(self, name: str, act: Callable[[], Finding]) -> bool:
        """Take a step, and tell how it ended; False if it failed."""
        try:
            finding = act()
        except OomwardenError as error:
            finding = Finding(State.FAILED, str(error), exit_code=error.exit_code)
        except PermissionError as error:
            detail = f"{error}; run it as root"
            finding = Finding(State.FAILED, detail, exit_code=ExitCode.NOT_PERMITTED)
        except OSError as error:
            finding = Finding(State.FAILED, str(error))
        step = Step(name, time.monotonic() - self._began, finding)
        self.steps.append(step)
        self._tell(step)
        return finding.state is not State.FAILED


@contextmanager
def _ended_by_signals() -> Iterator[Callable[[], None]]:
    """Let signals end the drill in good order; hands out what holds them off for good."""

    def hold() -> None:
        # Whoever wants it to end has said so: a second time would only leave things behind.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        hold()
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in _SIGNALS}
    try:
        yield hold
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
