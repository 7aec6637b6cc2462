"""Process tables of real machines: written down by a recorder, and put back to be judged.

    python -m tests.config.recorded FILE --about "how the machine was made"

writes down this machine's own, without kernel threads. Needs root, to see the programs of all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import pwd
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oomwarden.kernel.executables import read_executable
from oomwarden.kernel.meminfo import MeminfoFile
from oomwarden.kernel.oom_score_adj import read_score
from oomwarden.kernel.process_memory import read_memory
from oomwarden.kernel.processes import ProcessTable
from oomwarden.policy.rules import unit_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.conftest import Machine

TABLES = Path(__file__).parent / "tables"
CMDLINE_MOST = 300
"""Characters of a command line that are kept: browsers write a page of switches."""

_OTHERS_WRITE, _GROUP_WRITES, _UID_MIN = 0o002, 0o020, 1000


@dataclass(frozen=True, slots=True)
class Recorded:
    """One process. ``is_replaceable``: its program could be changed by who is not the system."""

    pid: int
    parent: int
    session: int
    comm: str
    exe: str | None
    cmdline: list[str]
    uid: int
    user: str | None
    cgroup: str
    rss_kib: int
    swap_kib: int
    score: int
    is_replaceable: bool


@dataclass(frozen=True, slots=True)
class Table:
    """All of a machine."""

    about: str
    kernel: str
    total_kib: int
    swap_total_kib: int
    processes: tuple[Recorded, ...]

    def named(self, comm: str) -> list[Recorded]:
        """Those of a name."""
        return [each for each in self.processes if each.comm == comm]


def record(
    root: str,
    about: str,
    leave_out: Collection[int] = (),
    unit: str = "",
    uids: Collection[int] = (),
) -> Table:
    """Write down who is here, but for some processes, and for those of a unit.

    With ``uids`` it is the processes of these users alone. Whoever is a child of
    somebody who is left out becomes one of init.
    """
    table = ProcessTable(root)
    rows = []
    for pid in sorted(table.pids()):
        process = table.read(pid)
        if process is None or process.is_kernel_thread or pid in leave_out:
            continue
        row = _row(table, root, pid)
        if row is None or (unit and unit_of(row.cgroup) == unit):
            continue
        if not uids or row.uid in uids:
            rows.append(row)
    table.close()
    here = {row.pid for row in rows}
    rows = [row if row.parent in here or row.pid == 1 else replace(row, parent=1) for row in rows]
    file = MeminfoFile(root)
    memory = file.read()
    file.close()
    return Table(about, platform.release(), memory.total_kib, memory.swap_total_kib, tuple(rows))


def _row(table: ProcessTable, root: str, pid: int) -> Recorded | None:
    process, memory = table.read(pid), read_memory(root, pid)
    score, uid, cgroup = read_score(root, pid), table.real_uid(pid), table.cgroup(pid)
    if process is None or memory is None or score is None or uid is None or cgroup is None:
        return None
    executable = read_executable(root, pid)
    try:
        user: str | None = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = None
    data = (Path(root) / "proc" / str(pid) / "cmdline").read_bytes()
    return Recorded(
        pid=pid,
        parent=process.parent_pid,
        session=process.session,
        comm=process.comm,
        exe=executable.path if executable else None,
        cmdline=data.decode(errors="replace")[:CMDLINE_MOST].rstrip("\0").split("\0"),
        uid=uid,
        user=user,
        cgroup=cgroup,
        rss_kib=memory.rss_kib,
        swap_kib=memory.swap_kib,
        score=score,
        is_replaceable=executable is None or any(
            owner.uid >= _UID_MIN
            or owner.mode & _OTHERS_WRITE
            or (owner.mode & _GROUP_WRITES and owner.gid >= _UID_MIN)
            for owner in executable.owners
        ),
    )  # fmt: skip


def write(table: Table, file: Path) -> None:
    """Write a table with a line for each process, to be read by people and by diff."""
    document = asdict(table)
    rows = document.pop("processes")
    head = json.dumps(document, indent=1)[:-2]
    lines = ",\n  ".join(json.dumps(row) for row in rows)
    file.write_text(f'{head},\n "processes": [\n  {lines}\n ]\n}}\n')


def read(name: str) -> Table:
    """Read a table that is kept with the tests."""
    document: dict[str, Any] = json.loads((TABLES / f"{name}.json").read_text())
    rows = tuple(Recorded(**row) for row in document.pop("processes"))
    return Table(**document, processes=rows)


def put_back(machine: Machine, table: Table) -> None:
    """Make a machine of files of it, on which all is as it was."""
    loose = machine.path / "loose"
    loose.mkdir(mode=0o777)
    loose.chmod(0o777)
    machine.set_memory(
        available_kib=table.total_kib // 2,
        total_kib=table.total_kib,
        swap_free_kib=table.swap_total_kib,
        swap_total_kib=table.swap_total_kib,
    )
    for row in table.processes:
        exe = "/usr/bin/env"
        if row.is_replaceable:
            program = loose / str(row.pid)
            program.touch()
            exe = str(program)
        machine.start(
            row.pid,
            row.comm,
            parent=row.parent,
            session=row.session,
            score=row.score,
            uid=row.uid,
            cgroup=row.cgroup,
            cmdline=tuple(row.cmdline),
            rss_kib=row.rss_kib,
            swap_kib=row.swap_kib,
            exe=exe,
        )


def main() -> None:
    """Write down this machine."""
    parser = argparse.ArgumentParser(description="Write down the processes of this machine.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--about", required=True, help="how the machine was made")
    parser.add_argument("--uid", type=int, action="append", default=[], help="only of this user")
    options = parser.parse_args()
    table = record("/", options.about, leave_out={os.getpid()}, uids=options.uid)
    write(table, options.file)


if __name__ == "__main__":
    main()
