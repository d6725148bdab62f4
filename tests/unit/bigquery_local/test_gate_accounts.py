"""Service accounts of the embedded BigQuery, and how they sign in."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.auth import crypt, jwt

from tidemill.bigquery.local.accounts import ALL_PERMISSIONS, Accounts
from tidemill.bigquery.local.answers import Refusal
from tidemill.bigquery.local.tokens import Tokens
from tidemill.errors import ConfigError

TOKEN_URI = "http://127.0.0.1:1/token"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("accounts")


@pytest.fixture(scope="module")
def key(directory: Path) -> Iterator[dict[str, str]]:
    yield Accounts(directory).key("tester", "p-1", TOKEN_URI, None, [])


def test_a_key_stays_the_same_and_its_permissions_do_not(directory: Path, key: dict[str, str]) -> None:
    accounts = Accounts(directory)
    email = key["client_email"]
    assert email == "tester@p-1.iam.gserviceaccount.com"
    assert accounts.permissions(email) == set(ALL_PERMISSIONS)
    same = Accounts(directory).key("tester", "p-1", TOKEN_URI, ["bigquery.jobs.create"], [])
    assert same == key
    assert accounts.permissions(email) == {"bigquery.jobs.create"}
    Accounts(directory).key("tester", "p-1", TOKEN_URI, None, ["bigquery.jobs.create"])
    assert accounts.permissions(email) == set(ALL_PERMISSIONS) - {"bigquery.jobs.create"}
    assert accounts.permissions("nobody") == frozenset()


def test_keys_are_for_their_owner_only(directory: Path, key: dict[str, str]) -> None:
    assert "PRIVATE KEY" in key["private_key"]
    for path in (directory / "keys" / "tester.json", directory / "accounts.json"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in (directory / "accounts.json").read_text()


def test_accounts_that_are_made_at_once_are_all_kept(tmp_path: Path) -> None:
    names = [f"account-{number}" for number in range(4)]
    threads = [
        threading.Thread(target=lambda name=name: Accounts(tmp_path).key(name, "p-1", TOKEN_URI, None, []))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(email.split("@")[0] for email in Accounts(tmp_path).all()) == names


@pytest.mark.parametrize(("name", "allow"), [("A", None), ("no name", None), ("good-name", ["bigquery.fly"])])
def test_what_is_no_name_or_no_permission(tmp_path: Path, name: str, allow: list[str] | None) -> None:
    with pytest.raises(ConfigError):
        Accounts(tmp_path).key(name, "p-1", TOKEN_URI, allow, [])


def assertion(key: dict[str, str], **claims: Any) -> str:
    now = time.time()
    body = {"iss": key["client_email"], "aud": TOKEN_URI, "iat": now, "exp": now + 3600, "scope": "x", **claims}
    made = jwt.encode(crypt.RSASigner.from_service_account_info(key), {k: v for k, v in body.items() if v is not None})
    return bytes(made).decode()


def grant(directory: Path, text: str, tokens: Tokens | None = None) -> dict[str, Any]:
    answer = (tokens or Tokens(Accounts(directory))).grant({"grant_type": GRANT, "assertion": text}, TOKEN_URI)
    found: dict[str, Any] = json.loads(bytes(answer.body))
    assert (answer.status_code == 200) == ("access_token" in found)
    return found


def test_an_assertion_is_worth_a_token_until_it_expires(directory: Path, key: dict[str, str]) -> None:
    tokens = Tokens(Accounts(directory))
    token = grant(directory, assertion(key), tokens)["access_token"]
    assert tokens.holder(f"Bearer {token}") == key["client_email"]
    for wrong in (None, "", token + "x", "Bearer nothing"):
        with pytest.raises(Refusal) as caught:
            tokens.holder(wrong)
        assert caught.value.status == 401
    tokens.expire()
    with pytest.raises(Refusal):
        tokens.holder(f"Bearer {token}")


NOW = time.time()
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"scope": None}, "invalid_scope"),
    ({"scope": " "}, "invalid_scope"),
    ({"exp": NOW + 30 * 86400}, "invalid_grant"),
    ({"iat": NOW + 30 * 86400, "exp": NOW + 30 * 86400 + 60}, "invalid_grant"),
    ({"exp": NOW - 10}, "invalid_grant"),
    ({"exp": [1]}, "invalid_grant"),
    ({"exp": "soon"}, "invalid_grant"),
    ({"exp": None}, "invalid_grant"),
    ({"iat": None}, "invalid_grant"),
    ({"iat": {}}, "invalid_grant"),
    ({"aud": "https://example.org"}, "invalid_grant"),
    ({"iss": "nobody@p-1.iam.gserviceaccount.com"}, "invalid_grant"),
]


@pytest.mark.parametrize(("claims", "error"), REFUSED)
def test_what_is_no_good_assertion(directory: Path, key: dict[str, str], claims: dict[str, Any], error: str) -> None:
    assert grant(directory, assertion(key, **claims))["error"] == error


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "W10.W10.x", "e30.e30.x"])
def test_what_is_no_assertion_at_all(directory: Path, text: str) -> None:
    assert grant(directory, text)["error"] == "invalid_grant"


def test_a_signature_counts(directory: Path, key: dict[str, str]) -> None:
    head, body, _ = assertion(key).split(".")
    other = Accounts(directory).key("other", "p-1", TOKEN_URI, None, [])
    forged = assertion({**other, "client_email": key["client_email"]})
    assert "Signature" in grant(directory, forged)["error_description"]
    assert "Signature" in grant(directory, f"{head}.{body}.AAAA")["error_description"]
    answer = Tokens(Accounts(directory)).grant({"grant_type": "password"}, TOKEN_URI)
    assert json.loads(bytes(answer.body))["error"] == "unsupported_grant_type"
