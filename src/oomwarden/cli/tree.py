"""The tree of commands and their options; it also feeds the manual pages and completions."""

from __future__ import annotations

import argparse
from pathlib import Path

from oomwarden import __version__
from oomwarden.cli import calls

_EPILOG = """\
exit codes: 0 ok, 1 failed, 2 usage, 69 the kernel lacks something essential,
77 not permitted, 78 configuration
"""


def parser() -> argparse.ArgumentParser:
    """Build the tree; each command's module is only loaded when that command is run."""
    tree = argparse.ArgumentParser(
        prog="oomwarden",
        description="Ranks processes for the kernel's OOM killer, and explains every kill.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tree.add_argument("--version", action="version", version=f"oomwarden {__version__}")
    tree.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = tree.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_guarding(commands)
    _add_restoring(commands)
    _add_looking(commands)
    _add_remembering(commands)
    _add_reporting(commands)
    _add_analyzing(commands)
    _add_drilling(commands)
    _add_alerting(commands)
    _add_configuring(commands)
    _add_doctor(commands)
    _add_service(commands)
    _add_metrics(commands)
    return tree


_Commands = argparse._SubParsersAction


def _add_guarding(commands: _Commands[argparse.ArgumentParser]) -> None:
    run = commands.add_parser("run", help="guard this machine, in the foreground")
    _add_config(run)
    run.add_argument("--dry-run", action="store_true", help="write nothing; say what would be")
    run.add_argument("--once", action="store_true", help="apply the baseline and exit")
    run.add_argument("--keep", action="store_true", help="do not give scores back at the end")
    run.add_argument(
        "--courier",
        choices=("child", "none"),
        default="child",
        help="who sends alerts: a child of the guard, or somebody else (alerts deliver)",
    )
    run.set_defaults(command=calls.run)

    apply = commands.add_parser("apply", help="apply the scores at calm once, and exit")
    source = apply.add_mutually_exclusive_group()
    _add_config(source)
    source.add_argument(
        "--candidates", type=Path, metavar="FILE", help="a file of lines 'process_name score'"
    )
    apply.add_argument("--dry-run", action="store_true", help="write nothing; say what would be")
    _add_format(apply)
    apply.set_defaults(command=calls.apply)


def _add_restoring(commands: _Commands[argparse.ArgumentParser]) -> None:
    restore = commands.add_parser("restore", help="give back what a killed guard left changed")
    _add_format(restore)
    restore.set_defaults(command=calls.restore)


def _add_looking(commands: _Commands[argparse.ArgumentParser]) -> None:
    status = commands.add_parser("status", help="what the running guard sees and did")
    _add_format(status)
    status.set_defaults(command=calls.status)

    watch = commands.add_parser("watch", help="pressure, what is left, and who dies next, live")
    watch.add_argument(
        "--interval", type=_seconds, default=1.0, metavar="SECONDS", help="between two looks (1)"
    )
    watch.add_argument(
        "--count", type=_count, default=0, metavar="N", help="look so often and end (0: until q)"
    )
    _add_format(watch)
    watch.set_defaults(command=calls.watch)

    rank = commands.add_parser("rank", help="whom the kernel would kill next, in order")
    _add_config(rank)
    rank.add_argument("--level", help="with the scores that the rules give at this level")
    rank.add_argument("--memcg", metavar="PATH", help="in this memory cgroup, at its own limit")
    rank.add_argument("--top", type=_count, default=20, help="how many to show (0: all; 20)")
    _add_format(rank)
    rank.set_defaults(command=calls.rank)

    explain_pid = commands.add_parser("explain", help="which rule holds a process, and why")
    explain_pid.add_argument("pid", type=_count, metavar="PID")
    _add_config(explain_pid)
    _add_format(explain_pid)
    explain_pid.set_defaults(command=calls.explain)


def _add_analyzing(commands: _Commands[argparse.ArgumentParser]) -> None:
    analyze = commands.add_parser("analyze", help="every OOM kill in any saved kernel log")
    analyze.add_argument(
        "files", nargs="*", metavar="FILE", help="packed or not; - is standard input"
    )
    analyze.add_argument(
        "--boot", metavar="N", help="from the journal; 0: this boot, -1: the one before, or an id"
    )
    _add_config(analyze, "say who would have died instead with this configuration")
    analyze.add_argument(
        "--report", action="store_true", help="the whole report of each kill, as 'report' has it"
    )
    _add_report_format(analyze)
    analyze.set_defaults(command=calls.analyze)


def _add_reporting(commands: _Commands[argparse.ArgumentParser]) -> None:
    report = commands.add_parser("report", help="one incident explained: what, when, why, what now")
    report.add_argument(
        "id", nargs="?", metavar="ID", help="as 'oomwarden incidents' has it; last (the default)"
    )
    report.add_argument(
        "--boot", metavar="N", help="all of a boot; 0: this boot, -1: the one before, or an id"
    )
    report.add_argument(
        "--pending",
        action="store_true",
        help="write the reports that have no file yet, as JSON and HTML, beside the database",
    )
    report.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it there")
    _add_config(report, "say who would have died instead with this configuration")
    _add_report_format(report)
    report.set_defaults(command=calls.report)


def _add_drilling(commands: _Commands[argparse.ArgumentParser]) -> None:
    drill = commands.add_parser("drill", help="try it: a real OOM kill, contained and followed")
    _add_format(drill)
    drill.set_defaults(command=calls.drill)


def _add_alerting(commands: _Commands[argparse.ArgumentParser]) -> None:
    alerts = commands.add_parser("alerts", help="who is told, and what became of it")
    parts = alerts.add_subparsers(title="commands", metavar="COMMAND", required=True)
    test = parts.add_parser("test", help="send a test, and say what the server answered")
    test.add_argument("target", nargs="?", metavar="TARGET", help="only this one")
    _add_config(test)
    _add_format(test)
    test.set_defaults(command=calls.alerts_test)
    listing = parts.add_parser("list", help="what waits, was sent, or failed and why")
    _add_format(listing)
    listing.set_defaults(command=calls.alerts_list)
    deliver = parts.add_parser("deliver", help="send what is due, and exit")
    deliver.add_argument(
        "--watch",
        action="store_true",
        help="stay, and send whatever comes: where no service manager starts a courier",
    )
    _add_config(deliver)
    _add_format(deliver)
    deliver.set_defaults(command=calls.alerts_deliver)


def _add_remembering(commands: _Commands[argparse.ArgumentParser]) -> None:
    incidents = commands.add_parser("incidents", help="what was killed on this machine, and why")
    incidents.add_argument("--since", metavar="WHEN", help="2h, 3d, yesterday, 2026-11-23 14:00")
    incidents.add_argument("--unit", metavar="U", help="of this unit, or below this cgroup path")
    incidents.add_argument(
        "--scope",
        choices=("global", "memcg", "cpuset", "mempolicy"),
        help="whose memory had run out",
    )
    incidents.add_argument(
        "--boot", metavar="ID", help="0: this boot, -1: the one before, or an id"
    )
    incidents.add_argument(
        "--no-others", action="store_true", help="leave out kills that are not the kernel's"
    )
    _add_format(incidents)
    incidents.set_defaults(command=calls.incidents)


def _add_configuring(commands: _Commands[argparse.ArgumentParser]) -> None:
    check = commands.add_parser("check", help="find every problem in the configuration")
    check.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="instead of what is found"
    )
    _add_format(check)
    check.set_defaults(command=calls.check)

    config = commands.add_parser("config", help="what is in force, and the schema for editors")
    parts = config.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = parts.add_parser("show", help="every value in force, with the place it comes from")
    _add_config(show)
    _add_format(show)
    show.set_defaults(command=calls.config_show)
    schema = parts.add_parser("schema", help="print the JSON Schema of the configuration")
    schema.set_defaults(command=calls.config_schema)

    convert = commands.add_parser("convert", help="print a candidates file as configuration")
    convert.add_argument("file", type=Path, metavar="FILE")
    convert.set_defaults(command=calls.convert)


def _add_doctor(commands: _Commands[argparse.ArgumentParser]) -> None:
    doctor = commands.add_parser("doctor", help="what works here, what cannot, and what mends it")
    _add_config(doctor)
    _add_format(doctor)
    doctor.set_defaults(command=calls.doctor)


def _add_service(commands: _Commands[argparse.ArgumentParser]) -> None:
    service = commands.add_parser("service", help="have the guard run as a service of this machine")
    parts = service.add_subparsers(title="commands", metavar="COMMAND", required=True)
    install = parts.add_parser("install", help="write the units, or update them, and start")
    install.add_argument(
        "--last-resort",
        action=argparse.BooleanOptionalAction,
        help="permit the service what a last resort takes, or forbid it again (as it is installed:"
        " forbidden)",
    )
    install.set_defaults(command=calls.service_install)
    uninstall = parts.add_parser("uninstall", help="stop, give scores back, remove the units")
    uninstall.set_defaults(command=calls.service_uninstall)
    state = parts.add_parser("status", help="whether it is installed, current and running")
    _add_format(state)
    state.set_defaults(command=calls.service_status)


def _add_metrics(commands: _Commands[argparse.ArgumentParser]) -> None:
    metrics = commands.add_parser("metrics", help="what Prometheus wants to know of the guard")
    where = metrics.add_mutually_exclusive_group()
    where.add_argument(
        "--textfile", type=Path, metavar="FILE", help="replace this file, for node_exporter"
    )
    where.add_argument("--listen", metavar="ADDR", help="serve them at HOST:PORT until the end")
    metrics.set_defaults(command=calls.metrics)


def _add_config(command: argparse._ActionsContainer, what: str = "use this one file alone") -> None:
    command.add_argument("--config", type=Path, metavar="FILE", help=what)


def _add_report_format(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--format",
        choices=("text", "json", "markdown", "html"),
        default="text",
        help="for a person, a program, an issue tracker, or a browser",
    )


def _add_format(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--format", choices=("text", "json"), default="text", help="for a person, or a program"
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0.1 <= number <= 3600:  # noqa: PLR2004 - a tenth of a second to an hour
        raise ValueError(text)
    return number
