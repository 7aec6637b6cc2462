"""Which kernel computes how: by its release, and by what it says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.playbook import moderate

from oomwarden.policy.formula import NEWEST, Formula, PageTables, as_seen, formula_of

ONE, TWO, ALL = PageTables.FIRST_LEVEL, PageTables.TWO_LEVELS, PageTables.ALL


def formula(tables: PageTables, features: str) -> Formula:
    """A formula by letters: root's bonus, signed, last of equals, vfork spared."""
    return Formula(
        tables,
        has_root_bonus="b" in features,
        is_signed="s" in features,
        takes_last="l" in features,
        spares_vfork="v" in features,
    )


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("3.10.99", formula(ONE, "b")),
        ("3.10.0-1160.119.1.el7.x86_64", formula(ONE, "b")),
        ("3.19.8", formula(ONE, "b")),
        ("4.0", formula(TWO, "b")),
        ("4.0.5", formula(TWO, "b")),
        ("4.4.155", formula(TWO, "b")),
        ("4.8.17", formula(TWO, "b")),
        ("4.9.115", formula(TWO, "bv")),
        ("4.14.336", formula(TWO, "bv")),
        ("4.15.0-213-generic", formula(ALL, "bv")),
        ("4.16.18", formula(ALL, "bv")),
        ("4.17", formula(ALL, "v")),
        ("4.18.0-147.el8.x86_64", formula(ALL, "v")),
        ("4.19.0-27-amd64", formula(ALL, "v")),
        ("5.0.1", formula(ALL, "v")),
        ("5.2.21", formula(ALL, "v")),
        ("5.3.1", formula(ALL, "vl")),
        ("5.4.0-120-generic", formula(ALL, "vl")),
        ("5.4.17-2136.el8uek.x86_64", formula(ALL, "vl")),
        ("5.4.286", formula(ALL, "vls")),
        ("5.5.0", formula(ALL, "vl")),
        ("5.8.0-1031-oracle", formula(ALL, "vl")),
        ("5.9-rc1", NEWEST),
        ("5.10.0-10-amd64", NEWEST),
        ("5.14.0-427.el9.x86_64", NEWEST),
        ("6.18.44-fc-v669", NEWEST),
        ("7.2.13+deb14-amd64", NEWEST),
        ("10.0", NEWEST),
    ],
)
def test_a_release_tells_the_arithmetic(release: str, expected: Formula) -> None:
    """Numbers are compared as numbers, and what stands behind them does not matter."""
    assert formula_of(release) == expected


@pytest.mark.parametrize("release", ["", "linux", "6", "x.y.z", "6.", ".5", "v5.4.0"])
def test_an_odd_release_is_taken_for_new(release: str) -> None:
    """Whoever names a kernel like that has built it lately."""
    assert formula_of(release) is NEWEST


@given(st.text(max_size=20))
@moderate
def test_no_release_is_an_error(release: str) -> None:
    """Anyone may have named a kernel anything."""
    assert isinstance(formula_of(release), Formula)


@pytest.mark.parametrize(
    ("score", "adjustment", "is_signed"),
    [
        (666, 0, True),
        (0, 0, False),
        (670, 0, True),
        (12, 0, False),
        (66, -900, True),
        (0, -900, False),
        (1333, 1000, True),
        (1000, 1000, False),
        (1001, 1000, False),
        (866, 300, True),
        (301, 300, False),
    ],
)
def test_the_kernel_itself_knows_better(score: int, adjustment: int, *, is_signed: bool) -> None:
    """Back-ports are not told by any number, but by what it says of a process of ours."""
    for release in ("4.18.0-553.el8_10.x86_64", "5.4.0-216-generic", "6.1.0"):
        before = formula_of(release)
        after = as_seen(before, score, adjustment)

        assert after.is_signed is is_signed
        assert (after.page_tables, after.takes_last) == (before.page_tables, before.takes_last)


@pytest.mark.parametrize(("score", "adjustment"), [(0, -1000), (0, -999), (3, -980)])
def test_at_the_lowest_scores_the_kernel_tells_nothing(score: int, adjustment: int) -> None:
    """There both answers are nothing, and the release has the word."""
    for release in ("5.4.0-216-generic", "6.1.0"):
        assert as_seen(formula_of(release), score, adjustment) == formula_of(release)
