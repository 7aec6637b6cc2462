"""Whom a last resort acts on, and whether the kernel can be left to choose.

The kernel chooses by badness alone: it knows no cgroup to stay within, and no rules that are to
be spared. So it is asked only where it is bound to choose one that we would choose as well.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from oomwarden.config.resorts import LastResort
from oomwarden.model import ProcessId
from oomwarden.policy.badness import Ranked

MARGIN_PART = 50
"""Sizes move between our look and the kernel's: by this part of what there is, at most."""


FRONT_POINTS = 50
"""Who is so near to the top by the kernel's own points is looked at: more than the margin."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The first that may be acted on; ``why_not_kernel`` is None where the kernel may choose."""

    ranked: Ranked
    why_not_kernel: str | None


def front(points: Mapping[int, int]) -> list[int]:
    """Pick the pids that can matter to who is first, by the kernel's points for each."""
    least = max(points.values(), default=0) - FRONT_POINTS
    return [pid for pid, each in points.items() if each >= least]


def choose(
    order: Sequence[Ranked],
    rules: Mapping[ProcessId, str],
    resort: LastResort,
    spared: Collection[int],
    total_pages: int,
) -> Choice | None:
    """Choose from those ranked by badness, first to die first; None: there is nobody.

    ``rules`` has the names of the rules that hold them; ``spared`` are pids that are never
    acted on, such as our own. With ``within`` the order is that of the cgroup's members.
    """
    mortal = [each for each in order if each.badness_pages is not None]
    never = set(resort.never)

    def is_spared(ranked: Ranked) -> bool:
        process = ranked.candidate.process.id
        return process.pid in spared or rules.get(process) in never

    first = next((each for each in mortal if not is_spared(each)), None)
    if first is None or first.badness_pages is None:
        return None
    why = None
    if resort.within is not None:
        why = f"it knows nothing of staying within {resort.within}"
    else:
        least = first.badness_pages - total_pages // MARGIN_PART
        near = [each for each in mortal if (each.badness_pages or 0) >= least]
        tempting = next((each for each in near if is_spared(each)), None)
        if tempting is not None:
            why = f"it might choose {tempting.candidate.process}, who is to be spared"
    return Choice(first, why)
