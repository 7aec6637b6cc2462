"""``metrics``: print them, write them for node_exporter, or serve them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from oomwarden.cli.in_force import ask_guard
from oomwarden.cli.output import complain, say
from oomwarden.errors import ExitCode, NotPermittedError, OomwardenError, UsageError
from oomwarden.incidents.failures import StoreError
from oomwarden.incidents.listing import Filter
from oomwarden.incidents.outbox import has_outbox, read_targets, read_waiting
from oomwarden.incidents.places import places_to_read
from oomwarden.incidents.reading import Incidents, find
from oomwarden.kernel.boot import read_boot
from oomwarden.metrics import Family, Recorded, families, text

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_LAST_PORT = 65535


def metrics(textfile: Path | None, listen: str | None) -> int:
    """Tell them once, on standard output or into a file, or to whoever asks until the end."""
    if listen is not None:
        return _serve(*parse_address(listen))
    written = text(collect())
    if textfile is None:
        say(written.rstrip("\n"))
        return ExitCode.OK
    _replace(textfile, written)
    return ExitCode.OK


def collect() -> tuple[Family, ...]:
    """Ask the guard and the store. A guard that is down is told as that; see NotPermittedError."""
    try:
        status = ask_guard("status")
    except NotPermittedError:
        # To say that it is down would be a lie.
        raise
    except OomwardenError:
        status = None
    now = time.time()  # noqa: TID251 - a command line may look at the clock
    return families(status, _recorded(), now)


def _recorded() -> Recorded | None:
    try:
        path = find(places_to_read(os.environ, os.geteuid()))
        if path is None:
            return Recorded((), {}, {})
        boot_id = read_boot("/").id
        with closing(Incidents(path)) as stored:
            incidents = tuple(stored.listed(Filter(boot_id=boot_id)))
        if not has_outbox(path):
            return Recorded(incidents, {}, {})
        failures = {state.name: state.failures for state in read_targets(path)}
        return Recorded(incidents, read_waiting(path), failures)
    except (OSError, StoreError, NotPermittedError) as error:
        complain(f"oomwarden: kills and alerts are left out: {error}")
        return None


def parse_address(listen: str) -> tuple[str, int]:
    """Read ``HOST:PORT``, ``[::1]:PORT`` or ``PORT``, which is on this machine alone."""
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) <= _LAST_PORT:
        raise UsageError(f"--listen {listen}: say HOST:PORT, such as 127.0.0.1:9924")
    return host.strip("[]") or "127.0.0.1", int(port)


def _replace(path: Path, written: str) -> None:
    """Put it in place as a whole: node_exporter may read at any moment."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(written)
        fresh.chmod(0o644)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


class _Collector:
    """Asks anew at every scrape."""

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for family in collect():
            make = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
            labels = [name for name, _ in family.samples[0].labels] if family.samples else []
            metric = make(family.name, family.help, labels=labels)
            for sample in family.samples:
                values = [
                    value.encode("utf-8", "backslashreplace").decode() for _, value in sample.labels
                ]
                metric.add_metric(values, sample.value)
            yield metric

    def describe(self) -> list[Metric]:
        """Nothing is asked before somebody scrapes."""
        return []


def _serve(host: str, port: int) -> int:
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError:
        message = "--listen needs prometheus_client: pip install 'oomwarden[metrics]'"
        raise OomwardenError(message) from None
    registry = CollectorRegistry()
    registry.register(_Collector())
    # Blocked before the server's threads begin, which inherit it: the signal is for us to wait on.
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise OomwardenError(f"{host}:{port}: {error.strerror or error}") from None
    say(f"http://{host}:{port}/metrics")
    sys.stdout.flush()
    signal.sigwait(stops)
    server.shutdown()
    server.server_close()
    thread.join()
    return ExitCode.OK
