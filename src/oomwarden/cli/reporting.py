"""``report``: what is known of an incident, in one piece."""

from __future__ import annotations

import os
import pwd
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from oomwarden.cli.boots import find_boot
from oomwarden.cli.output import complain, say
from oomwarden.cli.reports import Explained, give
from oomwarden.cli.services import find_services
from oomwarden.config.load import load_config
from oomwarden.config.schema import SCORE_MAX, Config
from oomwarden.errors import ExitCode, OomwardenError, UsageError
from oomwarden.incidents.incident import Incident
from oomwarden.incidents.listing import Filter, Listed
from oomwarden.incidents.places import places_to_read
from oomwarden.incidents.reading import Incidents, Stored, find
from oomwarden.kernel.boot import read_boot
from oomwarden.kernel.meminfo import MeminfoFile
from oomwarden.kernel.oom_score_adj import ScoreFile
from oomwarden.kernel.processes import ProcessTable
from oomwarden.policy.places import unit_in
from oomwarden.report.kill_report import KillReport
from oomwarden.report.summary import summarise
from oomwarden.report.surroundings import Surroundings
from oomwarden.report.whatif import what_if

LAST = "last"
MOST_OF_BOOT = 50
_NICE = 19
_NONE_STORED = (
    "no incident is stored: kills are recorded while a guard runs ('oomwarden run');"
    " a saved kernel log is read by 'oomwarden analyze FILE'"
)
_HOW = "'oomwarden incidents' lists those that there are"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which incidents: ``which`` is a number or ``last``; or all of a boot (an id, 0, -1)."""

    which: str | None = None
    boot: str | None = None


def report(wanted: Wanted, form: str, output: Path | None, config_file: Path | None) -> int:
    """Report one incident, or those of one boot. Raises OomwardenError where there is none."""
    config = None if config_file is None else load_config(config_file).require()
    if wanted.which is not None and wanted.boot is not None:
        raise UsageError("give the number of an incident or a --boot, not both")
    path = find(places_to_read(os.environ, os.geteuid()))
    if path is None:
        raise OomwardenError(_NONE_STORED)
    with closing(Incidents(path)) as file:
        stored = _of_boot(file, wanted.boot, path) if wanted.boot else [_one(file, wanted.which)]
        everything = file.listed(Filter(settled=True))
    give([_explained(each, everything, config) for each in stored], form, output)
    return ExitCode.OK


def report_pending() -> int:
    """Write the reports that no file has yet beside the database, and name them."""
    from oomwarden.cli.report_files import write_pending

    path = find(places_to_read(os.environ, os.geteuid()))
    if path is None:
        raise OomwardenError(_NONE_STORED)
    _stand_back()
    for files in write_pending(path):
        say(str(files.html))
    return ExitCode.OK


def _stand_back() -> None:
    """Memory may still be short: be the first to die, and the last to run."""
    with suppress(OSError):  # the sandbox of a service forbids it
        os.nice(_NICE)
    processes = ProcessTable("/")
    try:
        own = processes.read(os.getpid())
        if own is not None:
            score = ScoreFile("/", own.id)
            score.write(SCORE_MAX)
            score.close()
    except OSError:
        pass  # the report matters more
    finally:
        processes.close()


def _explained(stored: Stored, everything: list[Listed], config: Config | None) -> Explained:
    episode = stored.incident.episode
    report = report_of(stored, everything, config)
    return Explained(report, episode.records if episode is not None else ())


def report_of(stored: Stored, everything: list[Listed], config: Config | None) -> KillReport:
    """Make the report of one incident with all that this machine can add."""
    incident = stored.incident
    around = _around(stored, everything)
    would = None
    if config is not None and incident.episode is not None:
        would = what_if(config, incident.episode, incident, around.swap_total_kib)
    return summarise(incident, around, would)


def _one(file: Incidents, which: str | None) -> Stored:
    if which in {None, LAST}:
        last = file.last()
        if last is None:
            raise OomwardenError("no incident is stored: the kernel has killed nobody so far")
        return last
    try:
        number = int(which or "")
    except ValueError:
        message = f"{which!r} is no incident: give its number, or 'last'; {_HOW}"
        raise UsageError(message) from None
    found = file.get(number) if 0 <= number < 1 << 63 else None
    if found is None:
        message = f"there is no incident {number}; {_HOW}"
        raise OomwardenError(message)
    return found


def _of_boot(file: Incidents, boot: str, path: str) -> list[Stored]:
    """Take the incidents of one boot, the oldest first; of too many the newest."""
    boot_id = find_boot(boot, path)
    listed = file.listed(Filter(boot_id=boot_id))
    if not listed:
        message = f"no incident of boot {boot} is stored; {_HOW}"
        raise OomwardenError(message)
    if len(listed) > MOST_OF_BOOT:
        complain(f"oomwarden: the last {MOST_OF_BOOT} of {len(listed)} incidents of this boot")
    found = (file.get(each.id) for each in listed[-MOST_OF_BOOT:])
    return [each for each in found if each is not None]


def _around(stored: Stored, everything: list[Listed]) -> Surroundings:
    incident, listed = stored.incident, stored.listed
    kills = incident.episode.kills if incident.episode else ()
    uids = {kill.uid for kill in kills} | {each.uid for each in incident.seen}
    return Surroundings(
        id=listed.id,
        earlier=tuple(each for each in everything if _time_of(each) < _time_of(listed)),
        explained_later=listed.explained,
        users={uid: name for uid in uids if uid is not None and (name := _user(uid)) is not None},
        services=find_services(_units(incident)),
        swap_total_kib=swap_total_of(incident),
    )


def _time_of(listed: Listed) -> tuple[float, int]:
    return (listed.recorded_unix if listed.at_unix is None else listed.at_unix), listed.id


def _units(incident: Incident) -> list[str]:
    """List the victims' units that are the system's own: those of users have managers of theirs."""
    kills = incident.episode.kills if incident.episode else ()
    seen = {each.pid: each.place for each in incident.seen}
    places = [kill.task_memcg or seen.get(kill.pid) for kill in kills]
    units = [unit_in(place) for place in places if place is not None and "/user@" not in place]
    return [unit for unit in units if unit is not None]


def _user(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError, ValueError):
        return None


def swap_total_of(incident: Incident) -> int | None:
    """Tell how much swap the machine had, where it is the one that still runs; else None."""
    try:
        if incident.boot_id.replace("-", "") != read_boot("/").id.replace("-", ""):
            return None
        with closing(MeminfoFile("/")) as meminfo:
            return meminfo.read().swap_total_kib
    except (OSError, OomwardenError):
        # A sandbox may hide all of /proc but processes.
        return None
