"""Real drills on this machine, which needs root, memory cgroups and a kernel log to read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import DEADLINE_SECONDS, Cli, wait_until

from oomwarden.cli.drill import _Guard
from oomwarden.errors import OomwardenError
from oomwarden.incidents.incident import Accounted, Incident
from oomwarden.incidents.store import Store
from oomwarden.kernel.kmsg import KmsgDevice
from oomwarden.kernel.processes import ProcessTable
from oomwarden.kernel.scratch_cgroup import Place, find_place, leftovers, owner_of
from oomwarden.kill import Episode, Kill, Scope

STEPS = ["ready", "group", "child", "kill", "log", "accounts", "incident", "alert", "removed"]
GROUP = "oomwarden-drill-42-777"
AS_NOBODY = """
import encodings.ascii, os
from oomwarden.cli.drill import drill
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
raise SystemExit(drill(as_json=False))
"""
"""Everything is loaded before: another user may not be able to read the interpreter."""


def _why_not() -> str | None:
    """Say what keeps this machine from a drill."""
    try:
        place = find_place("/")
        KmsgDevice("/").close()
    except (OomwardenError, OSError) as error:
        return str(error)
    if not os.access(place.directory, os.W_OK) or os.statvfs(place.directory).f_flag & os.ST_RDONLY:
        return "no cgroup can be made here"
    return None


def is_strangers(said: str, ours: int | None = None) -> bool:
    """Whether a drill was refused for one that somebody else on this machine has begun."""
    found = re.search(r"another drill is under way \(pid (\d+)\)", said)
    return found is not None and int(found[1]) != ours


def remains_of(place: Place, *pids: int) -> list[str]:
    """Name the groups that drills of ours have here; those of others come and go."""
    names = [group.name for group in leftovers(place)]
    return [name for name in names if (owner := owner_of(name)) and owner.pid in pids]


def pid_of(said: str) -> int:
    """Tell the pid of a drill by the group that it says it made."""
    found = re.search(r"oomwarden-drill-(\d+)-\d+", said)
    assert found is not None, said
    return int(found[1])


WHY_NOT = _why_not()
needs_drill = pytest.mark.skipif(WHY_NOT is not None, reason=f"no drill here: {WHY_NOT}")


@pytest.fixture
def place() -> Iterator[Place]:
    """Where groups are made, with no drill under way; no test leaves one behind.

    There is one drill at a time on a machine: other runs of these tests wait for this one, and
    this one for whatever drill somebody else has begun.
    """
    found, processes = find_place("/"), ProcessTable("/")

    def is_free() -> bool:
        owners = [owner for group in leftovers(found) if (owner := owner_of(group.name))]
        return not any(
            process is not None and process.id == owner
            for owner in owners
            for process in [processes.read(owner.pid)]
        )

    turn = os.open(found.directory, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(turn, fcntl.LOCK_EX)
    try:
        wait_until(is_free)
        yield found
    finally:
        os.close(turn)
        processes.close()


Rehearse = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def rehearse(cli: Cli, place: Place) -> Rehearse:  # noqa: ARG001 - nobody else may be there
    """Run ``oomwarden drill``, again where a stranger's had come before it; ``ours`` is no such."""

    def run(*arguments: str, ours: int | None = None) -> subprocess.CompletedProcess[str]:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            done = cli("drill", *arguments)
            if not is_strangers(done.stdout, ours) or time.monotonic() > deadline:
                return done

    return run


@pytest.fixture
def mute_guard(environ: dict[str, str]) -> Iterator[None]:
    """A guard that answers and never records anything, so that a drill waits for it."""

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b'{"pid": 4242, "dry_run": false}\n')

    path = Path(environ["RUNTIME_DIRECTORY"]) / "control.sock"
    with socketserver.UnixStreamServer(str(path), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.fixture
def waiting_drill(
    environ: dict[str, str],
    mute_guard: None,  # noqa: ARG001 - it must be there
    place: Place,  # noqa: ARG001 - nobody else may be there
) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """A drill that has killed its child and waits for an incident."""
    with contextlib.ExitStack() as stack:

        def start() -> subprocess.Popen[str]:
            deadline = time.monotonic() + DEADLINE_SECONDS
            said = ""
            while not said or (is_strangers(said) and time.monotonic() < deadline):
                drill, said = begin()
                if " accounts " in said:
                    return drill
            pytest.fail(f"it ended before it waited: {said}")

        def begin() -> tuple[subprocess.Popen[str], str]:
            drill = subprocess.Popen(
                [sys.executable, "-m", "oomwarden", "drill"],
                env=environ,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(drill)
            stack.callback(drill.kill)
            assert drill.stdout is not None
            said = ""
            for line in drill.stdout:
                said += line
                if " accounts " in line:
                    break
            return drill, said

        yield start


@needs_drill
def test_the_chain_holds(rehearse: Rehearse, place: Place) -> None:
    """Every step, in its order; without a guard nothing is recorded, and nothing remains."""
    done = rehearse("--format", "json")

    document = json.loads(done.stdout)
    states = {step["name"]: step["state"] for step in document["steps"]}
    skipped = {"incident", "alert"}
    assert (done.returncode, document["held"]) == (0, True)
    assert list(states) == STEPS
    assert {name for name, state in states.items() if state == "skipped"} == skipped
    assert document["kill"]["comm"] == "oomwarden-drill"
    assert remains_of(place, pid_of(done.stdout)) == []


@needs_drill
def test_for_people(rehearse: Rehearse) -> None:
    """One line a step, what to do about what is not there, and the sum of it."""
    lines = rehearse().stdout.splitlines()

    assert [line.split()[2] for line in lines[: len(STEPS)]] == STEPS
    assert lines[-2:-1] == ["incident: start one: oomwarden run"]
    assert lines[-1].endswith("left out: incident, alert")


@needs_drill
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(
    waiting_drill: Callable[[], subprocess.Popen[str]], place: Place, number: signal.Signals
) -> None:
    """It ends at once, with the code that shells give to whom a signal has ended."""
    drill = waiting_drill()
    before = remains_of(place, drill.pid)

    drill.send_signal(number)

    assert len(before) == 1
    assert drill.wait(10) == 128 + number
    assert remains_of(place, drill.pid) == []


@needs_drill
def test_a_killed_drill_is_cleaned_up_by_the_next(
    waiting_drill: Callable[[], subprocess.Popen[str]],
    rehearse: Rehearse,
    environ: dict[str, str],
    place: Place,
) -> None:
    """One at a time; a group that nobody owns any more is removed."""
    drill = waiting_drill()
    meanwhile = rehearse(ours=drill.pid)
    untouched = remains_of(place, drill.pid)
    drill.kill()
    drill.wait()
    environ["RUNTIME_DIRECTORY"] += "/elsewhere"

    after = rehearse()

    assert meanwhile.returncode == 1
    assert f"another drill is under way (pid {drill.pid})" in meanwhile.stdout
    assert len(untouched) == 1
    assert after.returncode == 0
    assert f"removed what pid {drill.pid} had left" in after.stdout
    assert remains_of(place, drill.pid, pid_of(after.stdout)) == []


@needs_drill
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.usefixtures("place")
def test_not_permitted(environ: dict[str, str]) -> None:
    """Another user is told to be root."""
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY], env=environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 77
    assert "run it as root" in done.stdout


def _incident(kill: Kill, boot: str) -> Incident:
    episode = Episode(kills=(kill,), killed_lines=1, scope=kill.scope, memcg=kill.memcg)
    return Incident(
        key=f"{boot}:{kill.pid}",
        boot_id=boot,
        at_unix=1e9,
        since_boot_us=kill.pid,
        accounted=Accounted.EXPLAINED,
        episode=episode,
    )


def test_the_incident_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among others, also where a container gives the child another pid."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    ours = Kill(pid=43, comm="oomwarden-drill", scope=Scope.MEMCG, memcg=f"/x/{GROUP}")
    others = Kill(pid=43, comm="oomwarden-drill", scope=Scope.MEMCG, memcg=f"/{GROUP}0")
    guard = _Guard()

    before = guard.incident(ours, GROUP)
    store = Store(str(tmp_path), keep_seconds=1e10)
    for boot, kill in (("a", others), ("b", ours), ("c", others)):
        store.add(_incident(kill, boot), 1e9)
    store.close()

    assert before is None
    assert guard.incident(ours, GROUP) == f"incident 2 of {tmp_path}/incidents.db"
    assert guard.incident(ours, "oomwarden-drill-1-1") is None
