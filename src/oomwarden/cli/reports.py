"""Reports on their way out: in which format, to a terminal, a pipe or a file."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oomwarden.errors import OomwardenError
from oomwarden.kill import Record
from oomwarden.report.kill_report import KillReport


@dataclass(frozen=True, slots=True)
class Explained:
    """A report, and the records of the kernel log that it was made from."""

    report: KillReport
    records: Sequence[Record] = ()


FORMATS = ("text", "json", "markdown", "html")
_STDOUT = "-"


def give(
    reports: Sequence[Explained], form: str, output: Path | None, source: str | None = None
) -> None:
    """Render reports and write them. Raises OomwardenError where the file cannot be written.

    ``source`` names the log that they were read from.
    """
    is_file = output is not None and str(output) != _STDOUT
    is_for_terminal = not is_file and sys.stdout.isatty()
    text = rendered(reports, form, source, is_for_terminal=is_for_terminal)
    if output is None or not is_file:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"cannot write {output}: {error.strerror or error}"
        raise OomwardenError(message) from error


def rendered(
    explained: Sequence[Explained],
    form: str,
    source: str | None = None,
    *,
    is_for_terminal: bool = False,
) -> str:
    """Render reports in one of FORMATS; each loads only what it needs."""
    reports = [each.report for each in explained]
    match form:
        case "json":
            from oomwarden.report.document import render as render_json

            # Names hold whatever bytes their owners chose: ASCII survives every file and pipe.
            return json.dumps(render_json(reports), indent=2, ensure_ascii=True) + "\n"
        case "markdown":
            from oomwarden.report.markdown import render as render_markdown

            return render_markdown(reports)
        case "html":
            from oomwarden.report.html import render as render_html

            records = [each.records for each in explained]
            return render_html(reports, records=records, source=source)
        case _:
            from oomwarden.report.terminal import render as render_text

            width, colour = terminal_width(is_for_terminal=is_for_terminal)
            return render_text(reports, width, colour=colour)


def terminal_width(*, is_for_terminal: bool) -> tuple[int, bool]:
    """Tell how wide text may be, and whether it may have colour (no-color.org)."""
    from oomwarden.report.terminal import WIDTH

    if not is_for_terminal:
        return WIDTH, False
    is_dumb = os.environ.get("TERM") in {None, "", "dumb"}
    return shutil.get_terminal_size().columns, not os.environ.get("NO_COLOR") and not is_dumb
