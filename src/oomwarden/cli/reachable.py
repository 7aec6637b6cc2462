"""What of the targets of a configuration could be used, as far as that can be told from here.

Nobody is contacted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from oomwarden.config.addresses import Address, open_to_everybody, read_addresses
from oomwarden.config.schema import Alerts, Way
from oomwarden.errors import NotPermittedError, OomwardenError, Problem


@dataclass(slots=True)
class Reach:
    """What is wrong with addresses, and what could not be looked at."""

    problems: list[Problem] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def look_at(alerts: Alerts, environ: Mapping[str, str]) -> Reach:
    """Look at every target; loads apprise where one has a URL. Raises OomwardenError."""
    reach = Reach()
    for address in read_addresses(alerts):
        warning = open_to_everybody(address)
        if warning is not None:
            reach.problems.append(warning)
        if address.target.way is Way.COMMAND:
            _look_at_program(address, reach)
        else:
            _look_at_url(address, environ, reach)
    reach.problems.sort()
    return reach


def _look_at_program(address: Address, reach: Reach) -> None:
    program = address.words[0]
    if not os.path.exists(program):
        reach.problems.append(address.place.error(f"there is no {program!r}"))
    elif os.path.isdir(program) or not os.access(program, os.X_OK):
        reach.problems.append(address.place.error(f"{program!r} cannot be executed"))


def _look_at_url(address: Address, environ: Mapping[str, str], reach: Reach) -> None:
    is_elsewhere = address.target.way is Way.CREDENTIAL and "CREDENTIALS_DIRECTORY" not in environ
    if is_elsewhere:
        reach.unseen.append(
            f"target {address.target.name}: its credential is only there for the service itself"
        )
        return
    try:
        url = address.url(environ)
        from oomwarden.alerts.services import Service

        Service(url)
    except NotPermittedError as error:
        reach.unseen.append(f"target {address.target.name}: {error}")
    except OomwardenError as error:
        reach.problems.append(address.place.error(str(error)))
