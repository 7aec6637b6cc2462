"""What the guard tells of itself: the document that ``oomwarden status`` shows (schema 1)."""

from __future__ import annotations

from collections.abc import Iterable

from oomwarden.config.schema import Config
from oomwarden.guard.control import Json
from oomwarden.guard.order import Order
from oomwarden.guard.scores import Scores
from oomwarden.model import Outcome, Psi, PsiLine, Sample, SenseState
from oomwarden.policy.exempt import Pool
from oomwarden.policy.level import LevelState
from oomwarden.policy.rules import score_at


def level_status(state: LevelState, config: Config, now: float) -> Json:
    """Tell the level in force and, for each that is under way, for how long."""
    since = state.since_monotonic
    return {
        "name": state.name,
        "since_seconds": round(now - since, 3) if since is not None else 0.0,
        "levels": ["calm", *(level.name for level in config.levels)],
    }


def sample_status(sample: Sample, now: float) -> Json:
    """Tell the last reading, and how old it is."""
    memory, psi = sample.memory, sample.psi
    return {
        "age_seconds": round(now - sample.at_monotonic, 3),
        "memory_total_kib": memory.total_kib,
        "memory_available_kib": memory.available_kib,
        "swap_total_kib": memory.swap_total_kib,
        "swap_free_kib": memory.swap_free_kib,
        "psi": _psi(psi) if psi else None,
    }


def _psi(psi: Psi) -> Json:
    return {"some": _psi_line(psi.some), "full": _psi_line(psi.full)}


def _psi_line(line: PsiLine) -> Json:
    return {
        "avg10_percent": line.avg10_percent,
        "avg60_percent": line.avg60_percent,
        "avg300_percent": line.avg300_percent,
        "total_us": line.total_us,
    }


def rules_status(scores: Scores, config: Config, level: str) -> list[Json]:
    """Tell every rule with the number of processes that it holds and its score now."""
    holders = scores.holders()
    return [
        {
            "name": rule.name,
            "processes": holders[rule.name],
            "score": score_at(rule, level, config),
            "origin": str(rule.origin),
        }
        for rule in config.rules
    ]


def adjustments_status(scores: Scores, refused: int) -> Json:
    """Tell what became of all adjustments since the start."""
    return {
        **{outcome.value.replace("-", "_"): scores.outcomes[outcome] for outcome in Outcome},
        "yielded": scores.yielded_count,
        "protection_refused": refused,
        "in_force": scores.changed(),
    }


def order_status(order: Order, config: Config) -> Json | None:
    """Tell the kill order, whether it is in force, and what of it cannot be had; None without."""
    if config.kill_order is None:
        return None
    return {
        "from": config.kill_order.from_level,
        "order": list(config.kill_order.order),
        "in_force": order.is_in_force,
        "unmet": [
            {
                "earlier": {"pid": unmet.earlier.id.pid, "comm": unmet.earlier.comm},
                "later": {"pid": unmet.later.id.pid, "comm": unmet.later.comm},
                "reason": unmet.reason.value,
                "count": unmet.count,
            }
            for unmet in order.unmet
        ],
    }


def exempt_status(pools: Iterable[Pool]) -> list[Json]:
    """Tell what processes at -1000 hold: of the machine (``memcg`` is null) and of cgroups."""
    return [
        {
            "memcg": pool.name or None,
            "size_kib": pool.size_kib,
            "exempt_kib": pool.exempt_kib,
            "exempt_percent": round(pool.exempt_percent, 2),
            "processes": pool.processes,
        }
        for pool in pools
    ]


def senses_status(states: Iterable[SenseState]) -> list[Json]:
    """Tell each sense, whether it works, and how or why not."""
    return [
        {"name": state.sense.name.lower(), "works": state.works, "detail": state.detail}
        for state in states
    ]
