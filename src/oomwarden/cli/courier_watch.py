"""``alerts deliver --watch``: a courier for where no service manager starts one, as in a pod.

This process stays, and is small: it looks for what waits, and sends out a courier, which loads
apprise, talks to the network and ends.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path

from oomwarden.cli.output import complain, say
from oomwarden.errors import ExitCode, OomwardenError
from oomwarden.guard.courier import command_line
from oomwarden.incidents.outbox import has_outbox, read_posted, read_waiting
from oomwarden.incidents.places import places_to_read
from oomwarden.incidents.reading import find
from oomwarden.wording import printable

LOOK_SECONDS = 2.0
"""How often it is looked whether something new waits: a query of a small table."""

AGAIN_SECONDS = 60.0
"""What could not be delivered is tried again then, at the latest: as by the timer of systemd."""


def watch_outbox(config_file: Path | None) -> int:
    """Send whatever comes to wait, until SIGTERM or SIGINT."""
    wake, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(theirs)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    seen, again_at, trouble = -1, 0.0, ""
    while not select.select([wake], [], [], LOOK_SECONDS)[0]:
        try:
            newest = _newest_waiting()
            trouble = ""
        except OomwardenError as error:
            if str(error) != trouble:
                trouble = str(error)
                complain(trouble)
            continue
        if newest is None or (newest == seen and time.monotonic() < again_at):
            continue
        # What is written while a courier is out may have come too late for it.
        seen = newest
        again_at = time.monotonic() + _send_out(config_file)
    return ExitCode.OK


def _newest_waiting() -> int | None:
    """Tell the number of the last alert that there is; None where nothing waits."""
    path = find(places_to_read(os.environ, os.geteuid()))
    if path is None or not has_outbox(path) or not read_waiting(path):
        return None
    return read_posted(path, 1)[0].id


def _send_out(config_file: Path | None) -> float:
    """Send one courier out and tell of what it did; in how many seconds to go again."""
    words = command_line(None if config_file is None else str(config_file))
    # In a session of its own: it ends what it has begun, within the minutes that it has.
    done = subprocess.run(  # noqa: S603 - our own command
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
        start_new_session=True,
    )  # fmt: skip
    try:
        document = json.loads(done.stdout)
    except ValueError:
        # It has said why.
        return AGAIN_SECONDS
    for result in document["results"]:
        said = f": {result['said']}" if result["said"] else ""
        verdict = "sent" if result["sent"] else "FAILED"
        say(printable(f"{result['target']}: {verdict}: {result['count']}{said}"))
    next_unix: float | None = document["next_unix"]
    if next_unix is None:
        return AGAIN_SECONDS
    now = time.time()  # noqa: TID251 - a command line may look at the clock
    return min(max(next_unix - now, LOOK_SECONDS), AGAIN_SECONDS)
