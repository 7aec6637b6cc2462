"""An incident as one JSON document, and back: what the store keeps.

Objects leave out what has its default value. Rows of one kind (records, tasks, readings) name
their columns once: ``{"columns": ["pid", "comm"], "rows": [[1, "init"]]}``. A column or key that
is not known is passed over, so that an older program reads what a newer one wrote, as long as
``schema`` is one that it knows.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, fields

from oomwarden.errors import OomwardenError
from oomwarden.incidents.asked import Asked
from oomwarden.incidents.incident import (
    Accounted,
    Adjusted,
    Growth,
    Incident,
    Ranked,
    Reading,
    Seen,
)
from oomwarden.incidents.trim import TRIMS, Trim
from oomwarden.kill import Episode, Kill, Record, Scope, Task

SCHEMA = 1
MOST_BYTES = 1 << 20
"""The longest document, before it is packed. A dump of 4,000 tasks with all its records fits;
making and packing more would take megabytes of the guard's locked memory, in a shortage."""

_CAUTION = 0.9

Json = dict[str, object]


class DocumentError(OomwardenError):
    """A stored document that cannot be read."""


def encode(incident: Incident, most_bytes: int = MOST_BYTES) -> bytes:
    """Write an incident as a packed document; its check sum tells later whether it is whole.

    What is longer than ``most_bytes`` loses raw records first, then rows of the task table and
    other details, and says so in ``left_out``. Kills are never cut.
    """
    text = _text(incident)
    for trim in TRIMS:
        if len(text) <= most_bytes:
            break
        incident, text = _fit(incident, text, trim, most_bytes)
    return zlib.compress(text)


def _fit(incident: Incident, text: bytes, trim: Trim, most_bytes: int) -> tuple[Incident, bytes]:
    """Cut one part as far as it must be, or leave it out where that is not enough."""
    without = trim(incident, 0)
    text_without = _text(without)
    part = len(text) - len(text_without)
    too_much = len(text) - most_bytes
    if too_much < part:
        # Rows differ in length, and what is said of the cut takes room, too.
        fewer = trim(incident, (1 - too_much / part) * _CAUTION)
        text_fewer = _text(fewer)
        if len(text_fewer) <= most_bytes:
            return fewer, text_fewer
    return without, text_without


def decode(data: bytes) -> Incident:
    """Read a document back, exactly as it was. Raises DocumentError."""
    try:
        document = json.loads(zlib.decompress(data))
        if document["schema"] != SCHEMA:
            message = (
                f"the document has schema {document['schema']}, and this oomwarden knows "
                f"{SCHEMA}: a newer one wrote it"
            )
            raise DocumentError(message)
        make: Callable[..., Incident] = Incident
        return make(**_arguments(Incident, document["incident"]))
    except (zlib.error, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        message = f"the document is damaged: {type(error).__name__}: {error}"
        raise DocumentError(message) from None


def _text(incident: Incident) -> bytes:
    document = {"schema": SCHEMA, "incident": _plain(incident)}
    # Not ASCII: with surrogatepass every string comes back as it was, however odd.
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def _plain(value: object) -> Json:
    """Write a dataclass as an object, without what has its default value."""
    document: Json = {}
    for name, default in _DEFAULTS[type(value)].items():
        part = getattr(value, name)
        if default is not MISSING and part == default:
            continue
        kind = _KINDS.get((type(value), name))
        if kind in _ROWS and part:
            part = _table(_ROWS[kind], part)
        elif kind in _OBJECTS and part is not None:
            part = _plain(part)
        document[name] = part
    return document


def _table(kind: type, values: Sequence[object]) -> Json:
    """Write values of one kind as rows, without columns in which all have the default."""
    columns = [
        name
        for name, default in _DEFAULTS[kind].items()
        if default is MISSING or any(getattr(value, name) != default for value in values)
    ]
    rows = [[getattr(value, name) for name in columns] for value in values]
    return {"columns": columns, "rows": rows}


def _arguments(kind: type, document: object) -> Json:
    if not isinstance(document, dict):
        raise TypeError(kind.__name__)
    known = _DEFAULTS[kind]
    return {name: _read(kind, name, part) for name, part in document.items() if name in known}


def _read(kind: type, name: str, part: object) -> object:
    inner = _KINDS.get((kind, name))
    if inner is None:
        return _tuples(part)
    if part is None:
        return None
    if inner in _ROWS:
        return tuple(inner(**_arguments(_ROWS[inner], row)) for row in _rows(part))
    if inner in _OBJECTS:
        return inner(**_arguments(_OBJECTS[inner], part))
    return inner(part)


def _rows(table: object) -> Iterator[Json]:
    match table:
        case {"columns": [*columns], "rows": [*rows]}:
            for row in rows:
                yield dict(zip(columns, row, strict=True))
        case []:
            return
        case _:
            raise TypeError(type(table).__name__)


def _tuples(part: object) -> object:
    """Turn arrays, also those within arrays, into tuples: nothing of ours holds a list."""
    return tuple(map(_tuples, part)) if isinstance(part, list) else part


def _defaults(kind: type) -> dict[str, object]:
    """Tell the default of each field; MISSING where it has none."""
    return {
        field.name: field.default if field.default_factory is MISSING else field.default_factory()
        for field in fields(kind)
    }


_Maker = Callable[..., object]
_ROWS: dict[_Maker, type] = {
    kind: kind for kind in (Kill, Record, Task, Reading, Seen, Growth, Adjusted, Ranked)
}
_OBJECTS: dict[_Maker, type] = {Episode: Episode, Asked: Asked}
_KINDS: dict[tuple[type, str], _Maker] = {
    (Incident, "accounted"): Accounted,
    (Incident, "episode"): Episode,
    (Incident, "readings"): Reading,
    (Incident, "seen"): Seen,
    (Incident, "growth"): Growth,
    (Incident, "adjusted"): Adjusted,
    (Incident, "predicted"): Ranked,
    (Incident, "asked"): Asked,
    (Episode, "kills"): Kill,
    (Episode, "records"): Record,
    (Episode, "scope"): Scope,
    (Episode, "table"): Task,
    (Kill, "scope"): Scope,
}
_DEFAULTS = {kind: _defaults(kind) for kind in (Incident, *_OBJECTS.values(), *_ROWS.values())}
