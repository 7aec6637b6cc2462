"""Waiting for descriptors and signals with the real kernel."""

from __future__ import annotations

import os
import signal

from oomwarden.guard.events import Events


def test_a_signal_ends_the_wait() -> None:
    """A signal is an event like any other, and its former handler is back afterwards."""
    before = signal.getsignal(signal.SIGHUP)

    with Events() as events:
        os.kill(os.getpid(), signal.SIGHUP)
        ready, signals = events.wait(10)

    assert (ready, signals) == (set(), {signal.SIGHUP})
    assert signal.getsignal(signal.SIGHUP) is before


def test_a_descriptor_ends_the_wait_until_it_is_dropped() -> None:
    """What is watched wakes us up; what is dropped does not."""
    reader, writer = os.pipe()
    os.write(writer, b"x")

    with Events() as events:
        events.watch(reader)
        watched, _ = events.wait(10)
        events.drop(reader)
        dropped, _ = events.wait(0)

    os.close(reader)
    os.close(writer)
    assert (watched, dropped) == ({reader}, set())


def test_a_wait_in_which_nothing_happens_ends() -> None:
    """When the time is up, nothing is ready."""
    with Events() as events:
        happened = events.wait(0)

    assert happened == (set(), set())
