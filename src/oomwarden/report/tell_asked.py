"""In words: what the guard itself had done to bring a kill about."""

from __future__ import annotations

from oomwarden.incidents.asked import Asked
from oomwarden.report.text import Quoted, Text

_BECAUSE = {
    "kernel-oom": " because oomwarden asked the kernel to kill early (last resort)",
    "kill": " by oomwarden (last resort)",
    "kill-unit": ", with its whole unit, by oomwarden (last resort)",
    "terminate": " (SIGTERM) by oomwarden (last resort)",
}
_DID = {
    "kernel-oom": "asked the kernel's OOM killer to choose (SysRq f)",
    "kill": "sent SIGKILL to it",
    "kill-unit": "killed the whole unit",
    "terminate": "sent SIGTERM to it: it may have ended in order, or not at once",
}


def because_of(asked: Asked) -> Text:
    """End the headline."""
    return (_BECAUSE.get(asked.action, " by oomwarden"),)


def about_asked(asked: Asked) -> Text:
    """Tell who acted, and why."""
    origin: Text = (" (", Quoted(asked.origin), ")") if asked.origin else ()
    what = _DID.get(asked.action, asked.action)
    held = f"level {asked.level} had held for {asked.held_seconds:.1f} s"
    return (
        f"oomwarden ended it, as a last resort: {held}, so it {what}",
        *origin,
        f". Then: {asked.why}.",
    )


def about_expected(asked: Asked, victim_pid: int | None) -> Text:
    """Tell whom it had expected to die, and whether that was right."""
    who: Text = (Quoted(asked.expected_comm), f" (pid {asked.expected_pid})")
    if victim_pid == asked.expected_pid:
        return ("First in the order was ", *who, ", and it was that one.")
    return ("First in the order was ", *who, ", and the kernel chose another.")
