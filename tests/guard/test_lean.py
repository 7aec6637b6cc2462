"""What the guard's interpreter does without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import oomwarden


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
