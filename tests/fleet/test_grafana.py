"""The dashboard: well formed, and asking for what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "config/grafana/oomwarden.json").read_text())
ANNOTATIONS = [each["expr"] for each in DASHBOARD["annotations"]["list"]]
QUERIES = [t["expr"] for panel in DASHBOARD["panels"] for t in panel["targets"]] + ANNOTATIONS


def test_every_query_asks_for_a_metric_that_there_is() -> None:
    """And of the machines that were chosen alone."""
    page = (ROOT / "docs/metrics.md").read_text()
    names = {name for query in QUERIES for name in re.findall(r"oomwarden_\w+", query)}

    assert len(names) > 10
    assert {name for name in names if f"`{name}`" not in page} == set()
    assert [q for q in QUERIES if 'job=~"$job",instance=~"$instance"' not in q] == []


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_every_query_is_one(tmp_path: Path) -> None:
    """Prometheus can read each of them: as rules they are checked by its own tool."""
    rules = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(QUERIES)]
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))

    done = subprocess.run(
        ["promtool", "check", "rules", file], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(QUERIES)} rules found" in done.stdout


def test_panels_have_places_of_their_own() -> None:
    """None lies over another, and none goes past the 24 columns that there are."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells

    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_it_goes_by_any_data_source() -> None:
    """No identifier of somebody's own Grafana is left in it."""
    sources = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]}

    assert sources == {"${datasource}"}
    assert "datasource" in {each["name"] for each in DASHBOARD["templating"]["list"]}
