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


@pytest.mark.parametrize(
    "address",
    [
        "https://ghp_s3cretword@example.com/manifest.json",
        "https://storage.example.com/b/manifest.json?X-Goog-Algorithm=a&X-Goog-Signature=s3cretword",
        "https://example.com/manifest.json?private_token=s3cretword",
    ],
)
def test_so_is_one_with_a_token_or_a_signature(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec.make({"name": "shop", "manifest": address})
    assert caught.value.code == "dbt_place_secret"
    assert "s3cretword" not in f"{caught.value.message} {caught.value.hint} {caught.value.raw}"


def test_a_branch_in_an_address_is_no_secret() -> None:
    assert spec.make({"name": "shop", "manifest": "https://example.com/manifest.json?ref=main"}).manifest


def test_a_user_alone_is_no_secret() -> None:
    assert spec.make({"name": "shop", "git": "ssh://git@example.com/shop.git"}).git
