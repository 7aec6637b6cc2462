"""What holds for any text whatever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oomwarden.config.candidates import (
    candidates_to_rules,
    candidates_to_yaml,
    parse_candidates,
)
from oomwarden.config.compiled import Loaded, dump, load
from oomwarden.config.load import load_config
from oomwarden.config.nodes import did_you_mean
from oomwarden.config.schema import SCORE_MAX, SCORE_MIN, Origin

CORPUS = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*/*.yaml"))]
KEYS = (
    *("rules", "levels", "candidates", "name", "match", "score", "at", "when", "any", "comm"),
    *("trust", "only", "children", "at_least", "counted"),
    *("kill_order", "from", "order", "margin_percent", "most_exempt_percent"),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates()
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), SCALARS), inner, max_size=4),
    ),
    max_leaves=20,
)
NAMES = st.text(min_size=1, max_size=20).filter(
    lambda name: not set(name) & set(" \t\n\r\0\ufeff") and not name.startswith("#")
)

# Each example reads files, which takes longer on a busy machine.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def load_bytes(data: bytes, candidates: bytes | None = None) -> Loaded:
    """Load bytes as a configuration file of their own folder."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "f.yaml")
        file.write_bytes(data)
        if candidates is not None:
            Path(folder, "candidates").write_bytes(candidates)
        return load_config(file, root=Path(folder))


@unhurried
@given(st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_no_bytes_raise(data: bytes) -> None:
    """Whatever is in a file, the answer is a configuration or a problem with a place."""
    loaded = load_bytes(data)

    assert (loaded.config is None) == any(p.severity == "error" for p in loaded.problems)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in loaded.problems)


@unhurried
@given(DOCUMENTS)
def test_no_document_raises(document: object) -> None:
    """Any well-formed YAML is read to its end."""
    load_bytes(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"))


@unhurried
@given(st.sampled_from(CORPUS), st.data())
def test_no_damage_raises(file: bytes, data: st.DataObject) -> None:
    """A known file with a piece cut out or put in is read, too."""
    start = data.draw(st.integers(0, len(file)))
    end = data.draw(st.integers(start, min(len(file), start + 20)))
    piece = data.draw(
        st.one_of(st.binary(max_size=4), st.sampled_from([b"[", b"{", b"&a ", b"*a"]))
    )

    loaded = load_bytes(file[:start] + piece + file[end:])

    assert all(str(problem).isprintable() for problem in loaded.problems)
    assert load(dump(loaded)) == loaded


@unhurried
@given(st.text())
def test_no_candidates_raise(text: str) -> None:
    """Every line counts or is reported, and what counts is a possible score."""
    read = parse_candidates(text, "f")

    assert all(SCORE_MIN <= entry.score <= SCORE_MAX for entry in read.entries)
    assert len({entry.comm for entry in read.entries}) == len(read.entries)
    assert all(str(problem).isprintable() for problem in read.problems)


@unhurried
@given(st.lists(st.tuples(NAMES, st.integers(-1100, 1100), st.text(max_size=9)), max_size=5))
def test_converted_candidates_are_the_same_rules(lines: list[tuple[str, int, str]]) -> None:
    """The YAML of a candidates file loads to the rules of that file, whatever the names."""
    text = "\n".join(f"{name} {score} # {comment}" for name, score, comment in lines)
    read = parse_candidates(text, "f")

    loaded = load_bytes(candidates_to_yaml(read).encode())

    found = {replace(rule, origin=Origin("f", 1)) for rule in loaded.require().rules}
    assert found == {replace(rule, origin=Origin("f", 1)) for rule in candidates_to_rules(read)}


@unhurried
@given(st.sampled_from(KEYS), st.data())
def test_a_slip_of_one_letter_is_recognized(key: str, data: st.DataObject) -> None:
    """A key of four letters or more with one left out is still recognized."""
    at = data.draw(st.integers(0, len(key) - 1))
    slip = key[:at] + key[at + 1 :]

    if len(key) >= 4 and slip not in KEYS:
        assert did_you_mean(slip, KEYS).startswith("did you mean '")


@unhurried
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["etc", "run", "usr/lib"]), st.sampled_from("abc")),
        st.sampled_from(["masked", "empty", "rule"]),
    )
)
def test_drop_ins_are_what_systemd_would_take(files: dict[tuple[str, str], str]) -> None:
    """For each name the highest folder decides, and the last name comes first in the rules."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for (top, name), kind in files.items():
            file = root / top / "oomwarden/conf.d" / f"{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            rule = f"rules: [{{name: {top}-{name}, match: {{comm: {top}-{name}}}, score: 1}}]"
            if kind == "masked":
                file.symlink_to("/dev/null")
            else:
                file.write_text(rule if kind == "rule" else "", encoding="utf-8")
        loaded = load_config(root=root)

    highest = {}
    for top in ("usr/lib", "run", "etc"):
        for (where, name), kind in files.items():
            if where == top:
                highest[name] = (f"{top}-{name}", kind)
    expected = [rule for _name, (rule, kind) in sorted(highest.items()) if kind == "rule"]
    found = [r.name for r in loaded.require().rules if "default" not in r.origin.file]
    assert found == expected[::-1]
