"""Which files make up the configuration where none is named on the command line.

The main file is the first that exists of ``config.yaml`` in /etc/oomwarden, /run/oomwarden
and /usr/lib/oomwarden. To it come the drop-ins ``conf.d/*.yaml`` of the same folders, in
systemd's way (systemd.unit(5)): sorted by file name over all folders, a file of a higher
folder replaces those of its name in lower ones, and an empty file or a link to /dev/null
masks them.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from oomwarden.errors import Problem, Severity

FOLDERS = ("etc/oomwarden", "run/oomwarden", "usr/lib/oomwarden")
"""From the highest to the lowest, below the root."""
MAIN = "config.yaml"
DROP_INS = "conf.d"
SUFFIX = ".yaml"
CANDIDATES = "etc/oom_candidates.conf"


@dataclass(frozen=True, slots=True)
class Found:
    """The files to read: the main one, or without one the candidates file, then the drop-ins."""

    main: Path | None
    candidates: Path | None
    drop_ins: tuple[Path, ...]
    problems: tuple[Problem, ...]


def find_files(root: Path) -> Found:
    """Look below ``root``, which is / but for tests."""
    mains = [root / folder / MAIN for folder in FOLDERS]
    main = next((path for path in mains if _exists(path)), None)
    candidates = root / CANDIDATES
    drop_ins, problems = _find_drop_ins(root)
    return Found(
        main,
        candidates if main is None and _exists(candidates) else None,
        drop_ins,
        problems,
    )


def _find_drop_ins(root: Path) -> tuple[tuple[Path, ...], tuple[Problem, ...]]:
    by_name: dict[str, Path] = {}
    problems: list[Problem] = []
    for folder in FOLDERS:
        directory = root / folder / DROP_INS
        try:
            paths = sorted(directory.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            problems.append(
                _problem(directory, Severity.ERROR, f"cannot be read: {error.strerror}")
            )
            continue
        for path in paths:
            if path.name.startswith("."):
                continue
            if path.suffix == SUFFIX:
                by_name.setdefault(path.name, path)
            elif path.suffix == ".yml":
                found = f"is not read: the name of a drop-in must end in {SUFFIX}"
                problems.append(_problem(path, Severity.WARNING, found))
    drop_ins = (path for _name, path in sorted(by_name.items()) if not _is_mask(path))
    return tuple(drop_ins), tuple(problems)


def _problem(path: Path, severity: Severity, message: str) -> Problem:
    return Problem(str(path), 1, 1, severity, "", message)


def _exists(path: Path) -> bool:
    """Whether there is something of that name; what may not be looked at counts as there.

    To pass over a file that this user may not read would put another one in force in silence.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _is_mask(path: Path) -> bool:
    if os.path.realpath(path) == os.devnull:
        return True
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == 0
