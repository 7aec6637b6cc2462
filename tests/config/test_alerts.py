"""Whom to tell: what a configuration says of it, and what of it nobody may see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from oomwarden.alert import Kind, Severity, is_wanted
from oomwarden.config.addresses import open_to_everybody, read_addresses, read_url_file
from oomwarden.config.compiled import Loaded, dump
from oomwarden.config.load import load_alerts, load_config
from oomwarden.config.places import placed_values
from oomwarden.config.schema import Config, Way
from oomwarden.errors import OomwardenError

GOOD = Path(__file__).with_name("good") / "alerts.yaml"
SECRET = "password"  # noqa: S105 - it is in no use


@pytest.fixture
def config() -> Config:
    """A configuration with a target of each kind."""
    return load_config(GOOD).require()


def test_targets_are_read_as_written(config: Config) -> None:
    """Each with its way, its filter, and the rest by default."""
    alerts = config.alerts
    first, kills, pager, hook, plain = alerts.targets

    assert [target.way for target in alerts.targets] == [
        *(Way.URL, Way.URL_FILE, Way.CREDENTIAL, Way.COMMAND, Way.COMMAND),
    ]
    assert (first.min_severity, first.kinds) == (Severity.INFO, None)
    assert (kills.min_severity, kills.kinds) == (
        Severity.WARNING,
        (Kind.OOM_KILL, Kind.UNEXPLAINED_KILL),
    )
    assert (pager.min_severity, pager.kinds) == (Severity.CRITICAL, (Kind.OOM_KILL,))
    assert (hook.origin.line, plain.origin.line) == (13, 15)
    assert (alerts.repeat_after_seconds, alerts.digest_after) == (120, 5)
    assert alerts.quiet_hours is not None
    assert (alerts.quiet_hours.from_minute, alerts.quiet_hours.to_minute) == (1350, 420)


def test_the_guard_never_has_a_url(config: Config) -> None:
    """Neither what it is handed, nor what is shown of it, has the secret in it."""
    loaded = Loaded(config, (), ())

    assert SECRET.encode() not in dump(loaded)
    assert SECRET not in repr(loaded)
    assert SECRET not in repr(read_addresses(config.alerts))


def test_config_show_hides_urls_and_shows_the_rest(config: Config) -> None:
    """Every value with its place, but for the secrets."""
    values = {each.path: (each.value, each.origin) for each in placed_values(config)}
    shown = {path.removeprefix("alerts."): value for path, (value, _) in values.items()}

    assert shown["targets[everything].url"] == "(hidden)"
    assert shown["targets[kills].url_file"] == "/etc/oomwarden/kills.url"
    assert shown["targets[kills].kinds[1]"] == "unexplained_kill"
    assert shown["targets[pager].credential"] == "pager"
    assert shown["targets[hook].command"] == "/usr/local/bin/tell (hidden)"
    assert shown["targets[plain-hook].command"] == "/usr/local/bin/tell"
    assert shown["quiet_hours.from"] == "22:30"
    origin = values["alerts.targets[kills].kinds[1]"][1]
    assert origin is not None
    assert origin.line == 8
    assert SECRET not in str(values)


def test_the_last_file_that_tells_whom_to_tell_counts(tree: Callable[..., Path]) -> None:
    """As with a kill order, and each target keeps its place."""
    root = tree(
        {
            "etc/oomwarden/config.yaml": "alerts: {targets: [{name: a, credential: a}]}",
            "etc/oomwarden/conf.d/1.yaml": "alerts: {targets: [{name: b, url: json://x/y}]}",
            "etc/oomwarden/conf.d/2.yaml": "rules: []",
        }
    )
    config = load_config(root=root).require()

    (address,) = read_addresses(config.alerts)

    assert address.target.name == "b"
    assert address.url({}) == "json://x/y"
    assert address.place.file.endswith("1.yaml")


def test_a_file_that_changed_meanwhile_is_told(tree: Callable[..., Path]) -> None:
    """Rather no address than that of another target."""
    root = tree({"etc/oomwarden/config.yaml": "alerts: {targets: [{name: a, credential: a}]}"})
    config = load_config(root=root).require()
    tree({"etc/oomwarden/config.yaml": "rules: []"})

    with pytest.raises(OomwardenError, match="has changed"):
        read_addresses(config.alerts)


def test_a_url_file_is_closed_to_others(tmp_path: Path) -> None:
    """It holds one URL, and comments; whoever else may open it is a reason to refuse it."""
    file = tmp_path / "ops.url"
    file.write_text("# the chat\n\njson://x/password\n", encoding="utf-8")
    file.chmod(0o640)

    assert read_url_file(str(file)) == "json://x/password"
    file.chmod(0o644)
    with pytest.raises(OomwardenError, match="open to everybody") as refused:
        read_url_file(str(file))
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("text", ["", "one://a\ntwo://b", "password"])
def test_a_url_file_with_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    """Without a word of what is in it."""
    file = tmp_path / "ops.url"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)

    with pytest.raises(OomwardenError, match="must hold one line") as refused:
        read_url_file(str(file))
    assert SECRET not in str(refused.value)


def test_a_missing_or_odd_url_file_is_told(tmp_path: Path) -> None:
    """Where it is, and why it cannot be read."""
    with pytest.raises(OomwardenError, match="No such file"):
        read_url_file(str(tmp_path / "none"))
    with pytest.raises(OomwardenError, match="Is a directory"):
        read_url_file(str(tmp_path))
    with pytest.raises(OomwardenError, match="is no plain file"):
        read_url_file("/dev/null")


def test_a_credential_lies_where_the_service_manager_says(config: Config, tmp_path: Path) -> None:
    """And nowhere else."""
    pager = read_addresses(config.alerts)[2]
    file = tmp_path / "pager"
    file.write_text("json://x/y", encoding="utf-8")
    file.chmod(0o400)

    assert pager.url({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "json://x/y"
    with pytest.raises(OomwardenError, match=r"CREDENTIALS_DIRECTORY is not set"):
        pager.url({})


def test_a_url_in_a_file_for_everybody_is_worth_a_warning(tmp_path: Path) -> None:
    """At the place of the URL, and without it."""
    file = tmp_path / "config.yaml"
    file.write_text("alerts: {targets: [{name: a, url: json://x/password}]}", encoding="utf-8")
    file.chmod(0o644)
    (address,) = read_addresses(load_config(file).require().alerts)

    problem = open_to_everybody(address)
    file.chmod(0o640)

    assert problem is not None
    assert (problem.line, problem.column) == (1, 35)
    assert SECRET not in str(problem)
    assert open_to_everybody(address) is None


def test_who_hears_of_what() -> None:
    """By severity and kind; a recovery goes with what it ends."""
    kinds = (Kind.LEVEL_ENTERED,)
    warning, critical = Severity.WARNING, Severity.CRITICAL

    assert is_wanted(Kind.OOM_KILL, critical, warning, None)
    assert not is_wanted(Kind.WRITE_DENIED, warning, critical, None)
    assert not is_wanted(Kind.OOM_KILL, critical, warning, kinds)
    assert is_wanted(Kind.LEVEL_LEFT, critical, critical, kinds)
    assert not is_wanted(Kind.SENSE_FOUND, critical, warning, kinds)


def test_targets_are_known_though_the_rest_is_wrong(tree: Callable[..., Path]) -> None:
    """They are the ones who should hear that it was rejected."""
    root = tree(
        {
            "etc/oomwarden/config.yaml": "rules: [",
            "etc/oomwarden/conf.d/1.yaml": "alerts: {targets: [{name: a, credential: a}]}",
        }
    )

    assert load_config(root=root).config is None
    assert [target.name for target in load_alerts(root=root).targets] == ["a"]
