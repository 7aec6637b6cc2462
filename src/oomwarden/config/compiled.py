"""The answer of a load as bytes, for the guard: it must not carry a YAML reader in memory.

``python -m oomwarden.config.compile`` writes such an answer, the guard reads it.
"""

from __future__ import annotations

from _pickle import dumps, loads  # all of it that the guard needs: the rest is 0.2 MB
from dataclasses import dataclass

from oomwarden import __version__
from oomwarden.config.schema import Config
from oomwarden.errors import ConfigError, OomwardenError, Problem

_HEAD = f"oomwarden configuration {__version__}\n".encode()
_TAIL = b"\nend\n"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of loading: ``config`` is None where there is an error among the problems.

    ``problems`` are errors and warnings in the order of files and lines; ``notes`` are whole
    sentences that a start should show.
    """

    config: Config | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    def require(self) -> Config:
        """The configuration; raises ConfigError with every problem where there is none."""
        if self.config is None:
            raise ConfigError(self.problems)
        return self.config


def dump(loaded: Loaded) -> bytes:
    """The bytes from which :func:`load` of the same version makes an equal answer."""
    return _HEAD + dumps(loaded) + _TAIL


def load(data: bytes) -> Loaded:
    """Read what :func:`dump` wrote; raises OomwardenError for anything else.

    Only for bytes of a process of our own: a pickle can do whatever its writer wants.
    """
    if not data.endswith(_TAIL):
        raise OomwardenError("the loader of the configuration ended before it had answered")
    if not data.startswith(_HEAD):
        found = data.split(b"\n", 1)[0].decode("utf-8", "replace")
        raise OomwardenError(
            f"the loader of the configuration is not of this version ({__version__}) but says "
            f"{found[:80]!r}: restart oomwarden"
        )
    try:
        loaded = loads(data[len(_HEAD) : -len(_TAIL)])
    except Exception as error:
        # A damaged pickle can raise nearly anything.
        raise OomwardenError(
            f"the answer of the configuration loader is damaged: {error}"
        ) from error
    if not isinstance(loaded, Loaded):
        raise OomwardenError("the answer of the configuration loader is of another kind")
    return loaded
