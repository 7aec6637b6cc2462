"""``drill``."""

from __future__ import annotations

import os
import sys

from oomwarden.cli.in_force import ask_guard
from oomwarden.cli.output import say, say_json
from oomwarden.drill.chain import Alerted, Guarded, State, Step
from oomwarden.drill.rehearsal import Rehearsal
from oomwarden.errors import OomwardenError
from oomwarden.incidents.failures import StoreError
from oomwarden.incidents.listing import Filter, Listed
from oomwarden.incidents.outbox import UNANSWERED, TargetState, read_posted, read_targets
from oomwarden.incidents.places import places_to_read
from oomwarden.incidents.posting import State as PostState
from oomwarden.incidents.reading import Incidents, find
from oomwarden.kill import Kill
from oomwarden.wording import printable

_MARKS = {State.OK: "ok", State.FAILED: "FAILED", State.SKIPPED: "-"}
_NEWEST = 100
"""So many incidents are looked at: the drill's own is seconds old."""


def drill(*, as_json: bool) -> int:
    """Kill a process of our own, follow the kill through all that we do, and tell each step."""
    rehearsal = Rehearsal("/", _Guard(), _keep_quiet if as_json else _say_step)
    code = rehearsal.run()
    if as_json:
        say_json(_as_json(rehearsal))
        return code
    for state in (State.FAILED, State.SKIPPED):
        for step in rehearsal.steps:
            if step.finding.state is state and step.finding.advice:
                say(printable(f"{step.name}: {step.finding.advice}"))
    say(_conclusion(rehearsal.steps))
    return code


class _Guard:
    """The guard that runs on this machine, and what it has recorded."""

    def __init__(self) -> None:
        """Know of no incident yet."""
        self._found: tuple[str, int] | None = None

    def seen(self) -> Guarded | None:
        """Ask it."""
        try:
            status = ask_guard("status")
        except OomwardenError:
            return None
        return Guarded(int(status["pid"]), is_dry_run=bool(status["dry_run"]))

    def incident(self, kill: Kill, group: str) -> str | None:
        """Look into the store."""
        try:
            path = find(places_to_read(os.environ, os.geteuid()))
            if path is None:
                return None
            incidents = Incidents(path)
        except StoreError:
            # The guard may be about to make it.
            return None
        try:
            newest = incidents.listed(Filter(most=_NEWEST))
        except StoreError:
            return None
        finally:
            incidents.close()
        ids = [each.id for each in newest if _is_of(each, kill, group)]
        if not ids:
            return None
        self._found = path, ids[-1]
        return f"incident {ids[-1]} of {path}"

    def alerted(self) -> Alerted | None:
        """Look into the outbox."""
        if self._found is None:
            return None
        path, id_ = self._found
        try:
            posted = read_posted(path, 1, id_)
            states = {state.name: state for state in read_targets(path)}
        except StoreError:
            return None
        if not posted:
            return None
        sent, waiting, failed = [], [], []
        for delivery in posted[0].deliveries:
            state = states.get(delivery.target)
            if delivery.state is PostState.SENT:
                sent.append(delivery.target)
            elif delivery.why is not None:
                failed.append((delivery.target, delivery.why))
            elif state is not None and state.failures and not _is_under_way(state):
                failed.append((delivery.target, state.error or "?"))
            else:
                waiting.append(delivery.target)
        return Alerted(tuple(sent), tuple(waiting), tuple(failed))


def _is_under_way(state: TargetState) -> bool:
    """Whether a courier has said that it tries, and has not said what came of it."""
    return state.error == UNANSWERED


def _is_of(incident: Listed, kill: Kill, group: str) -> bool:
    """Whether it is about this kill: by its cgroup, of which there never is another."""
    if incident.memcg is not None:
        return group in incident.memcg.split("/")
    return (incident.pid, incident.comm) == (kill.pid, kill.comm)


def _keep_quiet(_step: Step) -> None:
    """JSON comes as one document, at the end."""


def _say_step(step: Step) -> None:
    finding = step.finding
    mark = _MARKS[finding.state]
    say(printable(f"{step.at_seconds:6.2f} s  {step.name:<9} {mark:<7} {finding.detail}"))
    # The next may take seconds: whoever reads from a pipe wants this one now.
    sys.stdout.flush()


def _conclusion(steps: list[Step]) -> str:
    names = {state: [s.name for s in steps if s.finding.state is state] for state in State}
    seconds = f"{steps[-1].at_seconds:.1f} s"
    if names[State.FAILED]:
        return f"the chain broke at {' and '.join(names[State.FAILED])}, after {seconds}"
    if names[State.SKIPPED]:
        left_out = ", ".join(names[State.SKIPPED])
        return f"the chain held as far as it goes here, in {seconds}; left out: {left_out}"
    return f"the whole chain held, in {seconds}"


def _as_json(rehearsal: Rehearsal) -> dict[str, object]:
    kill = rehearsal.found[1] if rehearsal.found else None
    return {
        "schema": 1,
        "held": all(step.finding.state is not State.FAILED for step in rehearsal.steps),
        "steps": [
            {
                "name": step.name,
                "state": step.finding.state.value,
                "at_seconds": round(step.at_seconds, 3),
                "detail": step.finding.detail,
                "advice": step.finding.advice or None,
            }
            for step in rehearsal.steps
        ],
        "kill": {"pid": kill.pid, "comm": kill.comm, "memcg": kill.memcg} if kill else None,
    }
