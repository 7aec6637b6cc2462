"""``analyze``: every kill in any saved kernel log."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from oomwarden.cli.episode_text import episode_lines, label
from oomwarden.cli.log_sources import STDIN, check_boot, read_boot_log, read_log
from oomwarden.cli.output import complain, say, say_json
from oomwarden.cli.progress import Progress
from oomwarden.cli.reports import Explained, give, terminal_width
from oomwarden.config.load import load_config
from oomwarden.config.schema import Config
from oomwarden.errors import ExitCode, OomwardenError, UsageError
from oomwarden.kill import Episode
from oomwarden.oomlog.documents import kill_document
from oomwarden.oomlog.scan import episodes_in
from oomwarden.report.document import report_document, what_if_document
from oomwarden.report.kill_report import KillReport
from oomwarden.report.summary import summarise_episode
from oomwarden.report.whatif import what_if
from oomwarden.wording import printable

_NARROWEST = 60
_NONE = "No OOM kill in it."


@dataclass(frozen=True, slots=True)
class _Source:
    """One log: what it is called, and how it is read in pieces."""

    name: str
    chunks: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class _Problem:
    """Why a log could not be read, or not to its end."""

    source: str
    message: str


def analyze(
    files: Sequence[str],
    boot: str | None,
    *,
    form: str = "text",
    config_file: Path | None = None,
    in_full: bool = False,
) -> int:
    """Show every kill in the logs. Those that cannot be read are named; the others are shown.

    ``form`` is one of ``text``, ``json``, ``markdown``, ``html``; with a configuration it is said
    of each who would have died instead. ``in_full`` gives the whole report of each, which the
    last two do in any case.
    """
    config = None if config_file is None else load_config(config_file).require()
    progress = Progress()
    sources = [_of_file(name, progress) for name in files]
    if boot is not None:
        boot_id = check_boot(boot)
        sources.append(_Source(f"boot {boot}", lambda: read_boot_log(boot_id)))
    elif not sources:
        if sys.stdin.isatty():
            raise UsageError("name a log file, or - for standard input, or a --boot of the journal")
        sources = [_of_file(STDIN, progress)]
    problems: list[_Problem] = []
    found = _found(sources, progress, problems)
    if form == "json":
        say_json(_json(found, problems, config, in_full=in_full))
    elif form == "text" and in_full:
        count = _say_reports(found, config)
        if not count and len(problems) < len(sources):
            say(_NONE)
    elif form != "text":
        # A page wants to know how many there are before the first one.
        everything = [Explained(_report(episode, config), episode.records) for _, episode in found]
        give(everything, form, None, sources[0].name if len(sources) == 1 else None)
    else:
        count = _say(found, config, has_several=len(sources) > 1)
        if not count and len(problems) < len(sources):
            say(_NONE)
    for each in problems:
        complain(f"oomwarden: {printable(each.source)}: {each.message}")
    return ExitCode.FAILED if problems else ExitCode.OK


def _of_file(name: str, progress: Progress) -> _Source:
    title = "standard input" if name == STDIN else name
    return _Source(title, lambda: read_log(name, progress))


def _found(
    sources: Sequence[_Source], progress: Progress, problems: list[_Problem]
) -> Iterator[tuple[_Source, Episode]]:
    """Give the episodes as they are found; adds to the problems."""
    for source in sources:
        failures: list[str] = []
        for episode in episodes_in(_until_failure(source, failures)):
            progress.clear()
            yield source, episode
        progress.clear()
        problems += [_Problem(source.name, message) for message in failures]


def _until_failure(source: _Source, failures: list[str]) -> Iterator[bytes]:
    """Read as far as possible: what was read before counts, and ends there."""
    try:
        yield from source.chunks()
    except OomwardenError as error:
        failures.append(str(error))


def _report(episode: Episode, config: Config | None) -> KillReport:
    return summarise_episode(episode, what_if(config, episode) if config is not None else None)


def _json(
    found: Iterator[tuple[_Source, Episode]],
    problems: list[_Problem],
    config: Config | None,
    *,
    in_full: bool,
) -> dict[str, object]:
    """Make the document; ``what_if`` and ``reports`` are in it where they were asked for."""
    kills: list[object] = []
    instead: list[object] = []
    reports: list[object] = []
    for _, episode in found:
        kills += [kill_document(kill) for kill in episode.kills]
        report = _report(episode, config) if config is not None or in_full else None
        if report is not None and in_full:
            reports.append(report_document(report))
        if report is not None and report.what_if is not None:
            pids = [kill.pid for kill in episode.kills]
            instead.append({"killed": pids, **what_if_document(report.what_if)})
    documents = [{"source": each.source, "message": each.message} for each in problems]
    document: dict[str, object] = {"schema": 1, "kills": kills, "problems": documents}
    if config is not None:
        document["what_if"] = instead
    return {**document, "reports": reports} if in_full else document


def _say_reports(found: Iterator[tuple[_Source, Episode]], config: Config | None) -> int:
    """Print a report of each episode as it is found, and tell how many these were."""
    count = 0
    for _, episode in found:
        if count:
            say("")
        count += 1
        give([Explained(_report(episode, config))], "text", None)
    return count


def _say(
    found: Iterator[tuple[_Source, Episode]], config: Config | None, *, has_several: bool
) -> int:
    """Print the episodes as they are found, and tell how many these were."""
    episodes = kills = 0
    for source, episode in found:
        episodes += 1
        kills += len(episode.kills)
        title = f"OOM {episodes}"
        say(f"{title} in {printable(source.name)}" if has_several else title)
        for name, text in episode_lines(episode):
            for line in _wrapped(f"  {label(name)}", text):
                say(line)
        if config is not None:
            _say_instead(_report(episode, config))
        say("")
    if episodes:
        say(f"{_count(kills, 'kill')} in {_count(episodes, 'episode')}.")
    return episodes


def _say_instead(report: KillReport) -> None:
    from oomwarden.report.terminal import render_sections

    width, colour = terminal_width(is_for_terminal=sys.stdout.isatty())
    say("")
    say(render_sections(report, ("what_if",), width, colour=colour).rstrip("\n"))


def _wrapped(start: str, text: str) -> list[str]:
    """Fit a terminal; in a pipe every line is whole."""
    if not sys.stdout.isatty():
        return [start + text]
    width = max(shutil.get_terminal_size().columns, _NARROWEST)
    return textwrap.wrap(
        text,
        width,
        initial_indent=start,
        subsequent_indent=" " * (len(start) + 2),
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
