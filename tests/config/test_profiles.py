"""What each profile would do, on a machine with the processes of a machine of its kind.

A guard with the profile over the default policy runs on it until memory is nearly gone; then
the kernel's order is computed from the scores that it gave.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.conftest import Machine
from tests.guard.helpers import Script, guard

from oomwarden.config.load import DEFAULT_FILE, load_config
from oomwarden.config.schema import Config
from oomwarden.kernel.process_memory import read_memory
from oomwarden.kernel.processes import ProcessTable
from oomwarden.policy.badness import Candidate, rank

PROFILES = Path(__file__).parents[2] / "config/profiles"
GIB = 1 << 20
MIB = 1 << 10
PAGES = 16 * GIB // 4


@dataclass(frozen=True, slots=True)
class Row:
    """One process of a recorded table; ``score`` is what it had from others."""

    name: str
    rss_mib: int
    cgroup: str = "/"
    uid: int = 0
    parent: int = 1
    score: int = 0
    cmdline: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A machine of a kind; rows are pids 100, 101 and so on.

    ``before`` is whom the kernel would kill first without us, ``first`` with the profile in a
    shortage, both as pids in order; ``last`` are those who must be the last to die.
    """

    rows: tuple[Row, ...]
    before: tuple[int, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]
    untouched: tuple[int, ...] = field(default=())


POD = (
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-1.scope"
)
JOB = "/system.slice/actions.runner.acme-web.box.service"
CASES = {
    "vps": Case(
        (
            Row("mariadbd", 5000, "/system.slice/mariadb.service", 110),
            Row("clamd", 1300, "/system.slice/clamav-daemon.service", 120),
            Row("php-fpm8.2", 40, "/system.slice/php8.2-fpm.service"),
            Row("php-fpm8.2", 900, "/system.slice/php8.2-fpm.service", 33, 102),
            Row("php-fpm8.2", 700, "/system.slice/php8.2-fpm.service", 33, 102),
            Row("nginx", 20, "/system.slice/nginx.service"),
            Row("sshd", 10, "/system.slice/ssh.service"),
        ),
        before=(100, 101),
        first=(101, 103, 104),
        last=(105, 106),
    ),
    "database": Case(
        (
            Row("postgres", 9800, "/system.slice/postgresql@15-main.service", 110),
            Row("postgres", 600, "/system.slice/postgresql@15-main.service", 110, 100),
            Row("pg_dump", 200, "/system.slice/dump.service", 110),
            Row("python3", 400, "/user.slice/user-1000.slice/session-1.scope", 1000),
            Row("node_exporter", 30, "/system.slice/prometheus-node-exporter.service", 111),
        ),
        before=(100, 101),
        first=(102,),
        last=(100,),
    ),
    "ci-runner": Case(
        (
            Row("Runner.Listener", 120, JOB, 999),
            Row("Runner.Worker", 150, JOB, 999, 100),
            Row("node", 3000, JOB, 999, 101),
            Row("java", 5000, "/system.slice/docker-0123.scope", 1000),
            Row("java", 300, "/system.slice/jenkins-agent.service", 998, 1, 0,
                "java -jar /opt/agent.jar -url x"),
            Row("dockerd", 200, "/system.slice/docker.service"),
            Row("sshd", 10, "/system.slice/ssh.service"),
        ),
        before=(103, 102),
        first=(103, 102),
        last=(100, 104, 105, 106),
    ),
    "kubernetes-node": Case(
        (
            Row("kubelet", 200, "/system.slice/kubelet.service", score=-999),
            Row("containerd", 150, "/system.slice/containerd.service", score=-999),
            Row("containerd-shim", 20, "/system.slice/containerd.service", score=-998),
            Row("pause", 1, POD, 65535, 102, -998),
            Row("shop", 3000, POD, 1000, 102, 900),
            Row("batch", 2000, POD.replace("burstable", "besteffort"), 1000, 102, 1000),
            Row("python3", 4000, "/user.slice/user-1000.slice/session-1.scope", 1000),
            Row("flanneld", 40, "/system.slice/flanneld.service"),
        ),
        before=(105, 104),
        first=(105, 104),
        last=(100, 101, 102, 103, 107),
        untouched=(103, 104, 105),
    ),
    "shared-hosting": Case(
        (
            Row("mysqld", 6000, "/system.slice/mysql.service", 110),
            Row("lsphp", 700, "/system.slice/lsws.service", 1001),
            Row("python3", 2500, "/user.slice/user-1002.slice/session-9.scope", 1002),
            Row("node", 1500, "/system.slice/pm2-bob.service", 1003),
            # A customer who calls his program so gets nothing for it.
            Row("mysqld", 3000, "/user.slice/user-1004.slice/session-8.scope", 1004),
            Row("apache2", 30, "/system.slice/apache2.service"),
            Row("dovecot", 10, "/system.slice/dovecot.service"),
        ),
        before=(100, 104),
        first=(102, 101, 103),
        last=(100, 105),
    ),
    "desktop": Case(
        (
            Row("gnome-shell", 700, "/user.slice/user-1000.slice/user@1000.service", 1000),
            Row("chrome", 900, "/user.slice/user-1000.slice/user@1000.service", 1000, 100, 300,
                "/opt/chrome --type=renderer"),
            Row("firefox-bin", 1500, "/user.slice/user-1000.slice/user@1000.service", 1000, 100,
                0),
            Row("slack", 400, "/user.slice/user-1000.slice/user@1000.service", 1000, 100, 0,
                "/usr/lib/slack/slack"),
            Row("slack", 350, "/user.slice/user-1000.slice/user@1000.service", 1000, 103, 300,
                "/usr/lib/slack/slack --type=renderer"),
            Row("rust-analyzer", 4000, "/user.slice/user-1000.slice/user@1000.service", 1000),
            Row("Xorg", 120, "/system.slice/gdm.service"),
        ),
        before=(101, 104),
        first=(105, 103),
        last=(106, 100),
        untouched=(100, 101, 102, 104),
    ),
}  # fmt: skip


def load(name: str, folder: Path) -> Config:
    """The profile as a drop-in over the default policy."""
    drop_ins = folder / "etc/oomwarden/conf.d"
    drop_ins.mkdir(parents=True)
    shutil.copy(PROFILES / f"{name}.yaml", drop_ins / "50-profile.yaml")
    loaded = load_config(root=folder)
    assert [str(problem) for problem in loaded.problems if str(DEFAULT_FILE) not in problem.file] \
        == []  # fmt: skip
    return loaded.require()


def populate(machine: Machine, rows: tuple[Row, ...]) -> None:
    """Start everybody, parents first."""
    machine.start(1, "init", parent=0)
    for pid, row in enumerate(rows, 100):
        machine.start(
            pid,
            row.name,
            parent=row.parent,
            score=row.score,
            uid=row.uid,
            cgroup=row.cgroup,
            cmdline=tuple((row.cmdline or row.name).split()),
            rss_kib=row.rss_mib * MIB,
        )


def order(machine: Machine, count: int) -> list[int]:
    """In which order the kernel would kill them now."""
    table = ProcessTable(machine.root)
    candidates = []
    for pid in range(100, 100 + count):
        process, memory = table.read(pid), read_memory(machine.root, pid)
        assert process is not None
        assert memory is not None
        candidates.append(Candidate(process, memory, machine.score(pid)))
    table.close()
    return [each.candidate.process.id.pid for each in rank(candidates, PAGES, 4)]


@pytest.mark.parametrize("name", CASES)
def test_the_right_one_dies_first(name: str, machine: Machine, tmp_path: Path) -> None:
    """And the machine keeps what it is for; afterwards all is as before."""
    case = CASES[name]
    populate(machine, case.rows)
    count = len(case.rows)
    assert tuple(order(machine, count)[: len(case.before)]) == case.before
    seen: list[list[int]] = []
    scores: list[dict[int, int]] = []

    def look() -> None:
        seen.append(order(machine, count))
        scores.append({pid: machine.score(pid) for pid in case.untouched})

    steps: list[tuple[float, Callable[[], object]]] = [
        (1, lambda: machine.set_memory(available_kib=GIB // 4)),
        (3, lambda: None),
        (3, look),
    ]
    guard(machine.root, load(name, tmp_path / "root"), Script(steps)).run()

    assert tuple(seen[0][: len(case.first)]) == case.first
    assert set(seen[0][-len(case.last) :]) == set(case.last)
    assert scores[0] == {pid: case.rows[pid - 100].score for pid in case.untouched}
    assert [machine.score(pid) for pid in range(100, 100 + count)] == [
        row.score for row in case.rows
    ]


def test_every_profile_has_a_machine() -> None:
    """None is shipped without a test of what it does."""
    assert {path.stem for path in PROFILES.glob("*.yaml")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_it_has_nothing_to_complain_of_by_itself(name: str) -> None:
    """Checked alone, as its reader would; users that this machine lacks are no fault of its."""
    loaded = load_config(PROFILES / f"{name}.yaml")

    assert loaded.config is not None
    assert [str(problem) for problem in loaded.problems] == []


@pytest.mark.parametrize("name", CASES)
def test_every_rule_is_explained(name: str) -> None:
    """A comment at the top says what the profile is for, and rules say why."""
    text = (PROFILES / f"{name}.yaml").read_text()

    assert text.startswith("# ")
    assert f"cp {name}.yaml /etc/oomwarden/conf.d/50-profile.yaml" in text
    assert text.count("\n  # ") >= 3
