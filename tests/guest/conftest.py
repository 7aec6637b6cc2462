"""The option that asks for guests, and what is done where they cannot be had."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from .kernels import KernelUnavailableError, fetch
from .machine import missing_programs
from .proof import row_of_skip, write_row

if TYPE_CHECKING:
    from datetime import date

    from .kernels import Kernel
    from .proof import Row

DEFAULT_KERNELS = ("6.1", "6.12")
"""Debian 12's own kernel, and the newer one from its backports and security archive."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Seen early enough only when this folder is given on the command line."""
    group = parser.getgroup("guests")
    group.addoption(
        "--guests",
        default="",
        metavar="KERNELS",
        help="boot these kernels: series or Debian packages, separated by commas; "
        "'require' among them makes a guest that cannot be had a failure, as CI=true does",
    )
    group.addoption(
        "--guests-spread",
        action="store_true",
        help="run each scenario on one of the kernels, but on each what says that it needs each",
    )
    group.addoption(
        "--guests-all",
        action="store_true",
        help="run the scenarios, too, that take so long that they are only run on request",
    )
    group.addoption("--guests-kvm", action="store_true", help="let the guests use /dev/kvm")
    group.addoption(
        "--guests-out",
        type=Path,
        metavar="FOLDER",
        help="keep verdict.json, console.txt and logs in FOLDER/KERNEL/SCENARIO",
    )
    group.addoption(
        "--guests-table",
        type=Path,
        metavar="PAGE",
        help="write what was found into the table of this page (docs/proof.md), each row its own",
    )


def kernels_asked(config: pytest.Config) -> tuple[str, ...]:
    """The kernels that the command line asks for; none where it does not know the option."""
    words = _words(config)
    asked = tuple(word for word in words if word != "require")
    return asked or (DEFAULT_KERNELS if words else ())


@pytest.fixture
def kernel(request: pytest.FixtureRequest, scenario: str) -> Kernel:
    """A kernel ready to boot; skips, or fails where guests are required, if there is none."""
    asked: str | None = request.param
    if asked is None:
        pytest.skip("no guests asked for: pytest tests/guest --guests 6.1,6.12")
    if missing := missing_programs():
        give_up(request.config, scenario, asked, f"not installed: {', '.join(missing)}")
    try:
        return fetch(asked)
    except KernelUnavailableError as error:
        reason = str(error)
    return give_up(request.config, scenario, asked, reason)


@pytest.fixture
def out(request: pytest.FixtureRequest, kernel: Kernel, scenario: str, tmp_path: Path) -> Path:
    """The folder that the guest may write to."""
    kept: Path | None = request.config.getoption("--guests-out", default=None)
    return tmp_path if kept is None else kept.absolute() / kernel.release / scenario


def _words(config: pytest.Config) -> list[str]:
    """What was given to ``--guests``."""
    given: str = config.getoption("--guests", default="")
    return [word.strip() for word in given.split(",") if word.strip()]


def give_up(config: pytest.Config, scenario: str, kernel: str, reason: str) -> NoReturn:
    """Skip on a machine of somebody's own; fail where these tests are the point."""
    if os.environ.get("CI") == "true" or "require" in _words(config):
        pytest.fail(f"guests are required: {reason}", pytrace=False)
    tell(config, row_of_skip(scenario, kernel, reason, today()))
    pytest.skip(reason)


def tell(config: pytest.Config, row: Row) -> None:
    """Write a row into the page that was asked for, if any."""
    page: Path | None = config.getoption("--guests-table", default=None)
    if page is not None:
        write_row(page, row)


def today() -> date:
    """The day of a run."""
    return datetime.now(UTC).date()  # noqa: TID251 - results carry the day of their run
