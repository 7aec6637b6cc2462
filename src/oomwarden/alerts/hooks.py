"""Programs that are given an alert: JSON on standard input, no shell, and not for ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress

from oomwarden.alert import Alert
from oomwarden.alerts.folding import Message
from oomwarden.kernel.shedding import die_with
from oomwarden.wording import printable

LIMIT_SECONDS = 30.0

ENVIRON = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
"""All that a hook finds in its environment."""

_ERROR_CHARACTERS = 200


def document(message: Message, target: str, host: str, report: str | None) -> dict[str, object]:
    """Build what a hook reads; ``report`` is the path of a page that is there while it runs."""
    return {
        "schema": 1,
        "target": target,
        "host": host,
        "severity": message.severity.value,
        "recovery": message.is_recovery,
        "title": message.title,
        "text": message.text,
        "count": message.count,
        "incidents": [each.incident_id for each in message.alerts if each.incident_id is not None],
        "report": report,
        "alerts": [_alert(alert) for alert in message.alerts],
    }


def _alert(alert: Alert) -> dict[str, object]:
    return {
        "key": alert.key,
        "kind": alert.kind.value,
        "severity": alert.severity.value,
        "subject": alert.subject,
        "at_unix": alert.at_unix,
        "count": alert.count,
        "incident_id": alert.incident_id,
        "title": alert.title,
        "text": alert.text,
    }


def run_hook(
    words: Sequence[str], given: dict[str, object], seconds: float = LIMIT_SECONDS
) -> tuple[bool, str]:
    """Run a program, and tell whether it succeeded and how it ended.

    At the end of its time it is killed with all of its process group.
    """
    parent = os.getpid()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as asked:
        # ASCII, for names hold whatever bytes their owners chose. A file, for a program that
        # does not read must not make us wait.
        asked.write(json.dumps(given, ensure_ascii=True).encode() + b"\n")
        asked.seek(0)
        try:
            hook = subprocess.Popen(  # noqa: S603 - the operator has written it down
                list(words),
                stdin=asked,
                stdout=subprocess.DEVNULL,
                stderr=said,
                cwd="/",
                env=ENVIRON,
                start_new_session=True,
                preexec_fn=lambda: die_with(parent),  # noqa: PLW1509 - no other thread is here
            )
        except OSError as error:
            return False, f"cannot be started: {error.strerror or error}"
        try:
            code = hook.wait(seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(hook.pid, signal.SIGKILL)
            hook.wait()
            return False, f"was not done after {seconds:.0f} s, and was killed"
        if code == 0:
            return True, "exit code 0"
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        said.seek(0)
        return False, f"{how}{_last_words(said.read(65536))}"


def _last_words(data: bytes) -> str:
    lines = data.decode("utf-8", "replace").strip().splitlines()
    return f": {printable(lines[-1])[:_ERROR_CHARACTERS]}" if lines else ""
