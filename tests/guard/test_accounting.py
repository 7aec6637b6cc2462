"""Accounts of a boot: what was counted is explained, or said not to be, and never twice."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from oomwarden.guard.accounting import GRACE_SECONDS, MOST_UNSETTLED, Accounting
from oomwarden.incidents.known import Known, Unexplained

BOOT = "6109efd9"
NOTHING = Known(BOOT, frozenset(), 0, {}, ())
LATER = GRACE_SECONDS + 1


def informed(known: Known = NOTHING) -> Accounting:
    """Accounts that begin with what a store tells."""
    accounts = Accounting(BOOT)
    accounts.inform(known)
    return accounts


def judged(accounts: Accounting, counted: int | None, now: float) -> int:
    """How many kills are found unexplained from ``now`` until the grace is over."""
    verdicts = [accounts.judge(counted, 0, at) for at in (now, now + LATER)]
    return sum(verdict[1] for verdict in verdicts if verdict)


def test_what_was_read_is_explained() -> None:
    """As many lines as the kernel counted: nothing is missing, and nothing is waited for."""
    accounts = informed()
    accounts.explain("a", 1, 1, 0)
    accounts.explain("b", 4, 5, 0)

    assert judged(accounts, 5, 100) == 0
    assert accounts.due_at is None
    assert (accounts.explained_lines, accounts.unexplained_kills) == (5, 0)


def test_a_kill_that_is_not_in_the_log_is_told_once() -> None:
    """After the grace, with a key of its own, and not again."""
    accounts = informed()

    assert accounts.judge(2, 0, 100.0) is None
    assert accounts.due_at == 100 + GRACE_SECONDS
    assert accounts.judge(2, 0, 100 + GRACE_SECONDS) == (f"{BOOT}:counted:2", 2)
    assert accounts.due_at is None
    assert judged(accounts, 2, 200) == 0
    assert judged(accounts, 3, 300) == 1


def test_the_log_may_lag_behind() -> None:
    """A line that comes within the grace was never missing."""
    accounts = informed()
    accounts.judge(1, 0, 100.0)
    accounts.explain("a", 1, 1, 0)

    assert judged(accounts, 1, 103) == 0


def test_in_a_storm_only_what_stays_missing_is_missing() -> None:
    """The count may run ahead of the log at many moments, but not at all of them."""
    accounts = informed()
    verdicts = []
    for number in range(40):
        counted = 2 * number + 1 + number % 3
        verdicts.append(accounts.judge(counted, 0, 100.0 + number))
        accounts.explain(str(number), 2, counted + 2, 0)

    # One kill of all these has never been read of.
    assert [verdict[1] for verdict in verdicts if verdict] == [1]


def test_lines_of_an_episode_that_goes_on_are_not_missing() -> None:
    """They have been read, though the episode is not complete."""
    accounts = informed()

    assert accounts.judge(2, 2, 100.0) is None
    assert accounts.due_at is None


def test_a_kernel_that_does_not_count_is_explained_by_its_log() -> None:
    """Nothing is missing where nothing is known."""
    accounts = informed()
    accounts.explain("a", 1, None, 0)

    assert judged(accounts, None, 100) == 0


def test_a_kernel_that_counts_less_than_it_prints_hides_nothing() -> None:
    """What comes later is held against what was too much before."""
    accounts = informed()
    accounts.explain("a", 3, 1, 0)

    assert judged(accounts, 1, 100) == 0
    assert judged(accounts, 2, 200) == 1


def test_guards_before_us_have_explained_theirs() -> None:
    """Also what the store has forgotten since; their episodes are no news."""
    accounts = informed(Known(BOOT, frozenset({"a"}), 5, {"/proc/vmstat": 2}, (), 900))

    assert judged(accounts, 7, 100) == 0
    assert not accounts.is_news("a", 1000)
    assert not accounts.is_news("forgotten", 900)
    assert accounts.is_news("b", 901)
    assert accounts.is_news("c", None)


def test_an_explanation_that_is_found_late_takes_the_complaint_back() -> None:
    """The latest first, and no more than it explains; whoever complained."""
    old = Unexplained(1, f"{BOOT}:counted:9", "/proc/vmstat", 9, None, None)
    new = Unexplained(2, f"{BOOT}:counted:12", "/box", 3, None, None)
    counted = {"/proc/vmstat": 9, "/box": 3}
    accounts = informed(Known(BOOT, frozenset(), 0, counted, (old, new)))

    assert judged(accounts, 12, 100) == 0
    assert accounts.explain("a", 2, 12, 0) == {new.key: 2}
    assert accounts.explain("b", 2, 12, 0) == {new.key: 1, old.key: 1}
    assert (accounts.explained_lines, accounts.unexplained_kills) == (4, 8)
    assert judged(accounts, 12, 200) == 0


def test_a_new_kill_takes_nothing_back() -> None:
    """It was counted for itself."""
    old = Unexplained(1, f"{BOOT}:counted:1", "/proc/vmstat", 1, None, None)
    accounts = informed(Known(BOOT, frozenset(), 0, {"/proc/vmstat": 1}, (old,)))

    assert accounts.explain("a", 1, 2, 0) == {}


def test_without_the_store_only_what_comes_is_judged() -> None:
    """Who knows what guards before us have explained; it is made up for as soon as it tells."""
    accounts = Accounting(BOOT)
    accounts.explain("late", 1, 10, 0)
    uninformed = [judged(accounts, 10, 100), judged(accounts, 11, 200)]
    accounts.inform(Known(BOOT, frozenset({"late", "other"}), 7, {}, ()))

    assert uninformed == [0, 1]
    # 11 counted; 7 explained and recorded, 1 we have complained about.
    assert judged(accounts, 11, 300) == 3


def test_what_is_recorded_meanwhile_is_not_taken_twice() -> None:
    """The store's answer may have incidents of ours already."""
    accounts = Accounting(BOOT)
    accounts.explain("x", 2, 2, 0)
    accounts.explain("y", 1, 3, 0)
    accounts.judge(3, 0, 100.0)
    assert judged(accounts, 4, 101) == 1
    ours = Unexplained(3, f"{BOOT}:counted:4", "/proc/vmstat", 1, None, None)
    accounts.inform(Known(BOOT, frozenset({"x", ours.key}), 2, {"/proc/vmstat": 1}, (ours,)))

    assert (accounts.explained_lines, accounts.unexplained_kills) == (3, 1)
    assert judged(accounts, 4, 300) == 0


def test_half_of_a_known_episode_is_not_a_new_one() -> None:
    """Where its first lines were overwritten its key is another; the count tells."""
    accounts = informed(Known(BOOT, frozenset({"whole"}), 4, {}, ()))

    assert accounts.is_repeated(3, 4, 0)
    assert not accounts.is_repeated(1, 5, 0)
    assert not accounts.is_repeated(1, None, 0)


@dataclass
class World:
    """A kernel, a disk, and guards that come and go in between."""

    counted: int = 0
    log: list[tuple[str, int]] = field(default_factory=list)
    read: int = 0
    is_blind: bool = False
    explained: dict[str, int] = field(default_factory=dict)
    complaints: dict[str, int] = field(default_factory=dict)
    queue: list[tuple[str, int, dict[str, int]]] = field(default_factory=list)
    accounts: Accounting = field(default_factory=informed)
    now: float = 1000.0

    def kill(self, lines: int) -> None:
        """The kernel kills, counts and logs."""
        self.log.append((f"{BOOT}:{self.counted}", lines))
        self.counted += lines

    def overwrite(self, episodes: int) -> None:
        """The ring loses its oldest records."""
        del self.log[:episodes]
        self.read = max(self.read - episodes, 0)

    def run(self) -> None:
        """The guard reads on, and records what it finds; it reaches the disk later."""
        while self.read < len(self.log) and not self.is_blind:
            key, lines = self.log[self.read]
            self.read += 1
            if self.accounts.is_news(key, None):
                explains = self.accounts.explain(key, lines, self.counted, self.open_lines())
                self.queue.append((key, lines, explains))
        for at in (self.now, self.now + LATER):
            verdict = self.accounts.judge(self.counted, 0, at)
            if verdict is not None:
                self.queue.append((verdict[0], -verdict[1], {}))
        self.now += 2 * LATER

    def blind(self) -> None:
        """The next guard is refused the log."""
        self.crash(is_blind=True)

    def open_lines(self) -> int:
        """What was read and is not entered yet, as all that is read is entered at once here."""
        return sum(
            lines for key, lines in self.log[self.read :] if self.accounts.is_news(key, None)
        )

    def write(self, most: int) -> None:
        """The disk takes some of what waits."""
        for key, lines, explains in self.queue[:most]:
            book = self.explained if lines > 0 else self.complaints
            assert key not in book, "recorded twice"
            book[key] = abs(lines)
            for other, kills in explains.items():
                self.complaints[other] -= kills
        del self.queue[:most]

    def crash(self, *, is_blind: bool = False) -> None:
        """SIGKILL: what has not reached the disk is gone; the next guard reads the whole ring.

        Unless it ``is_blind``, and may not read at all.
        """
        self.queue.clear()
        self.is_blind = is_blind
        unexplained = tuple(
            Unexplained(number, key, "/proc/vmstat", kills, None, None)
            for number, (key, kills) in enumerate(self.complaints.items())
            if kills
        )
        self.accounts = informed(
            Known(
                BOOT,
                frozenset(self.explained) | frozenset(self.complaints),
                sum(self.explained.values()),
                {"/proc/vmstat": sum(self.complaints.values())},
                unexplained,
            )
        )
        self.read = 0


STEPS = st.one_of(
    st.tuples(st.just("kill"), st.integers(1, 4)),
    st.tuples(st.just("overwrite"), st.integers(1, 5)),
    st.tuples(st.just("write"), st.integers(0, 5)),
    st.tuples(st.sampled_from(["run", "crash", "blind"]), st.none()),
)


@given(st.lists(STEPS, max_size=60))
def test_none_is_lost_and_none_is_doubled(steps: list[tuple[str, int | None]]) -> None:
    """Whenever guards are killed, records overwritten, and the disk late: the books balance."""
    world = World()
    for name, number in steps:
        getattr(world, name)(*(() if number is None else (number,)))
    if world.is_blind:
        world.crash()
    world.run()
    world.write(1000)

    total = sum(world.explained.values()) + sum(world.complaints.values())
    assert total == world.counted
    assert all(kills >= 0 for kills in world.complaints.values())
    # What is still in the log was read, and not merely counted.
    assert all(key in world.explained for key, _ in world.log)


def test_what_is_remembered_of_the_unexplained_is_bounded() -> None:
    """Where no log can be read every kill is one more: only the latest may yet be explained."""
    accounts = informed()
    for counted in range(1, MOST_UNSETTLED + 11):
        judged(accounts, counted, counted * 100.0)

    explains = [accounts.explain(f"late-{n}", 1, MOST_UNSETTLED + 10, 0) for n in range(2000)]
    settled = [key for each in explains for key in each]
    assert settled[0] == f"{BOOT}:counted:{MOST_UNSETTLED + 10}"
    assert len(settled) == MOST_UNSETTLED
    assert accounts.unexplained_kills == 10
