"""Processes that have just become what they are: told by the kernel, at once or a moment later."""

from __future__ import annotations

from oomwarden.guard.events import Events
from oomwarden.kernel.process_events import Births, ProcessEvents
from oomwarden.policy.settle import Settling, advance


def describe(buffer_kib: int, overruns: int = 0) -> str:
    """Say how well births are heard of, and how often some were missed."""
    heard = f"every exec, at once; buffer of {buffer_kib} KiB"
    return f"{heard}, overrun {overruns}x: then everybody is read" if overruns else heard


class Newborns:
    """The proc connector in the guard's poll set.

    In a storm it is taken out of the set while births gather: an overrun of its buffer would
    wake us over and over, whatever else is masked.
    """

    def __init__(self, source: ProcessEvents, events: Events, now: float) -> None:
        """Watch it from now on."""
        self._source = source
        self._events = events
        self._settling = Settling(at_monotonic=now)
        self.due_at: float | None = None
        """When births that gather will be looked at; None while each is looked at at once."""
        self.overruns = 0
        """How often there were more births than the kernel kept for us."""
        events.watch(source.fileno())

    def describe(self) -> str:
        """Say how well births are heard of by now."""
        return describe(self._source.buffer_kib, self.overruns)

    def collect(self, ready: set[int], now: float) -> Births | None:
        """Tell who was born, if it is time to; ``ready`` are the descriptors of this wake-up."""
        if self.due_at is None:
            if self._source.fileno() not in ready:
                return None
        elif now < self.due_at:
            return None
        births = self._source.read()
        self.overruns += births.lost
        self._settling = advance(self._settling, len(births.at_ns), now)
        was_gathering = self.due_at is not None
        seconds = self._settling.seconds
        self.due_at = now + seconds if seconds else None
        if self.due_at is not None and not was_gathering:
            self._events.drop(self._source.fileno())
        elif self.due_at is None and was_gathering:
            self._events.watch(self._source.fileno())
        return births

    def without_source(self, ready: set[int]) -> set[int]:
        """Leave out the connector's own descriptor."""
        return ready - {self._source.fileno()}
