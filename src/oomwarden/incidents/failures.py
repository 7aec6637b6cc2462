"""Why the store could not do what it was asked, in kinds that the recorder understands."""

from __future__ import annotations

from enum import StrEnum

from oomwarden.errors import OomwardenError


class Trouble(StrEnum):
    """What is wrong with the database or its disk."""

    FULL = "the disk is full"
    READ_ONLY = "the file system is read-only"
    DENIED = "not permitted"
    LOCKED = "another process has locked it"
    CORRUPT = "the file is damaged"
    NEWER = "a newer oomwarden wrote it"
    DISK = "the disk fails"
    OTHER = "it does not work"


class StoreError(OomwardenError):
    """The store could not do it; ``trouble`` says why, the text says it in a sentence."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.trouble = trouble
