"""What may be said of a dbt project."""

from __future__ import annotations

import pytest

from tidemill.dbt import spec
from tidemill.errors import ConfigError


@pytest.mark.parametrize("field", ["git", "manifest"])
def test_an_address_with_a_password_is_refused_for_it_would_be_shown(field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec.make({"name": "shop", field: "https://me:s3cret-word@example.com/shop.git"})
    assert caught.value.code == "dbt_place_secret"
    assert "s3cret-word" not in f"{caught.value.message} {caught.value.hint} {caught.value.raw}"


def test_a_user_alone_is_no_secret() -> None:
    assert spec.make({"name": "shop", "git": "ssh://git@example.com/shop.git"}).git
