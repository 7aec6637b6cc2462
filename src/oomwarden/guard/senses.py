"""Opens what can be read and done on this machine, and names what is missing, with its price."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable

from oomwarden.config.schema import Level
from oomwarden.errors import NotPermittedError, UnsupportedError
from oomwarden.kernel.capabilities import Capability, effective_capabilities
from oomwarden.kernel.meminfo import MeminfoFile
from oomwarden.kernel.psi import PsiFile, PsiTrigger
from oomwarden.model import Sample, Sense, SenseState
from oomwarden.policy.level import thresholds

# For mypy alone: it is loaded only where some level asks for more than memory and pressure.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.guard.deep import DeepSenses


class Senses:
    """What the guard can read of the machine; ``states`` tells what works and what does not.

    Only /proc/meminfo is essential. Whatever else is missing leaves the rest at work.
    """

    def __init__(self, root: str, arm: Callable[[str], PsiTrigger] = PsiTrigger) -> None:
        """Open all there is below ``root``; ``arm`` sets a pressure trigger up there.

        Raises UnsupportedError or NotPermittedError without /proc/meminfo.
        """
        self._arm = arm
        self._root = root
        self._deep: DeepSenses | None = None
        self.states: dict[Sense, SenseState] = {}
        self._news: list[SenseState] = []
        try:
            self._meminfo = MeminfoFile(root)
            self._meminfo.read()
        except FileNotFoundError:
            message = "/proc/meminfo does not exist: is /proc mounted?"
            raise UnsupportedError(message) from None
        except PermissionError:
            message = "/proc/meminfo cannot be read: run oomwarden outside this sandbox"
            raise NotPermittedError(message) from None
        self._psi = self._open_psi(root)
        self.trigger = self._arm_trigger(root) if self._psi else None
        self._look_at_capabilities(root)

    def ask(self, levels: Iterable[Level]) -> None:
        """Read from now on what these levels ask for, and no more."""
        if self._deep is not None:
            self._deep.close()
            self._deep = None
        for sense in (Sense.RECLAIM, Sense.CGROUPS):
            self.states.pop(sense, None)
        leaves = [leaf for level in levels for leaf in thresholds(level.when)]
        if any(leaf.is_deep for leaf in leaves):
            from oomwarden.guard.deep import DeepSenses

            self._deep = DeepSenses(self._root, leaves, self._note)

    def sample(self, now: float, *, is_calm: bool = True) -> Sample:
        """Take one reading; ``now`` is in seconds of CLOCK_MONOTONIC.

        In calm nothing is read that is asked for above it only.
        """
        psi = None
        if self._psi is not None:
            try:
                psi = self._psi.read()
            except OSError as error:
                self._lose(self._psi, error)
        if self._deep is not None:
            memory = self._meminfo.read()
            deep = self._deep.read(self._meminfo, memory, is_calm=is_calm)
            return Sample(now, memory, psi, deep)
        return Sample(now, self._meminfo.read(), psi)

    def texts(self) -> tuple[MeminfoFile, Callable[[], bytes], bytes]:
        """Tell where memory is read, how the text of PSI is, and what that said last."""
        if self._psi is None:
            return self._meminfo, bytes, b""
        return self._meminfo, self._psi.read_text, self._psi.said

    def note(self, sense: Sense, detail: str, *, works: bool) -> None:
        """Remember how one sense fares."""
        state, before = SenseState(sense, works, detail), self.states.get(sense)
        self.states[sense] = state
        if before is not None and before.works != works:
            self._news.append(state)

    def take_news(self) -> list[SenseState]:
        """Take what was lost, or is there again, since the last time."""
        if not self._news:
            return self._news
        news, self._news = self._news, []
        return news

    def _note(self, sense: Sense, detail: str, works: bool) -> None:  # noqa: FBT001 - a callback
        self.note(sense, detail, works=works)

    def close(self) -> None:
        """Give all descriptors back."""
        for file in (self._meminfo, self._psi, self.trigger, self._deep):
            if file is not None:
                file.close()

    def _lose(self, psi: PsiFile, error: OSError) -> None:
        self.note(Sense.PSI, f"lost: {error.strerror}", works=False)
        psi.close()
        self._psi = None

    def _open_psi(self, root: str) -> PsiFile | None:
        price = "levels rest on available memory and swap alone"
        try:
            psi = PsiFile(root)
        except OSError as error:
            cause = {
                errno.ENOENT: "there is none: it takes Linux 4.20, and psi=1 where it is off",
                errno.EOPNOTSUPP: "it is switched off: boot with psi=1",
            }.get(error.errno or 0, error.strerror)
            self.note(Sense.PSI, f"{cause}; {price}", works=False)
            return None
        self.note(Sense.PSI, "/proc/pressure/memory", works=True)
        return psi

    def _arm_trigger(self, root: str) -> PsiTrigger | None:
        try:
            trigger = self._arm(root)
        except OSError as error:
            price = "pressure is seen at the next look, up to 4 s later"
            self.note(Sense.PSI_TRIGGER, f"{error.strerror}; {price}", works=False)
            return None
        window_seconds = trigger.window_us / 1e6
        self.note(Sense.PSI_TRIGGER, f"window of {window_seconds:g} s", works=True)
        return trigger

    def _look_at_capabilities(self, root: str) -> None:
        mine = effective_capabilities(root)
        if Capability.SYS_RESOURCE in mine:
            self.note(Sense.LOWER_SCORES, "CAP_SYS_RESOURCE", works=True)
        else:
            price = "nothing can be protected, only sacrificed by scores above 0"
            self.note(Sense.LOWER_SCORES, f"CAP_SYS_RESOURCE is missing; {price}", works=False)
        if os.geteuid() == 0 or Capability.DAC_OVERRIDE in mine:
            self.note(Sense.OTHER_USERS, "all processes", works=True)
        else:
            detail = "not root; only your own processes can be adjusted"
            self.note(Sense.OTHER_USERS, detail, works=False)
