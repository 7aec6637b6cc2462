"""Reading of records, and where the collection of real kernel logs is, if it is anywhere.

The collection is third-party text and no part of the project: it is looked for in the directory
that OOMWARDEN_CORPUS names, else beside the checkout.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from oomwarden.kill import Episode, Record
from oomwarden.oomlog.episodes import Episodes

_BESIDE = Path(__file__).parents[3] / "shared" / "corpus"


def corpus(folder: str, pattern: str = "*.log") -> list[Path]:
    """List the logs of one folder of the collection; empty where there is no collection."""
    root = Path(os.environ.get("OOMWARDEN_CORPUS", _BESIDE))
    return sorted((root / folder).glob(pattern))


def read_all(records: Iterable[Record]) -> list[Episode]:
    """Read records to their end."""
    reader = Episodes()
    return [each for record in records for each in reader.feed(record)] + reader.close()
