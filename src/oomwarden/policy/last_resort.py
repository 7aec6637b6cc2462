"""When to end a shortage ourselves, and when not to: a table, and what is read into it.

    phase      sign        then
    idle       early       held: a level's condition holds, not for long enough
    held       due         act
    grace      waiting     somebody was asked to end, and has time to
    grace      overdue     act again, harder
    settling   returning   the memory of the last one is still coming back
    settling   settled     cooling: nothing is done for a while
    cooling    over        idle

An act makes the very figures worse that it is judged by, for a while: averages of pressure lag,
memory comes back page by page, and what was evicted is read again. So after an act nothing is
judged until the process is gone and what is left has stopped growing, and then not until
``cooldown_seconds`` after the act.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto

from oomwarden.config.resorts import Action, LastResort

SETTLED_SECONDS = 1.0
"""What is left must have stopped growing for so long."""

GROWTH_PART = 200
"""It grows while it has become more by this part of all memory since it was last seen to."""

STUCK_SECONDS = 10.0
"""A process that has not ended by then, nor given any memory back, will not soon."""

RETRY_SECONDS = 1.0
"""Where there was nobody to act on, or it was refused."""

HOUR_SECONDS = 3600.0


class Phase(Enum):
    """What is going on."""

    IDLE = auto()
    HELD = auto()
    GRACE = auto()
    SETTLING = auto()
    COOLING = auto()


class Sign(Enum):
    """What a look at the machine means in a phase."""

    CALM = auto()
    EARLY = auto()
    SPENT = auto()
    DUE = auto()
    WAITING = auto()
    GONE = auto()
    OVERDUE = auto()
    EXPIRED = auto()
    RETURNING = auto()
    SETTLED = auto()
    OVER = auto()


class Order(Enum):
    """What is to be done now."""

    NOTHING = auto()
    ACT = auto()
    ESCALATE = auto()
    """What SIGTERM did not bring about, otherwise."""
    GIVE_UP = auto()
    """Somebody who was only to be asked has not ended."""


TABLE: dict[tuple[Phase, Sign], tuple[Phase, Order]] = {
    (Phase.IDLE, Sign.CALM): (Phase.IDLE, Order.NOTHING),
    (Phase.IDLE, Sign.EARLY): (Phase.HELD, Order.NOTHING),
    (Phase.IDLE, Sign.SPENT): (Phase.HELD, Order.NOTHING),
    (Phase.IDLE, Sign.DUE): (Phase.HELD, Order.ACT),
    (Phase.HELD, Sign.CALM): (Phase.IDLE, Order.NOTHING),
    (Phase.HELD, Sign.EARLY): (Phase.HELD, Order.NOTHING),
    (Phase.HELD, Sign.SPENT): (Phase.HELD, Order.NOTHING),
    (Phase.HELD, Sign.DUE): (Phase.HELD, Order.ACT),
    (Phase.GRACE, Sign.WAITING): (Phase.GRACE, Order.NOTHING),
    (Phase.GRACE, Sign.GONE): (Phase.SETTLING, Order.NOTHING),
    (Phase.GRACE, Sign.OVERDUE): (Phase.GRACE, Order.ESCALATE),
    (Phase.GRACE, Sign.EXPIRED): (Phase.COOLING, Order.GIVE_UP),
    (Phase.SETTLING, Sign.RETURNING): (Phase.SETTLING, Order.NOTHING),
    (Phase.SETTLING, Sign.SETTLED): (Phase.COOLING, Order.NOTHING),
    (Phase.COOLING, Sign.WAITING): (Phase.COOLING, Order.NOTHING),
    (Phase.COOLING, Sign.OVER): (Phase.IDLE, Order.NOTHING),
}


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen at a moment. ``held`` and ``enters`` are for each entry, in their order.

    ``held``: the level is in force and its condition holds by its limits to leave. ``enters``:
    it holds by those to enter. ``is_gone``: whom we acted on last has ended.
    """

    now: float
    held: tuple[bool, ...]
    enters: tuple[bool, ...]
    is_gone: bool
    left_kib: int
    total_kib: int


@dataclass(frozen=True, slots=True)
class ResortState:
    """All that is remembered. Times are in seconds of the looks' clock.

    ``held_since`` is for each entry, ``entry`` the number of the one that acted last. ``until``
    is when the grace or the cooldown ends, ``acts`` when there was one in the last hour, each
    with its entry's number. ``grown_kib`` is the most that has been left since the act, and
    ``grown_at`` when it was last seen to have grown.
    """

    phase: Phase = Phase.IDLE
    held_since: tuple[float | None, ...] = ()
    entry: int | None = None
    until: float = 0.0
    cool_at: float = 0.0
    acts: tuple[tuple[float, int], ...] = ()
    grown_kib: int = 0
    grown_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, by which entry, and for how long its level has held."""

    order: Order
    entry: int | None = None
    held_seconds: float = 0.0


def decide(
    state: ResortState, look: Look, entries: tuple[LastResort, ...]
) -> tuple[ResortState, Decision]:
    """Take one more look in; whoever gets an order must say what came of it.

    That is :func:`acted` or :func:`missed`; both must be told before the next look.
    """
    state = replace(
        state,
        held_since=_held_since(state, look, len(entries)),
        acts=tuple(act for act in state.acts if look.now - act[0] < HOUR_SECONDS),
    )
    state = _with_growth(state, look)
    sign, entry = _read(state, look, entries)
    phase, order = TABLE[state.phase, sign]
    if phase is Phase.SETTLING and state.phase is Phase.GRACE:
        state = replace(state, grown_kib=look.left_kib, grown_at=look.now)
    elif phase is Phase.COOLING and state.phase is not Phase.COOLING:
        state = replace(state, until=state.cool_at)
    state = replace(state, phase=phase)
    if order is Order.NOTHING or entry is None:
        return state, Decision(order, entry)
    since = state.held_since[entry]
    return state, Decision(order, entry, 0.0 if since is None else look.now - since)


def acted(
    state: ResortState, look: Look, entry: int, entries: tuple[LastResort, ...], *, asked: bool
) -> ResortState:
    """Remember that somebody was acted on; ``asked``: to end by himself (SIGTERM)."""
    chosen = entries[entry]
    is_first = state.phase is not Phase.GRACE
    return replace(
        state,
        phase=Phase.GRACE if asked else Phase.SETTLING,
        entry=entry,
        until=look.now + chosen.grace_seconds,
        cool_at=look.now + chosen.cooldown_seconds,
        acts=(*state.acts, (look.now, entry)) if is_first else state.acts,
        grown_kib=look.left_kib,
        grown_at=look.now,
    )


def missed(state: ResortState, now: float) -> ResortState:
    """Remember that nothing was done: nobody was there, or memory had just recovered."""
    return replace(state, phase=Phase.COOLING, until=max(state.cool_at, now + RETRY_SECONDS))


def carried_over(state: ResortState, count: int) -> ResortState:
    """Go on with another configuration: what was done still counts, for ``count`` entries.

    Acts are held against every entry then: whose they were cannot be told any more.
    """
    acts = tuple((at, -1) for at, _ in state.acts)
    entry = None if state.entry is None or state.entry >= count else state.entry
    phase = Phase.IDLE if state.phase is Phase.HELD else state.phase
    if phase is Phase.GRACE and entry is None:
        phase = Phase.SETTLING
    return replace(state, phase=phase, held_since=(None,) * count, entry=entry, acts=acts)


def remembered(acts: Iterable[tuple[float, str]], entries: tuple[LastResort, ...]) -> ResortState:
    """Begin with what guards before did: the time of each act, and its level.

    Acts of a level that has no entry any more are held against every entry. What was done last
    is still cooled down from.
    """
    numbers = {entry.level: number for number, entry in enumerate(entries)}
    known = tuple(sorted((at, numbers.get(level, -1)) for at, level in acts))
    state = ResortState(held_since=(None,) * len(entries), acts=known)
    if not known:
        return state
    at, number = known[-1]
    cools = [entry.cooldown_seconds for entry in entries]
    until = at + (max(cools, default=0.0) if number < 0 else cools[number])
    return replace(state, phase=Phase.COOLING, until=until, cool_at=until)


def _held_since(state: ResortState, look: Look, count: int) -> tuple[float | None, ...]:
    before = state.held_since or (None,) * count
    return tuple(
        (look.now if since is None else since) if is_held else None
        for since, is_held in zip(before, look.held, strict=True)
    )


def _with_growth(state: ResortState, look: Look) -> ResortState:
    """See whether memory is still coming back."""
    if state.phase is not Phase.SETTLING:
        return state
    if look.left_kib < state.grown_kib + max(look.total_kib // GROWTH_PART, 1):
        return state
    return replace(state, grown_kib=look.left_kib, grown_at=look.now)


def _read(
    state: ResortState, look: Look, entries: tuple[LastResort, ...]
) -> tuple[Sign, int | None]:
    match state.phase:
        case Phase.IDLE | Phase.HELD:
            return _read_levels(state, look, entries)
        case Phase.GRACE:
            return _read_grace(state, look, entries), state.entry
        case Phase.SETTLING:
            quiet = look.now - state.grown_at
            is_over = quiet >= (SETTLED_SECONDS if look.is_gone else STUCK_SECONDS)
            return Sign.SETTLED if is_over else Sign.RETURNING, None
        case Phase.COOLING:
            return Sign.OVER if look.now >= state.until else Sign.WAITING, None


def _read_levels(
    state: ResortState, look: Look, entries: tuple[LastResort, ...]
) -> tuple[Sign, int | None]:
    """Find the worst level that is due, or else what the worst that holds lacks."""
    found: Sign = Sign.CALM
    for number in range(len(entries) - 1, -1, -1):
        since = state.held_since[number]
        if since is None:
            continue
        if look.now - since < entries[number].after_seconds or not look.enters[number]:
            found = Sign.EARLY if found is Sign.CALM else found
        elif _count(state, number) >= entries[number].at_most:
            found = Sign.SPENT
        else:
            return Sign.DUE, number
    return found, None


def _count(state: ResortState, number: int) -> int:
    """Count what one entry did in the last hour, and what others before a reload did."""
    return sum(entry in {number, -1} for _, entry in state.acts)


def _read_grace(state: ResortState, look: Look, entries: tuple[LastResort, ...]) -> Sign:
    if look.is_gone:
        return Sign.GONE
    if look.now < state.until:
        return Sign.WAITING
    action = entries[state.entry].action if state.entry is not None else Action.TERMINATE
    return Sign.OVERDUE if action is Action.TERMINATE_THEN_KERNEL_OOM else Sign.EXPIRED
