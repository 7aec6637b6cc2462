"""What the guard's interpreter does without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import oomwarden

OURS = {
    "": """
        alert alerts config errors guard incidents kernel model policy wording
    """,
    "alerts": """
        kinds notice
    """,
    "config": """
        compiled schema
    """,
    "guard": """
        __main__ accounting accounts acquaintances backlog cgroup_tally chronicle claims clerk
        control courier entries events exemptions forecast formula herald history keeper
        kernel_log lean lineage loading loop message_ids narrate newborns order originals outgoing
        punctuality quiet recorder reload resort roster scene score_files scores scribe senses
        sizes status systemd threads witness
    """,
    "incidents": """
        failures known past places
    """,
    "kernel": """
        boot capabilities cgroup cgroup_view executables kept_file kill_counters kmsg linking
        meminfo memory_lock oom_killer oom_score_adj own_name priority privilege process_events
        process_identity process_memory processes psi
    """,
    "policy": """
        badness cadence exempt formula level plan reserves rules settle trust
    """,
}
"""All modules of ours that a quiet guard has in memory, by the room that they live in."""

NOT_LOADED = """
    ast asyncio copy dis inspect json pathlib pickle selectors socket sqlite3 subprocess
    textwrap threading tokenize traceback typing
"""


def run_as_guard(code: str) -> list[str]:
    """Run code in an interpreter like the guard's, after all that the guard imports."""
    done = subprocess.run(
        [sys.executable, "-P", "-S", "-c", f"import oomwarden.guard.__main__ as guard\n{code}"],
        env={**os.environ, "PYTHONPATH": str(Path(oomwarden.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_guard_loads_nothing_that_it_does_not_use() -> None:
    """Nothing that it does when it starts asks for any of these modules."""
    code = """\
import sys
print(*(type(sys.modules[name]).__name__ for name in ("inspect", "textwrap", "tokenize")))
print("ast" in sys.modules, "dis" in sys.modules)
"""

    assert run_as_guard(code) == ["_Inspect _StandIn _StandIn", "False False"]


def test_a_quiet_guard_has_these_modules_in_memory_and_no_others() -> None:
    """Whatever is added here is locked memory on every machine: a megabyte has some ten of them."""
    code = """\
import sys, types
print(*(name for name, module in sys.modules.items() if type(module) is types.ModuleType))
"""
    loaded = set(run_as_guard(code)[0].split())
    ours = {
        ".".join(filter(None, ("oomwarden", room, name)))
        for room, names in OURS.items()
        for name in names.split()
    }

    assert {name for name in loaded if name.startswith("oomwarden.")} == ours
    assert not loaded & set(NOT_LOADED.split())


def test_frozen_dataclasses_share_methods_and_behave_as_ever() -> None:
    """They compare, hash and show their fields, and refuse to change."""
    code = """\
import dataclasses, pickle
from oomwarden.model import Process, ProcessId
one, same, other = ProcessId(7, 100), ProcessId(7, 100), ProcessId(7, 101)
print(one == same, hash(one) == hash(same), one == other, one == (7, 100), len({one, same, other}))
print(one, dataclasses.replace(one, pid=8), pickle.loads(pickle.dumps(one)) == one)
for change in (lambda: setattr(one, "pid", 8), lambda: delattr(one, "pid")):
    try:
        change()
    except dataclasses.FrozenInstanceError as error:
        print(error)
print(ProcessId.__setattr__ is Process.__setattr__, ProcessId.__repr__ is Process.__repr__)
"""

    assert run_as_guard(code) == [
        "True True False False 2",
        "ProcessId(pid=7, start_ticks=100) ProcessId(pid=8, start_ticks=100) True",
        "cannot assign to field 'pid'",
        "cannot delete field 'pid'",
        "True True",
    ]


def test_a_stand_in_for_sockets_takes_clients_in() -> None:
    """And what it has not is found in the real module."""
    code = """\
import os, socket, sys, tempfile
path = os.path.join(tempfile.mkdtemp(), "socket")
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
    listening.bind(path)
    listening.listen(1)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(path)
    taken, _ = listening.accept()
    taken.send(b"hello")
    print(client.recv(9), type(taken) is type(client), "selectors" in sys.modules)
print(listening.fileno(), socket.create_connection.__module__, "selectors" in sys.modules)
"""

    assert run_as_guard(code) == ["b'hello' True False", "-1 socket True"]


def test_a_traceback_is_whole() -> None:
    """What it needs to show lines of source is let in."""
    code = """\
import sys, traceback
sys.stderr = sys.stdout
try:
    guard.main(["none"])
except ValueError as error:
    traceback.print_exception(error)
print(sys.modules["tokenize"].open.__module__)
"""
    lines = run_as_guard(code)

    assert any("int(arguments[0])" in line for line in lines)
    assert lines[-1] == "tokenize"


def test_whoever_asks_for_inspect_gets_it() -> None:
    """The real module is there at its first use, and stays the same one."""
    code = """\
import dataclasses, inspect, sys
print(inspect.signature(guard.main))
print(dataclasses.inspect.getdoc(guard.main))
real = sys.modules["inspect"]
import inspect
print(inspect is real, inspect.__name__, real.signature(guard._lock_memory))
"""

    assert run_as_guard(code) == [
        "(arguments: 'list[str]') -> 'ExitCode'",
        "Run the guard to its end.",
        "True inspect (senses: 'Senses') -> 'None'",
    ]


def test_annotations_are_told_as_by_the_real_module() -> None:
    """Of a class it answers by itself; anything harder is for the real module."""
    code = """\
import inspect, sys
of_class, of_none = (inspect.get_annotations(each) for each in (guard.Config, object))
is_real = "dis" in sys.modules
of_function = inspect.get_annotations(guard.main)
import inspect
print(is_real, of_class == inspect.get_annotations(guard.Config), of_none, of_function)
"""

    annotations = {"arguments": "list[str]", "return": "ExitCode"}
    assert run_as_guard(code) == [f"False True {{}} {annotations}"]


def test_a_class_without_a_docstring_gets_its_own() -> None:
    """What dataclasses needs the module for works."""
    code = """\
import dataclasses
@dataclasses.dataclass
class Pair:
    one: int
    two: str = ""
print(Pair.__doc__)
"""

    assert run_as_guard(code) == ["Pair(one: int, two: str = '')"]


def test_pressure_brings_what_knows_a_kill_into_memory(tmp_path: Path) -> None:
    """By a thread, once: when the kill comes the disk may be too slow."""
    (tmp_path / "dev").mkdir()
    os.mkfifo(tmp_path / "dev/kmsg")
    code = f"""\
import sys, time
from oomwarden.guard.events import Events
from oomwarden.guard.kernel_log import KernelLog
from oomwarden.kernel.kmsg import Kmsg, KmsgDevice
def is_there():
    return "oomwarden.oomlog.episodes" in sys.modules
kmsg = Kmsg(KmsgDevice({str(tmp_path)!r}))
log = KernelLog(kmsg, Events(), lambda pid: True, time.monotonic, 0.0)
print(is_there())
for _ in range(2):
    log.expect_kills()
for _ in range(500):
    if is_there() and log._foresight.is_over:
        break
    time.sleep(0.01)
print(is_there())
log.close()
"""

    assert run_as_guard(code) == ["False", "True"]
