"""Real drills on this machine, which needs root, memory cgroups and a kernel log to read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, wait_until

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
            drill = subprocess.Popen(
                [sys.executable, "-m", "oomwarden", "drill"],
                env=environ,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(drill)
            stack.callback(drill.kill)
            assert drill.stdout is not None
            said = []
            for line in drill.stdout:
                said.append(line)
                if " accounts " in line:
                    return drill
            pytest.fail(f"it ended before it waited: {''.join(said)}")

        yield start


@needs_drill
def test_the_chain_holds(cli: Cli, place: Place) -> None:
    """Every step, in its order; without a guard nothing is recorded, and nothing remains."""
    done = cli("drill", "--format", "json")

    document = json.loads(done.stdout)
    states = {step["name"]: step["state"] for step in document["steps"]}
    skipped = {"incident", "alert"}
    assert (done.returncode, document["held"]) == (0, True)
    assert list(states) == STEPS
    assert {name for name, state in states.items() if state == "skipped"} == skipped
    assert document["kill"]["comm"] == "oomwarden-drill"
    assert leftovers(place) == []


@needs_drill
@pytest.mark.usefixtures("place")
def test_for_people(cli: Cli) -> None:
    """One line a step, what to do about what is not there, and the sum of it."""
    lines = cli("drill").stdout.splitlines()

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
    before = leftovers(place)

    drill.send_signal(number)

    assert len(before) == 1
    assert drill.wait(10) == 128 + number
    assert leftovers(place) == []


@needs_drill
def test_a_killed_drill_is_cleaned_up_by_the_next(
    waiting_drill: Callable[[], subprocess.Popen[str]],
    cli: Cli,
    environ: dict[str, str],
    place: Place,
) -> None:
    """One at a time; a group that nobody owns any more is removed."""
    drill = waiting_drill()
    meanwhile = cli("drill")
    untouched = leftovers(place)
    drill.kill()
    drill.wait()
    environ["RUNTIME_DIRECTORY"] += "/elsewhere"

    after = cli("drill")

    assert meanwhile.returncode == 1
    assert f"another drill is under way (pid {drill.pid})" in meanwhile.stdout
    assert len(untouched) == 1
    assert after.returncode == 0
    assert f"removed what pid {drill.pid} had left" in after.stdout
    assert leftovers(place) == []


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
