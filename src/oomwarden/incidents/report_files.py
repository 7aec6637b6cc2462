"""Where the report of an incident lies as a file, once it has been written."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from oomwarden.incidents.listing import Listed

FOLDER = "reports"


@dataclass(frozen=True, slots=True)
class Files:
    """Where the report of one incident is, or would be, as JSON and as a page."""

    json: Path
    html: Path

    @property
    def are_there(self) -> bool:
        """Whether both have been written."""
        return self.json.exists() and self.html.exists()


def files_of(database: str, listed: Listed) -> Files:
    """Tell where the report of an incident belongs: ``reports/20261124T145231Z-46.html``.

    The time keeps a new database, which counts from 1 again, from meeting files of an old one.
    """
    unix = listed.recorded_unix if listed.at_unix is None else listed.at_unix
    try:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(unix))
    except (OverflowError, ValueError, OSError):
        stamp = "19700101T000000Z"
    folder = Path(database).parent / FOLDER
    return Files(*(folder / f"{stamp}-{listed.id}.{form}" for form in ("json", "html")))
