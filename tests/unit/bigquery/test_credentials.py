"""Service account keys: what is said about a wrong one, and that nothing of it is ever shown."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.fake_bigquery import ACCOUNT, PROJECT, key_fields, private_key

from tidemill.bigquery import credentials
from tidemill.bigquery.credentials import Auth
from tidemill.errors import ConfigError

SECRET = "hunter2-never-shown"


def _changed(**fields: Any) -> str:
    kept = {name: value for name, value in (key_fields() | fields).items() if value is not None}
    return json.dumps(kept)


def _elliptic() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    kind = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()


def test_a_good_key_tells_who_where_and_that_google_is_the_endpoint() -> None:
    assert credentials.parse_key(_changed()) == credentials.KeyInfo(ACCOUNT, PROJECT, None)


@pytest.mark.parametrize("host", ["127.0.0.1:9050", "localhost:9050", "[::1]:9050"])
def test_the_endpoint_of_a_key_of_the_embedded_bigquery_is_its_token_address(host: str) -> None:
    assert credentials.parse_key(_changed(token_uri=f"http://{host}/token")).endpoint == f"http://{host}"


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("", "key_empty", "empty"),
        (" \n", "key_empty", "empty"),
        (f"{SECRET} {{", "key_not_json", "not JSON"),
        ("[" * 100_000, "key_not_json", "not JSON"),
        (f'["{SECRET}"]', "key_not_json", "object"),
        (json.dumps({"type": "authorized_user", "refresh_token": SECRET}), "key_kind", "a person"),
        (json.dumps({"type": "external_account", "credential_source": SECRET}), "key_kind", "workload identity"),
        (json.dumps({"installed": {"client_secret": SECRET}}), "key_kind", "OAuth client"),
        (json.dumps({"type": SECRET}), "key_kind", "no service account key"),
        (_changed(private_key=None, client_email=""), "key_incomplete", "client_email, private_key"),
        (_changed(project_id=5), "key_incomplete", "project_id"),
        (_changed(private_key=SECRET), "key_damaged", "damaged"),
        (_changed(private_key=private_key()[:200] + SECRET + private_key()[220:]), "key_damaged", "damaged"),
        (_changed(private_key=_elliptic()), "key_damaged", "damaged"),
        (_changed(private_key="\ud800"), "key_damaged", "damaged"),
        (_changed(client_email=f'x"; {SECRET}'), "key_damaged", "client_email"),
        (_changed(universe_domain=f"{SECRET}.example"), "key_universe", "another cloud"),
    ],
    ids=lambda value: value if len(value) < 30 else "text",
)
def test_a_wrong_key_is_explained_and_nothing_of_it_is_shown(text: str, code: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        credentials.parse_key(text)
    error = caught.value
    assert error.code == code
    assert says in error.message
    assert error.hint
    shown = "".join(traceback.format_exception(error)) + error.hint + error.raw + repr(error)
    assert SECRET not in shown
    assert "BEGIN PRIVATE" not in shown


@pytest.mark.parametrize(
    "address",
    [
        "http://oauth2.googleapis.com/token",
        "https://evil.example/token",
        "https://googleapis.com.evil.example/token",
        "https://evilgoogleapis.com/token",
        "https://evil.example\\.googleapis.com/token",
        "https://evil.example\\@oauth2.googleapis.com/token",
        "https://oauth2.googleapis.com@evil.example/token",
        "https://oauth2.googleapis.com:pw@evil.example/token",
        "https://evil.example/#.googleapis.com",
        "http://127.0.0.1@evil.example/token",
        "http://127.0.0.1.evil.example/token",
        "http://127.0.0.1:1\\@evil.example/token",
        "http://[::1/token",
        "http://10.0.0.1/token",
        "file:///token",
        "https://oauth2.googleapis.com/token\nhttps://evil.example",
    ],
)
def test_a_key_that_would_have_signed_requests_sent_elsewhere_is_refused(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        credentials.parse_key(_changed(token_uri=address))
    assert caught.value.code == "key_token_uri"


def test_neither_a_key_nor_what_is_built_from_it_shows_the_secret() -> None:
    auth = Auth(key=_changed())
    assert "PRIVATE" not in repr(auth)
    assert "PRIVATE" not in repr(credentials.build(auth))
    assert credentials.account(auth) == ACCOUNT
    assert credentials.account(Auth(adc=True)) is None
    assert credentials.account(Auth(adc=True, impersonate="a@b.example")) == "a@b.example"


def test_an_account_to_act_as_is_asked_for_where_the_key_is_from() -> None:
    key = _changed(token_uri="http://127.0.0.1:9050/token")
    made = credentials.build(Auth(key=key, impersonate="other@project-123.iam.gserviceaccount.com"))
    assert made._iam_endpoint_override.startswith("http://127.0.0.1:9050/v1/projects/-/serviceAccounts/other@")


def test_what_is_far_too_large_is_no_key() -> None:
    with pytest.raises(ConfigError) as refused:
        credentials.parse_key("{" + " " * credentials.MOST_CHARACTERS + "}")
    assert refused.value.code == "key_too_large"
