"""The arithmetic of the kernel that runs here."""

from __future__ import annotations

from oomwarden.kernel.oom_killer import kernel_release, own_score
from oomwarden.policy.formula import Formula, as_seen, formula_of


def formula_here(root: str) -> Formula:
    """Tell it by the release, and by what the kernel says of ourselves."""
    formula, own = formula_of(kernel_release(root)), own_score(root)
    return formula if own is None else as_seen(formula, own.oom_score, own.oom_score_adj)
