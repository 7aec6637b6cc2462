"""Every scenario on every kernel that is asked for."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .conftest import give_up, kernels_asked, tell, today
from .kernels import KernelUnavailableError
from .machine import run_scenario
from .proof import row_of
from .scenarios.boot import SCRIBBLE

if TYPE_CHECKING:
    from .kernels import Kernel
    from .needs import Needs

PATIENCE_SECONDS = 3600
"""For a place on a busy machine; how long a scenario may take it says itself."""

SCENARIOS = sorted(
    path.stem for path in Path(__file__).parent.glob("scenarios/*.py") if path.stem != "__init__"
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each pair; without kernels one that says how to get them."""
    asked = kernels_asked(metafunc.config)
    if not asked:
        metafunc.parametrize(("kernel", "scenario"), [(None, "none")], indirect=["kernel"])
        return
    spread = bool(metafunc.config.getoption("--guests-spread", default=False))
    config = metafunc.config
    everything = config.getoption("--guests-all", default=False) or config.getoption("keyword")
    chosen = {name for name in SCENARIOS if everything or not _needs(name).on_request}
    # Numbered among all of them, so that each stays on its kernel, whoever else is run.
    pairs = [
        (kernel, scenario)
        for number, scenario in enumerate(SCENARIOS)
        if scenario in chosen
        for kernel in (asked if not spread or _needs(scenario).every_kernel
                       else [asked[number % len(asked)]])
    ]  # fmt: skip
    ids = ["-".join(pair) for pair in pairs]
    metafunc.parametrize(("kernel", "scenario"), pairs, indirect=["kernel"], ids=ids)


@pytest.mark.guest
@pytest.mark.timeout(PATIENCE_SECONDS)
def test_scenario(scenario: str, kernel: Kernel, out: Path, pytestconfig: pytest.Config) -> None:
    """The guest's own verdict, with the failed checks and the end of its console."""
    try:
        verdict = run_scenario(
            kernel,
            Path(__file__).parent / "scenarios" / f"{scenario}.py",
            _needs(scenario),
            out,
            kvm=bool(pytestconfig.getoption("--guests-kvm", default=False)),
        )
    except KernelUnavailableError as error:
        # Of a machine with systemd: it takes more to make one than a kernel.
        give_up(pytestconfig, scenario, kernel.release, str(error))
    tell(pytestconfig, row_of(verdict, today()))
    if not verdict.ok:
        pytest.fail(verdict.explain(), pytrace=False)
    # What a guest writes stays in its memory, or is refused there: the host's files are its own.
    assert not SCRIBBLE.exists()


def _needs(scenario: str) -> Needs:
    """What a scenario says that it needs."""
    needs: Needs = importlib.import_module(f"{__package__}.scenarios.{scenario}").NEEDS
    return needs
