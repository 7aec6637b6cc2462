"""Reports as files beside the incident database, for operators and for alerts to link to.

The guard starts ``oomwarden report --pending`` soon after it has recorded an incident; the courier
(``oomwarden alerts deliver``) calls :func:`write_report` for the incident that it tells of.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import closing, suppress
from pathlib import Path

from oomwarden.cli.reporting import report_of
from oomwarden.cli.reports import Explained, rendered
from oomwarden.errors import OomwardenError
from oomwarden.incidents.failures import StoreError
from oomwarden.incidents.listing import Filter, Listed
from oomwarden.incidents.reading import Incidents, Stored
from oomwarden.incidents.report_files import FOLDER, Files, files_of

MOST_KEPT = 100
"""Of so many incidents, the newest, there are files; ``oomwarden report ID`` has all others."""
_MODE, _FOLDER_MODE, _SHARED_FOLDER_MODE = 0o640, 0o750, 0o770
_OURS = re.compile(r"\d{8}T\d{6}Z-\d+\.(json|html)")


def write_report(database: str, id_: int) -> Files:
    """Write the report of one stored incident as JSON and as HTML, and tell where.

    ``database`` is the path of ``incidents.db``, ``id_`` the incident's number. Files that are
    there already are replaced, each at once and whole: what has become of a service is newer.
    Raises OomwardenError where there is no such incident, or where it cannot be written.
    """
    with closing(Incidents(database)) as file:
        stored = file.get(id_)
        if stored is None:
            raise OomwardenError(f"there is no incident {id_} in {database}")
        return _write(database, stored, file.listed(Filter(settled=True)))


def write_pending(database: str) -> list[Files]:
    """Write the reports that are missing, the newest incident first, and tell which those were.

    Files of incidents that are not among the newest ``MOST_KEPT`` are removed. Raises
    OomwardenError where it cannot be written; a damaged incident is passed over.
    """
    written = []
    with closing(Incidents(database)) as file:
        everything = file.listed(Filter(settled=True))
        newest = [each for each in everything if not _is_settled(each)][-MOST_KEPT:]
        _remove_others(database, newest)
        for listed in reversed(newest):
            if files_of(database, listed).are_there:
                continue
            try:
                stored = file.get(listed.id)
            except StoreError:
                continue
            if stored is not None:
                written.append(_write(database, stored, everything))
    return written


def _is_settled(listed: Listed) -> bool:
    return listed.counted > 0 and listed.explained >= listed.counted


def _write(database: str, stored: Stored, everything: list[Listed]) -> Files:
    files = files_of(database, stored.listed)
    episode = stored.incident.episode
    explained = Explained(
        report_of(stored, everything, None), episode.records if episode is not None else ()
    )
    try:
        _make_folder(files.json.parent)
        for path, form in ((files.json, "json"), (files.html, "html")):
            _replace(path, rendered([explained], form))
    except OSError as error:
        message = f"cannot write {error.filename or files.html}: {error.strerror or error}"
        raise OomwardenError(message) from error
    return files


def _make_folder(folder: Path) -> None:
    """Make it where it is not there, and share it with the group that shares the database."""
    try:
        folder.mkdir()
    except FileExistsError:
        return
    # Whatever the umask is: those who may read the database may read its reports.
    is_shared = folder.parent.stat().st_mode & stat.S_IWGRP
    folder.chmod(_SHARED_FOLDER_MODE if is_shared else _FOLDER_MODE)


def _replace(path: Path, text: str) -> None:
    """Write a file so that whoever looks finds either none or all of it."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, _MODE)
            file.write(text)
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise


def _remove_others(database: str, kept: list[Listed]) -> None:
    """Remove reports that are not kept any more; whatever else lies there is not ours."""
    folder = Path(database).parent / FOLDER
    names = {path.name for each in kept for path in _both(files_of(database, each))}
    with suppress(OSError):
        for path in folder.iterdir():
            if _OURS.fullmatch(path.name) and path.name not in names:
                path.unlink(missing_ok=True)


def _both(files: Files) -> tuple[Path, Path]:
    return files.json, files.html
