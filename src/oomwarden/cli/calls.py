"""From the words of a command line to the command: each loads what it needs when it is run."""

from __future__ import annotations

import argparse

from oomwarden.errors import UsageError


def run(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden run``."""
    from oomwarden.cli.guarding import Wanted, run

    wanted = Wanted(
        once=arguments.once,
        dry_run=arguments.dry_run,
        keep=arguments.keep,
        debug=arguments.debug,
        courier=arguments.courier,
    )
    return run(arguments.config, wanted)


def apply(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden apply``."""
    from oomwarden.cli.guarding import apply

    return apply(
        arguments.config,
        arguments.candidates,
        dry_run=arguments.dry_run,
        as_json=arguments.format == "json",
    )


def restore(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden restore``."""
    from oomwarden.cli.guarding import restore

    return restore(as_json=arguments.format == "json")


def status(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden status``."""
    from oomwarden.cli.looking import status

    return status(as_json=arguments.format == "json")


def watch(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden watch``."""
    from oomwarden.cli.watching import watch

    return watch(
        interval_seconds=arguments.interval,
        count=arguments.count,
        as_json=arguments.format == "json",
    )


def rank(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden rank``."""
    from oomwarden.cli.looking import rank

    return rank(
        arguments.config,
        level=arguments.level,
        memcg=arguments.memcg,
        top=arguments.top,
        as_json=arguments.format == "json",
    )


def explain(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden explain PID``."""
    from oomwarden.cli.explaining import explain_process

    return explain_process(arguments.pid, arguments.config, as_json=arguments.format == "json")


def analyze(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden analyze``."""
    from oomwarden.cli.analyzing import analyze

    return analyze(
        arguments.files,
        arguments.boot,
        form=arguments.format,
        config_file=arguments.config,
        in_full=arguments.report,
    )


def report(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden report``."""
    from oomwarden.cli.reporting import Wanted, report, report_pending

    if arguments.pending:
        if (arguments.id, arguments.boot, arguments.output, arguments.config) != (None,) * 4:
            raise UsageError("--pending stands alone: it writes all that is missing")
        return report_pending()
    wanted = Wanted(arguments.id, arguments.boot)
    return report(wanted, arguments.format, arguments.output, arguments.config)


def drill(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden drill``."""
    from oomwarden.cli.drill import drill

    return drill(as_json=arguments.format == "json")


def alerts_test(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden alerts test``."""
    from oomwarden.cli.alerting import test_targets

    return test_targets(arguments.target, arguments.config, as_json=arguments.format == "json")


def alerts_list(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden alerts list``."""
    from oomwarden.cli.alerting import list_alerts

    return list_alerts(as_json=arguments.format == "json")


def alerts_deliver(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden alerts deliver``."""
    if arguments.watch:
        from oomwarden.cli.courier_watch import watch_outbox

        return watch_outbox(arguments.config)
    from oomwarden.cli.alerting import deliver_alerts

    return deliver_alerts(arguments.config, as_json=arguments.format == "json")


def incidents(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden incidents``."""
    from oomwarden.cli.incidents import Question, incidents
    from oomwarden.kill import Scope

    scope = Scope(arguments.scope) if arguments.scope else None
    return incidents(
        Question(arguments.since, arguments.unit, scope, arguments.boot),
        with_others=not arguments.no_others,
        as_json=arguments.format == "json",
    )


def check(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden check``."""
    from oomwarden.cli.configuring import check

    return check(arguments.files, as_json=arguments.format == "json")


def config_show(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden config show``."""
    from oomwarden.cli.configuring import show

    return show(arguments.config, as_json=arguments.format == "json")


def config_schema(_arguments: argparse.Namespace) -> int:
    """Run ``oomwarden config schema``."""
    from oomwarden.cli.configuring import schema

    return schema()


def convert(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden convert``."""
    from oomwarden.cli.configuring import convert

    return convert(arguments.file)


def doctor(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden doctor``."""
    from oomwarden.cli.doctor import doctor

    return doctor(arguments.config, as_json=arguments.format == "json")


def service_install(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden service install``."""
    from oomwarden.cli.service import service_install

    return service_install(last_resort=arguments.last_resort)


def service_uninstall(_arguments: argparse.Namespace) -> int:
    """Run ``oomwarden service uninstall``."""
    from oomwarden.cli.service import service_uninstall

    return service_uninstall()


def service_status(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden service status``."""
    from oomwarden.cli.service import service_status

    return service_status(as_json=arguments.format == "json")


def metrics(arguments: argparse.Namespace) -> int:
    """Run ``oomwarden metrics``."""
    from oomwarden.cli.metrics import metrics

    return metrics(arguments.textfile, arguments.listen)
