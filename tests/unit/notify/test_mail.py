"""Messages as e-mail, through a real mail server: signed in, encrypted, and what is said when it does not go."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from tests.receivers import PASSWORD, USER, Certificate, Opened, Post, authenticator, silent

from tidemill.errors import AccessError, ConfigError, RetryableError, TidemillError, UnavailableError
from tidemill.notify import channel, spec
from tidemill.notify.message import Message
from tidemill.notify.spec import Spec
from tidemill.outbound import network
from tidemill.outbound.guard import Guard
from tidemill.store.records_notify import Cause

#: The servers of these tests are of this machine.
NEAR = Guard(["127.0.0.0/8", "::1"])
NOW = dt.datetime(2026, 11, 20, 9, 5, tzinfo=dt.UTC)
GRANT = 'GRANT `roles/bigquery.dataEditor` ON SCHEMA `p`.`d` TO "serviceAccount:me@p.iam.gserviceaccount.com";'
FAILED = Message(
    id="1" * 32,
    kind=Cause.FAILED,
    at=NOW,
    export="hourly",
    table="p.d.events",
    code="permission_missing",
    message="The permission bigquery.tables.create is missing on the dataset p.d.",
    hint=f"Grant roles/bigquery.dataEditor on the dataset, in BigQuery:\n{GRANT}",
    then="It is tried again at 2026-11-20 10:00 UTC.",
    permission="bigquery.tables.create",
    commands=("tidemill export show hourly",),
    since=NOW - dt.timedelta(minutes=5),
)


def made(port: int, *, to: tuple[str, ...] = ("ana@example.com",), **fields: Any) -> Spec:
    """A channel to a server of this machine."""
    given = {"to": to, "sender": "tidemill@example.com", "host": "127.0.0.1", "port": port, "security": "none"}
    return spec.make("email", {**given, **fields})


def signing_in(password: str = PASSWORD) -> dict[str, Any]:
    return {"user": USER, "password": SecretStr(password)}


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certificate]:
    """The certificate is one of those that this machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    yield certificate


def failing(made: Spec, together: tuple[Message, ...] = (FAILED,)) -> TidemillError:
    """What is said of it; no secret is in it."""
    with pytest.raises(TidemillError) as caught:
        channel.send(made, together, "/srv/.tidemill", guard=NEAR)
    error = caught.value
    assert PASSWORD not in f"{error} {error.hint} {error.raw} {error.args} {error.__cause__!r}"
    assert error.hint
    return error


def test_a_mail_says_what_is_wrong_and_what_to_do(post: Post) -> None:
    assert (
        channel.send(made(post.port, to=("ana@example.com", "ben@example.com")), [FAILED], "/srv/.tidemill", guard=NEAR)
        is None
    )
    ((to, mail),) = post.mails
    assert to == ["ana@example.com", "ben@example.com"]
    assert mail["Subject"] == "[Tidemill] Export hourly fails"
    assert mail["From"] == "tidemill@example.com"
    assert mail["Auto-Submitted"] == "auto-generated"
    body = mail.get_payload(decode=True)
    assert isinstance(body, bytes)
    said = body.decode().replace("\r\n", "\n")
    for part in ("p.d.events", "Missing permission: bigquery.tables.create", GRANT, "Since: 2026-11-20 09:00 UTC",
                 "What happens next: It is tried again", "  tidemill export show hourly", socket.gethostname(),
                 "/srv/.tidemill"):  # fmt: skip
        assert part in said


def test_several_go_as_one_and_one_that_comes_twice_is_known_by_its_id(post: Post) -> None:
    another = Message(id="2" * 32, kind=Cause.PAUSED, at=NOW, export="daily", table="p.d.days", message="It failed.")
    for _ in range(2):
        channel.send(made(post.port), [FAILED, another], "/srv", guard=NEAR)
    first, again = (mail for _, mail in post.mails)
    assert first["Subject"] == "[Tidemill] Export hourly fails, and 1 more"
    assert first["Message-ID"] == again["Message-ID"]
    assert str(first.get_payload()).splitlines()[:2] == ["Export hourly fails.", "Export daily is paused."]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_user_signs_in_over_an_encrypted_connection(posts: Opened, trusted: Certificate, security: str) -> None:
    options = {"tls_context": trusted.context} if security == "starttls" else {"ssl_context": trusted.context}
    post = posts(**options, authenticator=authenticator, auth_require_tls=security == "starttls")
    channel.send(made(post.port, security=security, host="localhost", **signing_in()), [FAILED], "/srv", guard=NEAR)
    assert len(post.mails) == 1
    error = failing(made(post.port, security=security, host="localhost", **signing_in("wrong")))
    assert isinstance(error, AccessError)
    assert (error.code, "535" in error.message) == ("smtp_auth", True)


def test_who_has_to_sign_in_and_does_not_is_told(posts: Opened, trusted: Certificate) -> None:
    post = posts(tls_context=trusted.context, authenticator=authenticator, auth_required=True)
    error = failing(made(post.port, security="starttls", host="localhost"))
    assert (error.code, "530" in error.message) == ("smtp_sender", True)


def test_a_certificate_that_nobody_trusts_is_said(posts: Opened, certificate: Certificate) -> None:
    for options, security in (
        ({"tls_context": certificate.context}, "starttls"),
        ({"ssl_context": certificate.context}, "tls"),
    ):
        error = failing(made(posts(**options).port, security=security, host="localhost"))
        assert isinstance(error, ConfigError)
        assert error.code == "server_tls"
        assert "self-signed" in error.message


def test_one_without_starttls_gets_no_password(post: Post) -> None:
    error = failing(made(post.port, security="starttls", **signing_in()))
    assert (error.code, error.exit_code) == ("smtp_starttls", 2)


def test_tls_at_a_port_without_it_is_said(post: Post) -> None:
    error = failing(made(post.port, security="tls"))
    assert error.code in {"server_tls", "notify_connection"}


def test_one_that_offers_no_way_to_sign_in_is_said(post: Post) -> None:
    assert failing(made(post.port, **signing_in())).code == "smtp_auth"


def test_recipients_who_are_refused_are_named_and_others_get_it(post: Post) -> None:
    post.refused = {"old@example.com": "550 5.1.1 No such user", "busy@example.com": "451 4.7.1 Greylisted"}
    error = failing(made(post.port, to=("old@example.com",)))
    assert isinstance(error, ConfigError)
    assert "old@example.com (550 5.1.1 No such user)" in error.message
    assert isinstance(failing(made(post.port, to=("busy@example.com",))), RetryableError)
    both = made(post.port, to=("ana@example.com", "old@example.com"))
    left = channel.send(both, [FAILED], "/srv", guard=NEAR)
    assert left is not None
    assert (left.recipients, left.error.code) == (("old@example.com",), "smtp_recipient")
    assert [to for to, _ in post.mails] == [["ana@example.com"]]
    post.refused = {}
    assert channel.send(both, [FAILED], "/srv", left.recipients, guard=NEAR) is None
    assert post.mails[-1][0] == ["old@example.com"]
    assert channel.send(both, [FAILED], "/srv", ["gone@example.com"], guard=NEAR) is None  # is none any more
    assert len(post.mails) == 2


def test_a_mail_that_is_refused_is_told_from_a_server_that_is_busy(post: Post) -> None:
    post.refuses_data = "554 5.7.1 Looks like spam"
    assert failing(made(post.port)).code == "notify_message_refused"
    post.refuses_data = "452 4.3.1 No room"
    assert isinstance(failing(made(post.port)), RetryableError)


def test_a_server_that_is_not_there_or_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "CONNECT_SECONDS", 0.1)
    with silent() as port:
        error = failing(made(port))
        assert isinstance(error, UnavailableError)
        assert error.code == "server_timeout"
    assert failing(made(port)).code == "server_refused"
    assert failing(made(port, host="no-such-name.invalid")).code == "server_dns"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"security": "none", "host": "smtp.example.com", **signing_in()}, "smtp_plain_password"),
        ({"user": USER}, "smtp_credential"),
        ({"to": ("not an address",)}, "channel_invalid"),
        ({"to": ()}, "channel_invalid"),
        ({"sender": "a@b\r\nBcc: c@d"}, "channel_invalid"),
        ({"host": "https://smtp.example.com"}, "channel_invalid"),
        ({"security": "ssl"}, "channel_invalid"),
        ({"password": SecretStr(PASSWORD)}, "smtp_credential"),
    ],
)
def test_what_cannot_be_is_refused_and_no_secret_quoted(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(25, **fields)
    assert caught.value.code == code
    assert PASSWORD not in f"{caught.value} {caught.value.hint}"
