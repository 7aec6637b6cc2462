"""An incident comes back from its document as it was, or says what was left out."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.incidents.samples import anything, counted, killed

from oomwarden.incidents.document import DocumentError, decode, encode
from oomwarden.incidents.incident import Incident


@given(anything(Incident))
def test_every_incident_comes_back_exactly(incident: object) -> None:
    """Names of any bytes, unknown and known values, rows and tables."""
    assert isinstance(incident, Incident)

    assert decode(encode(incident)) == incident


def test_what_is_the_default_takes_no_room() -> None:
    """A column in which nobody has anything is not written."""
    text = zlib.decompress(encode(killed(1, rows=2)))

    assert b"pgtables_pages" not in text
    assert b"unix_us" not in text
    assert text.count(b"rss_pages") == 1


def test_an_older_program_reads_what_a_newer_one_adds() -> None:
    """Keys and columns that are not known are passed over."""
    incident = killed(1, rows=2)
    document = json.loads(zlib.decompress(encode(incident)))
    document["incident"]["mood"] = {"of": "the kernel"}
    table = document["incident"]["episode"]["table"]
    table["columns"].insert(1, "colour")
    for row in table["rows"]:
        row.insert(1, "red")

    assert decode(zlib.compress(json.dumps(document).encode())) == incident


def test_a_document_of_another_schema_is_refused() -> None:
    """What would be misunderstood is not read."""
    with pytest.raises(DocumentError, match="schema 2"):
        decode(zlib.compress(b'{"schema": 2, "incident": {}}'))


@given(st.binary() | st.binary().map(zlib.compress), st.integers(0, 200), st.integers(1, 255))
def test_a_damaged_document_is_an_error_of_its_own(data: bytes, at: int, flip: int) -> None:
    """Any bytes, and any one changed byte of a good one, are told as damage, or do none."""
    with pytest.raises(DocumentError):
        decode(data)
    incident = killed(1)
    good = bytearray(encode(incident))
    good[at % len(good)] ^= flip
    try:
        decoded = decode(bytes(good))
    except DocumentError:
        return
    # A few bits of the header tell only how hard it was compressed (RFC 1950, FLEVEL).
    assert at % len(good) == 1
    assert decoded == incident


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["episode", "kills", "columns", "rows", "key", "accounted"]), inner
            )
        ),
    )
)
def test_a_document_of_another_shape_is_an_error_too(part: object) -> None:
    """JSON that is no incident does not bring a reader down."""
    document = {"schema": 1, "incident": part}

    with pytest.raises(DocumentError):
        decode(zlib.compress(json.dumps(document).encode()))


def _length(incident: Incident, most: int) -> int:
    return len(zlib.decompress(encode(incident, most)))


def test_too_much_loses_raw_records_first() -> None:
    """The first and the last ones stay, the table is whole, and it is said what is missing."""
    incident = killed(1, rows=1000)
    whole = _length(incident, 1 << 30)

    less = decode(encode(incident, whole - 50_000))

    assert incident.episode is not None
    assert less.episode is not None
    assert _length(incident, whole - 50_000) <= whole - 50_000
    assert less.episode.table == incident.episode.table
    kept = less.episode.records
    assert kept[0] == incident.episode.records[0]
    assert kept[-1] == incident.episode.records[-1]
    assert less.left_out == (f"{1000 - len(kept)} of 1000 raw records",)
    assert 300 < len(kept) < 1000


def test_far_too_much_keeps_the_largest_tasks_and_the_kill() -> None:
    """Rows go next, the smallest first; then what was known of the minutes before."""
    incident = killed(1, rows=1000)

    some = decode(encode(incident, 30_000))
    none = decode(encode(incident, 700))

    assert incident.episode is not None
    assert some.episode is not None
    assert none.episode is not None
    assert some.episode.records == ()
    assert some.episode.table == incident.episode.table[-len(some.episode.table or ()) :]  # type: ignore[index]
    assert none.episode.table is None
    assert none.seen == ()
    assert none.episode.kills == incident.episode.kills
    assert len(none.left_out) == 3


@given(st.integers(0, 200), st.integers(0, 60_000))
def test_it_fits_whenever_the_kills_do(rows: int, most: int) -> None:
    """Whatever is over is cut, and nothing is cut that fits."""
    incident = killed(1, rows=rows)
    bare_length = _length(incident, 0)
    whole_length = _length(incident, 1 << 30)

    assert _length(incident, most) <= max(most, bare_length)
    assert (decode(encode(incident, most)) == incident) == (most >= whole_length)


def test_an_incident_without_a_log_has_nothing_to_cut() -> None:
    """What a counter tells is kept whole."""
    incident = replace(counted(1, 3), key="k" * 5000)

    assert decode(encode(incident, 100)) == incident
