"""What this guard has had recorded of kills, and how the store has taken it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from oomwarden.guard import narrate
from oomwarden.guard.control import Json
from oomwarden.guard.recorder import Failed, Known, Lost, Recorded, Recorder, SetAside
from oomwarden.guard.scribe import Scribe
from oomwarden.guard.senses import Senses
from oomwarden.incidents.past import Accounted

# For mypy alone: they are loaded with the first kill.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.incidents.incident import Incident
    from oomwarden.kill import Episode


class Entries:
    """Counts what is handed to the recorder, and tells what became of it.

    ``kills`` are the processes of the incidents of this guard, by how they are accounted for.
    """

    def __init__(self, recorder: Recorder | None, scribe: Scribe | None, senses: Senses) -> None:
        """Begin with nothing; without a recorder kills are only told."""
        self._recorder = recorder
        self._scribe = scribe
        self._senses = senses
        self.kills: Counter[str] = Counter()
        self._scopes: Counter[str] = Counter()
        self._last: Json | None = None

    def note_scopes(self, episode: Episode) -> None:
        """Count whose limits were hit."""
        for kill in episode.kills:
            self._scopes[kill.scope or "unknown"] += 1

    def record(self, incident: Incident, explains: dict[str, int], kills: int) -> None:
        """Have an incident of so many processes recorded, and what it ``explains`` put right."""
        self.kills[incident.accounted] += kills
        self._last = {
            "key": incident.key,
            "id": None,
            "at_unix": incident.at_unix,
            "accounted": incident.accounted.value,
            "kills": kills,
        }
        if self._recorder is not None:
            self._recorder.record(incident, explains)

    def take_answers(self, now: float) -> Iterator[Known | Failed]:
        """Tell of what the store has answered; hand on what kills are accounted for by."""
        for result in self._recorder.attend() if self._recorder is not None else ():
            match result:
                case Known():
                    yield result
                case Failed():
                    narrate.store_failed(result.why)
                    yield result
                case SetAside():
                    narrate.store_set_aside(result.path, result.why)
                case Lost():
                    narrate.incidents_lost(len(result.incidents), result.why)
                case Recorded():
                    self._note_recorded(result, now)
        self.note_store(now)

    def note_store(self, now: float) -> None:
        """Bring the sense of the store up to date."""
        if self._recorder is not None:
            state = self._recorder.state(now)
            self._senses.note(state.sense, state.detail, works=state.works)

    def status(self) -> Json:
        """Tell what was recorded, of what this guard was the first to see."""
        return {
            "seen": {state.value.replace(" ", "_"): self.kills[state] for state in Accounted},
            "scopes": dict(self._scopes),
            "last": self._last,
        }

    def _note_recorded(self, result: Recorded, now: float) -> None:
        if self._last is not None and self._last["key"] == result.key:
            if result.id is not None:
                narrate.recorded(result.id)
            self._last["id"] = result.id
        if result.id is not None and self._scribe is not None:
            self._scribe.want(now)
