"""Nothing that others wrote makes a reader fall over: a short run, with whatever comes to mind."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

_SLOW = {"packed": 20, "control": 20}
_EXAMPLES = 40
_WORDS = (b"\n", b"\0", b"\x1b[31m", b"\xff", b",task=", b"9" * 5000, b"[", b"\\x41", b"-1", b"<3>")


@st.composite
def mutated(draw: st.DrawFn, target: str) -> bytes:
    """A seed with pieces taken out, put in, exchanged, repeated, and cut off."""
    pool = seeds(target)
    data = draw(st.sampled_from(pool))
    piece = st.one_of(st.sampled_from(_WORDS), st.binary(max_size=8))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(data)))
        end = draw(st.integers(begin, min(begin + 200, len(data))))
        other = draw(st.sampled_from(pool))
        at = draw(st.integers(0, len(other)))
        new = draw(st.one_of(piece, st.just(data[begin:end] * 2), st.just(other[at : at + 80])))
        data = data[:begin] + new + data[end:]
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str) -> None:
    """What fuzzing begins with is fine, as it is meant to be."""
    assert seeds(target)
    for seed in seeds(target):
        TARGETS[target](seed)


@pytest.mark.parametrize("target", TARGETS)
def test_mutated_seeds(target: str) -> None:
    """A longer run, which learns from the code that it reaches: ``python -m tests.fuzz``."""

    @settings(
        max_examples=_SLOW.get(target, _EXAMPLES),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(target))
    def run(data: bytes) -> None:
        TARGETS[target](data)

    run()
