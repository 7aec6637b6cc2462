"""The one place of apprise: URLs to services, messages to them, and what they answered.

Loading it takes half a second and 36 MB, so only a command does that has a URL to look at. A URL
is a secret: nothing that is told here has any part of one in it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import apprise
from apprise import AppriseAsset, NotifyFormat, NotifyType, PersistentStoreMode

from oomwarden.alert import Severity
from oomwarden.alerts.folding import Message
from oomwarden.errors import OomwardenError
from oomwarden.wording import printable

ANSWER_CHARACTERS = 200
MASK = "****"

_SHORT = 4
"""A part of a URL that is shorter than this is masked as a word only."""

_STATUS = re.compile(r'"[A-Z]+ [^"]*" (\d{3})\b')
_DETAILS = ("Socket Exception", "SMTP Exception", "Response Details", "Response")
_REASON = re.compile(r"\[Errno -?\d+\] ([^'\")\]]+)")
_SPLIT = re.compile(r"[/?&=,;:@#+ ]+")
_SOURCES = ("apprise", "urllib3")
_TYPES = {
    Severity.INFO: NotifyType.INFO,
    Severity.WARNING: NotifyType.WARNING,
    Severity.CRITICAL: NotifyType.FAILURE,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one message; ``said`` is what the service said of it, if anything."""

    is_sent: bool
    said: str


class Service:
    """One service behind one URL."""

    def __init__(self, url: str) -> None:
        """Look at a URL without contacting anybody. Raises OomwardenError for one of no use."""
        self._url = url
        self._listener = _Listener()
        asset = AppriseAsset(
            app_id="oomwarden",
            app_desc="oomwarden",
            app_url="",
            async_mode=False,
            storage_mode=PersistentStoreMode.MEMORY,
        )
        self._apprise = apprise.Apprise(asset=asset)
        if not self._apprise.add(url):
            scheme = printable(url.partition("://")[0][:20])
            raise OomwardenError(f"apprise cannot use this URL ({scheme}://{MASK})")

    @property
    def takes_attachments(self) -> bool:
        """Whether a file can go with a message; elsewhere apprise drops it without a word."""
        return all(getattr(plugin, "attachment_support", False) for plugin in self._apprise)

    def send(self, message: Message, report: str | None) -> Answer:
        """Send a message, with the file of a report. Blocks for as long as the service does."""
        self._listener.begin()
        kind = NotifyType.SUCCESS if message.is_recovery else _TYPES[message.severity]
        is_sent = bool(
            self._apprise.notify(
                body=message.text,
                title=message.title,
                notify_type=kind,
                # Everything in it is text: what a name has in it of markup is not obeyed.
                body_format=NotifyFormat.TEXT,
                attach=report if report is not None and self.takes_attachments else None,
            )
        )
        return Answer(is_sent, self._listener.answer(self._url, is_sent=is_sent))


class _Listener(logging.Handler):
    """Hears what apprise and its HTTP library log, and keeps it from everybody else."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._heard: list[tuple[int, str, str]] = []
        self.begin()

    def begin(self) -> None:
        """Forget, and be the one who hears from now on."""
        self._heard.clear()
        for name in _SOURCES:
            logger = logging.getLogger(name)
            logger.handlers[:] = [self]
            logger.setLevel(logging.DEBUG)
            logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append((record.levelno, record.name, record.getMessage()))

    def last_complaint(self, url: str) -> str:
        complaints = [text for level, _, text in self._heard if level >= logging.WARNING]
        return _told(complaints[-1], url) if complaints else ""

    def answer(self, url: str, *, is_sent: bool) -> str:
        """Put together what the service answered: its status, and why it did not take it."""
        found = [_STATUS.search(text) for _, name, text in self._heard if name != "apprise"]
        codes = [match[1] for match in found if match]
        said = f"HTTP {codes[-1]}" if codes else ""
        if is_sent:
            return said
        parts = [self.last_complaint(url).rstrip("."), _told(self._detail(), url), said]
        return "; ".join(part for part in parts if part)[: 2 * ANSWER_CHARACTERS]

    def _detail(self) -> str:
        """Find what the socket or the server said, which apprise tells only to who debugs."""
        for _, name, text in reversed(self._heard):
            if name.startswith("apprise") and text.startswith(_DETAILS):
                reason = _REASON.search(text)
                return reason[1].strip() if reason else text
        return ""


def _told(text: str, url: str) -> str:
    """Make it fit for a log: one line, safe, short, and without any part of the URL."""
    return printable(masked(" ".join(text.split()), url))[:ANSWER_CHARACTERS]


def masked(text: str, url: str) -> str:
    """Hide every part of a URL in a text, be it written as in the URL or as it is meant."""
    for part in sorted(_parts(url), key=len, reverse=True):
        if len(part) >= _SHORT:
            text = text.replace(part, MASK)
        else:
            text = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", MASK, text)
    return text


def _parts(url: str) -> set[str]:
    """List all that may be a secret in a URL: everything but its scheme."""
    rest = url.partition("://")[2]
    found = {url, rest, *_SPLIT.split(rest)}
    try:
        split = urlsplit(f"x://{rest}")
        found |= _filled((split.hostname, split.username, split.password, split.path, split.query))
    except ValueError:
        pass
    return {each for part in found for each in (part, unquote(part)) if each not in {"", "/"}}


def _filled(parts: Iterable[str | None]) -> set[str]:
    return {part for part in parts if part}
