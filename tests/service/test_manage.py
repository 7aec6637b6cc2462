"""Install, upgrade and uninstall, on a machine made of files with a manager that takes notes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from oomwarden.errors import OomwardenError, UnsupportedError
from oomwarden.service.last_resort import is_confined, is_installed
from oomwarden.service.manage import (
    Host,
    Manager,
    find_manager,
    install,
    installed,
    run_command,
    uninstall,
    unit_states,
)
from oomwarden.service.units import SHIPPED

SHOWN = """\
Id=oomwarden.service
ActiveState=active

Id=oomwarden-courier.path
ActiveState=inactive
"""


class Notes:
    """A manager that does nothing but note what it was asked."""

    def __init__(self, answer: str = "") -> None:
        """Answer all the same."""
        self.asked: list[str] = []
        self._answer = answer

    def __call__(self, command: Sequence[str]) -> str:
        """Take a note."""
        self.asked.append(" ".join(command))
        return self._answer


def host(root: Path, notes: Notes, program: str = "/usr/bin/oomwarden") -> Host:
    """A machine below a folder."""
    return Host(root, program, notes)


def test_all_files_are_written_before_the_guard_is_started(tmp_path: Path) -> None:
    """Then the group is made, the folders, and the units are started."""
    notes = Notes()

    written = install(host(tmp_path, notes), Manager.SYSTEMD).written

    assert "/etc/systemd/system/oomwarden.service" in written
    assert all((tmp_path / path.lstrip("/")).is_file() for path in written)
    assert [line.split()[0] for line in notes.asked[:2]] == [
        "systemd-sysusers",
        "systemd-tmpfiles",
    ]
    assert notes.asked[2:4] == ["journalctl --update-catalog", "systemctl daemon-reload"]
    assert notes.asked[-1].startswith("systemctl restart oomwarden.service")
    assert {each.state for each in installed(host(tmp_path, notes), Manager.SYSTEMD)} == {"current"}


def test_an_upgrade_writes_only_what_has_changed(tmp_path: Path) -> None:
    """A unit that somebody edited, or of a version before, is replaced."""
    notes = Notes()
    install(host(tmp_path, notes), Manager.SYSTEMD)
    unit = tmp_path / "etc/systemd/system/oomwarden.service"
    unit.write_text("[Service]\n")
    states = {each.path: each.state for each in installed(host(tmp_path, notes), Manager.SYSTEMD)}

    again = install(host(tmp_path, notes), Manager.SYSTEMD)

    assert states["/etc/systemd/system/oomwarden.service"] == "different"
    assert again.written == ("/etc/systemd/system/oomwarden.service",)


def test_uninstalling_leaves_nothing_of_ours(tmp_path: Path) -> None:
    """It stops first: the guard gives back what it changed."""
    notes = Notes()
    install(host(tmp_path, notes), Manager.SYSTEMD)
    notes.asked.clear()

    removed = uninstall(host(tmp_path, notes), Manager.SYSTEMD)

    assert notes.asked[0].startswith("systemctl --quiet disable --now oomwarden.service")
    assert len(removed) == 9
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert uninstall(host(tmp_path, notes), Manager.SYSTEMD) == []


def test_a_package_of_the_distribution_comes_first(tmp_path: Path) -> None:
    """Units in /etc would hide those of the package for ever."""
    unit = tmp_path / "usr/lib/systemd/system/oomwarden.service"
    unit.parent.mkdir(parents=True)
    unit.touch()

    with pytest.raises(OomwardenError, match="a package has installed"):
        install(host(tmp_path, Notes()), Manager.SYSTEMD)

    assert not (tmp_path / "etc").exists()


PERMIT = "etc/systemd/system/oomwarden.service.d/last-resort.conf"


def test_a_last_resort_is_permitted_and_forbidden_by_one_command(tmp_path: Path) -> None:
    """What was chosen is kept by an upgrade, and gone with the rest."""
    machine = host(tmp_path, Notes())
    install(machine, Manager.SYSTEMD)
    before = is_confined(tmp_path)

    permitted = install(machine, Manager.SYSTEMD, last_resort=True)
    (tmp_path / PERMIT).write_text("of a version before")
    again = install(machine, Manager.SYSTEMD)
    after = is_confined(tmp_path)
    forbidden = install(machine, Manager.SYSTEMD, last_resort=False)

    assert (before, after) == (True, False)
    assert permitted.written == again.written == forbidden.removed == (f"/{PERMIT}",)
    assert not (tmp_path / PERMIT).parent.exists()
    assert is_confined(tmp_path)
    install(machine, Manager.SYSTEMD, last_resort=True)
    uninstall(machine, Manager.SYSTEMD)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_drop_ins_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    """They share a folder with ours."""
    theirs = tmp_path / "etc/systemd/system/oomwarden.service.d/theirs.conf"
    machine = host(tmp_path, Notes())
    install(machine, Manager.SYSTEMD, last_resort=True)
    theirs.write_text("[Service]\nProtectKernelTunables=no\n")

    uninstall(machine, Manager.SYSTEMD)

    assert theirs.exists()


def test_the_unit_of_a_package_is_permitted_a_last_resort_too(tmp_path: Path) -> None:
    """By the drop-in alone, which is all there is of ours then."""
    unit = tmp_path / "usr/lib/systemd/system/oomwarden.service"
    unit.parent.mkdir(parents=True)
    unit.write_bytes((SHIPPED / "oomwarden.service").read_bytes())
    notes = Notes()
    machine = host(tmp_path, notes)
    before = (is_confined(tmp_path), installed(machine, Manager.SYSTEMD))

    done = install(machine, Manager.SYSTEMD, last_resort=True)

    assert before == (True, ())
    assert done.written == (f"/{PERMIT}",)
    assert notes.asked == ["systemctl daemon-reload", "systemctl restart oomwarden.service"]
    assert [each.state for each in installed(machine, Manager.SYSTEMD)] == ["current"]
    assert not is_confined(tmp_path)
    assert uninstall(machine, Manager.SYSTEMD) == [f"/{PERMIT}"]
    assert unit.exists()


@pytest.mark.parametrize(
    ("drop_ins", "confined"),
    [
        ({}, True),
        ({"etc/systemd/system/oomwarden.service.d/a.conf": "no"}, False),
        ({"run/systemd/system/oomwarden.service.d/a.conf": "False"}, False),
        (
            {
                "etc/systemd/system/oomwarden.service.d/a.conf": "no",
                "etc/systemd/system/oomwarden.service.d/b.conf": "yes",
            },
            True,
        ),
        (
            {
                "usr/lib/systemd/system/oomwarden.service.d/a.conf": "no",
                "etc/systemd/system/oomwarden.service.d/a.conf": "yes",
            },
            True,
        ),
    ],
)
def test_drop_ins_count_as_systemd_reads_them(
    tmp_path: Path, drop_ins: dict[str, str], *, confined: bool
) -> None:
    """By name, the last one last; of one name the more important one alone."""
    install(host(tmp_path, Notes()), Manager.SYSTEMD)
    for name, value in drop_ins.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[Service]\nProtectKernelTunables={value}\n")

    assert is_confined(tmp_path) is confined


def test_where_nothing_is_installed_nothing_is_confined(tmp_path: Path) -> None:
    """Who runs the guard by other means has nothing to permit."""
    assert not is_installed(tmp_path)
    assert not is_confined(tmp_path)


def test_openrc_has_one_script(tmp_path: Path) -> None:
    """It is executable, added to the default runlevel, and taken away again."""
    notes = Notes()

    assert install(host(tmp_path, notes), Manager.OPENRC).written == ("/etc/init.d/oomwarden",)
    assert (tmp_path / "etc/init.d/oomwarden").stat().st_mode & 0o777 == 0o755
    assert uninstall(host(tmp_path, notes), Manager.OPENRC) == ["/etc/init.d/oomwarden"]
    assert notes.asked == [
        "rc-update add oomwarden default",
        "rc-service oomwarden restart",
        "rc-service --ifstarted oomwarden stop",
        "rc-update delete oomwarden default",
    ]


def test_the_manager_is_the_one_that_runs(tmp_path: Path) -> None:
    """To be installed is not to run: containers have many a systemd that does not."""
    with pytest.raises(UnsupportedError, match="neither systemd nor OpenRC"):
        find_manager(tmp_path)
    (tmp_path / "run/openrc").mkdir(parents=True)
    assert find_manager(tmp_path) is Manager.OPENRC
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert find_manager(tmp_path) is Manager.SYSTEMD


def test_units_are_told_with_their_states(tmp_path: Path) -> None:
    """As systemctl show prints them, a block for each."""
    states = unit_states(host(tmp_path, Notes(SHOWN)))

    assert states == {"oomwarden.service": "active", "oomwarden-courier.path": "inactive"}


def test_a_command_that_fails_says_why() -> None:
    """In the words of the command itself."""
    with pytest.raises(OomwardenError, match=r"ls /nowhere: .*No such file"):
        run_command(["ls", "/nowhere"])
    with pytest.raises(OomwardenError, match="no-such-command is not installed"):
        run_command(["no-such-command"])
    assert run_command(["echo", "yes"]) == "yes\n"
