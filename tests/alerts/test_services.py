"""URLs: what can be used, and that nothing of one is ever told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomwarden.alerts.services import MASK, Service, masked
from oomwarden.errors import OomwardenError

# Loading all of apprise's services brings whatever they bring.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

_WORD = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789_-", min_size=4, max_size=12)


@given(_WORD, _WORD, _WORD, _WORD, _WORD)
def test_no_part_of_a_url_is_told(user: str, password: str, host: str, path: str, key: str) -> None:
    """Wherever in a message it is, and however it is quoted."""
    url = f"json://{user}:{password}@{host}.example/{path}?token={key}%2Fx"

    told = masked(f"cannot reach {host}.example ({url}): {password}/{path} {key}/x '{user}'", url)

    assert not any(part in told for part in (password, path, f"{key}/x", f"{host}.example"))
    assert MASK in told


def test_a_short_secret_is_masked_as_a_word() -> None:
    """Without making a riddle of everything else."""
    assert masked("user a and bad b: 401", "json://a:b@h/p") == f"user {MASK} and bad {MASK}: 401"


@pytest.mark.parametrize("url", ["nosuch://secret", "json://", "mailto://", "://secret"])
def test_a_url_of_no_use_is_refused(url: str) -> None:
    """With its scheme and no more."""
    with pytest.raises(OomwardenError, match="apprise cannot use this URL") as refused:
        Service(url)

    assert "secret" not in str(refused.value)


def test_who_takes_a_report_is_known() -> None:
    """Where a service takes no file, it would be dropped without a word."""
    assert Service("json://localhost").takes_attachments
    assert not Service("gotify://localhost/token").takes_attachments
