"""Every kind of alert: how much it matters, what it is called, and its id in the journal."""

from __future__ import annotations

from dataclasses import dataclass

from oomwarden.alert import Kind, Severity


@dataclass(frozen=True, slots=True)
class About:
    """What is the same for all alerts of a kind.

    ``message_id`` is MESSAGE_ID of the journal (systemd.journal-fields(7)): made once, never
    changed. ``severity`` is the usual one. ``title`` comes before the name of the host; ``one``
    and ``many`` are what repeats are counted in.
    """

    message_id: str
    severity: Severity
    title: str
    one: str
    many: str


_INFO, _WARNING, _CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL

KINDS: dict[Kind, About] = {
    Kind.OOM_KILL: About(
        "a4a70dc54ae9476fab5a0f9a5bdd44cb", _CRITICAL, "OOM kill", "OOM kill", "OOM kills"
    ),
    Kind.UNEXPLAINED_KILL: About(
        "54b9a7280e2a41b59d7de7b5fec5b1c7",
        _CRITICAL,
        "Unexplained OOM kill",
        "unexplained OOM kill",
        "unexplained OOM kills",
    ),
    Kind.LEVEL_ENTERED: About(
        "6f260efbed1a4a35a9bfb45fb236a423",
        _WARNING,
        "Memory pressure",
        "rise of memory pressure",
        "rises of memory pressure",
    ),
    Kind.LEVEL_LEFT: About(
        "f4839223bde44737802f6ae8731e0967",
        _WARNING,
        "Memory pressure falls",
        "fall of memory pressure",
        "falls of memory pressure",
    ),
    Kind.PROTECTION_REFUSED: About(
        "1953abeae7a743b7a92ed631423739c3",
        _WARNING,
        "Protection refused",
        "refused protection",
        "refused protections",
    ),
    Kind.UNKILLABLE: About(
        "3d424f8e6428444893abe8d0a8b24125",
        _WARNING,
        "Too much is unkillable",
        "warning of unkillable memory",
        "warnings of unkillable memory",
    ),
    Kind.KILLABLE_AGAIN: About(
        "afb5d261edf64081ab03689cd8be7dbd",
        _WARNING,
        "Enough is killable again",
        "end of unkillable memory",
        "ends of unkillable memory",
    ),
    Kind.WRITE_DENIED: About(
        "22e40ca1c95d45298fe01452a20ca052",
        _WARNING,
        "Scores denied",
        "denied score",
        "denied scores",
    ),
    Kind.SENSE_LOST: About(
        "6e31e8972de5427fb2aa65cb1413c9a6",
        _WARNING,
        "The guard has lost a sense",
        "lost sense",
        "lost senses",
    ),
    Kind.SENSE_FOUND: About(
        "3ebc2cdd6e984ad8b2171825d243cda1",
        _WARNING,
        "The guard has a sense again",
        "sense found again",
        "senses found again",
    ),
    Kind.CONFIG_REJECTED: About(
        "1df1ad32b07849a783116f683607b28d",
        _WARNING,
        "Configuration rejected",
        "rejected configuration",
        "rejected configurations",
    ),
    Kind.CONFIG_ACCEPTED: About(
        "bbe3c5955b0742d095e0b48059994a1f",
        _WARNING,
        "Configuration valid again",
        "accepted configuration",
        "accepted configurations",
    ),
    Kind.GUARD_CRASHED: About(
        "6e9c4bf628d3453a830047383e64eebe",
        _WARNING,
        "The guard had crashed",
        "crash of the guard",
        "crashes of the guard",
    ),
    Kind.TEST: About(
        "f3a2d5cf679b486ca35466d0cc92cf76", _INFO, "Test alert", "test alert", "test alerts"
    ),
}


def counted(kind: Kind, number: int) -> str:
    """Count things of a kind: ``14 OOM kills``."""
    about = KINDS[kind]
    return f"{number} {about.one if number == 1 else about.many}"
