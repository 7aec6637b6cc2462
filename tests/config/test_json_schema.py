"""The JSON Schema for editors knows what the loader knows of shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from oomwarden.config.json_schema import json_schema
from oomwarden.config.load import DEFAULT_FILE, load_config

HERE = Path(__file__).parent
GOOD = [DEFAULT_FILE, *sorted((HERE / "good").glob("*.yaml"))]
BAD_SHAPES = sorted((HERE / "bad").glob("shape-*.yaml"))


def validate(document: Any) -> None:
    """Raise ValidationError where the document has not the shape of a configuration."""
    jsonschema.Draft202012Validator(json_schema()).validate(document)


def test_it_is_a_schema() -> None:
    """Editors refuse to work with a schema that is none itself."""
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_good_configurations_validate(file: Path) -> None:
    """What the loader takes without a word, an editor does not underline."""
    assert load_config(file).problems == ()
    validate(yaml.safe_load(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("file", BAD_SHAPES, ids=lambda file: file.stem)
def test_bad_shapes_do_not_validate(file: Path) -> None:
    """What has the wrong shape is underlined before it is loaded."""
    with pytest.raises(jsonschema.ValidationError):
        validate(yaml.safe_load(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "option",
    [
        {"trust": "nobody"},
        {"only": "child"},
        {"children": "drop"},
        {"at_least": 64},
        {"at_least": "64"},
        {"counted": "unit"},
        {"at_least": "1M", "counted": "session"},
    ],
)
def test_an_option_of_a_rule_must_be_one_that_there_is(option: dict[str, Any]) -> None:
    """Each of the words, and a size with its unit."""
    rule = {"name": "a", "match": {"comm": "a"}, "score": 1}

    validate({"rules": [rule]})
    with pytest.raises(jsonschema.ValidationError):
        validate({"rules": [rule | option]})


@pytest.mark.parametrize(
    "section",
    [
        {"kill_order": []},
        {"kill_order": {"from": "calm"}},
        {"kill_order": {"order": ["a", "*"]}},
        {"kill_order": {"from": "calm", "order": ["a"]}},
        {"kill_order": {"from": "calm", "order": ["a", "*", "a"]}},
        {"kill_order": {"from": "calm", "order": ["a", "*"], "margin_percent": -1}},
        {"most_exempt_percent": 0},
        {"most_exempt_percent": "50"},
    ],
)
def test_an_order_and_a_share_have_their_shapes(section: dict[str, Any]) -> None:
    """At least two names, none twice, and percentages within bounds."""
    with pytest.raises(jsonschema.ValidationError):
        validate(section)


def test_an_empty_file_validates() -> None:
    """An empty configuration is one."""
    validate(None)
