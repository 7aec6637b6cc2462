"""Where incidents are kept, and looked for."""

from __future__ import annotations

import pytest

from oomwarden.incidents.places import places_to_read, state_directory


@pytest.mark.parametrize(
    ("environ", "uid", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, 0, "/var/lib/a"),
        ({"STATE_DIRECTORY": ""}, 0, "/var/lib/oomwarden"),
        ({"HOME": "/root", "XDG_STATE_HOME": "/x"}, 0, "/var/lib/oomwarden"),
        ({"HOME": "/home/ann"}, 1000, "/home/ann/.local/state/oomwarden"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": "/x"}, 1000, "/x/oomwarden"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": "x"}, 1000, "/home/ann/.local/state/oomwarden"),
        ({}, 1000, None),
    ],
)
def test_the_state_directory(environ: dict[str, str], uid: int, expected: str | None) -> None:
    """The service manager's comes first, then the machine's for root, then the user's own."""
    assert state_directory(environ, uid) == expected


def test_a_user_also_looks_for_those_of_the_machine() -> None:
    """The guard of the machine is root's; whoever names a directory means that one alone."""
    home = {"HOME": "/home/ann"}

    assert places_to_read(home, 1000) == (
        "/home/ann/.local/state/oomwarden",
        "/var/lib/oomwarden",
    )
    assert places_to_read({}, 1000) == ("/var/lib/oomwarden",)
    assert places_to_read(home, 0) == ("/var/lib/oomwarden",)
    assert places_to_read({"STATE_DIRECTORY": "/s"}, 1000) == ("/s",)
