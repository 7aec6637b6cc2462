"""A play of levels: samples in, one after another, and the level in force after each."""

from __future__ import annotations

from hypothesis import settings

from oomwarden.config.schema import AllOf, AnyOf, Condition, Level, Metric, Origin, Threshold
from oomwarden.model import Memory, Psi, PsiLine, Sample, Transition
from oomwarden.policy.level import Ladder, LevelState, advance

moderate = settings(max_examples=40, deadline=None)
"""For properties: enough examples to find what is wrong, and no haste on a busy machine."""

HERE = Origin("test.yaml", 1)
TOTAL_KIB = 100_000
SWAP_TOTAL_KIB = 50_000


def sample(  # noqa: PLR0913, PLR0917 - every one of them is a number that a kernel gives
    at: float,
    available: float = 50,
    swap_free: float | None = None,
    some: float = 0,
    full: float = 0,
    some_us: int = 0,
    full_us: int = 0,
    *,
    has_psi: bool = True,
) -> Sample:
    """One reading at ``at`` seconds; memory, swap and averages in percent."""
    memory = Memory(
        total_kib=TOTAL_KIB,
        available_kib=int(TOTAL_KIB * available / 100),
        swap_total_kib=0 if swap_free is None else SWAP_TOTAL_KIB,
        swap_free_kib=0 if swap_free is None else int(SWAP_TOTAL_KIB * swap_free / 100),
    )
    psi = Psi(PsiLine(some, 0, 0, some_us), PsiLine(full, 0, 0, full_us))
    return Sample(at, memory, psi if has_psi else None)


def low_memory(enter: float, leave: float) -> Threshold:
    """The commonest condition: so many percent are available at most."""
    return Threshold(Metric.AVAILABLE_PERCENT, enter, leave)


def level(name: str, when: Condition, hold: float = 0, leave_after: float = 0) -> Level:
    """A level that was written nowhere."""
    return Level(name, when, hold, leave_after, HERE)


class Play:
    """Levels at work: ``state``, and every transition that there was."""

    def __init__(self, *levels: Level) -> None:
        """Begin at calm."""
        self.ladder = Ladder.of(levels)
        self.state = LevelState()
        self.transitions: list[Transition] = []

    def take(self, one: Sample) -> str:
        """Take one sample in; tell the level then in force."""
        self.state, transitions = advance(self.state, one, self.ladder)
        self.transitions += transitions
        return self.state.name

    def take_all(self, *samples: Sample) -> list[str]:
        """Take samples in; tell the level in force after each."""
        return [self.take(one) for one in samples]


def value_of(  # noqa: PLR0911 - one for each metric
    threshold: Threshold, samples: list[Sample]
) -> float | None:
    """What a threshold compares after all of ``samples``, computed as a person would."""
    last = samples[-1]
    memory, psi = last.memory, last.psi
    percent_of_swap = memory.swap_free_kib * 100 / (memory.swap_total_kib or 1)
    match threshold.metric:
        case Metric.AVAILABLE_PERCENT:
            return memory.available_kib * 100 / memory.total_kib
        case Metric.AVAILABLE:
            return memory.available_kib
        case Metric.SWAP_FREE_PERCENT:
            return percent_of_swap if memory.swap_total_kib else None
        case Metric.SWAP_FREE:
            return memory.swap_free_kib if memory.swap_total_kib else None
        case Metric.PSI_SOME_AVG10:
            return psi.some.avg10_percent if psi else None
        case Metric.PSI_FULL_AVG10:
            return psi.full.avg10_percent if psi else None
        case Metric.PSI_SOME_SHARE | Metric.PSI_FULL_SHARE:
            return _share_of(threshold, samples)
    raise AssertionError(threshold.metric)


def _share_of(threshold: Threshold, samples: list[Sample]) -> float | None:
    """The share of stall by the whole history, from the last gap in the pressure on."""
    points: list[tuple[float, int]] = []
    for each in samples:
        if each.psi is None:
            points.clear()
            continue
        is_some = threshold.metric is Metric.PSI_SOME_SHARE
        line = each.psi.some if is_some else each.psi.full
        points.append((each.at_monotonic, line.total_us))
    old = [point for point in points if points[-1][0] - point[0] >= threshold.window_ms / 1000]
    if not old:
        return None
    (then, before_us), (now, now_us) = old[-1], points[-1]
    return (now_us - before_us) / (now - then) / 10_000


def is_met(condition: Condition, samples: list[Sample], *, leaving: bool) -> bool:
    """Whether a condition holds after all of ``samples``."""
    if isinstance(condition, AnyOf):
        return any(is_met(each, samples, leaving=leaving) for each in condition.conditions)
    if isinstance(condition, AllOf):
        return all(is_met(each, samples, leaving=leaving) for each in condition.conditions)
    value = value_of(condition, samples)
    limit = condition.leave if leaving else condition.enter
    if value is None:
        return False
    return value >= limit if condition.metric.is_pressure else value <= limit
