"""Messages as signed webhooks and for Slack, to a real web server: who gets them can check them; no secret is told."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
import socket
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.receivers import Certificate, Web, silent
from tests.unit.notify.test_mail import FAILED, NEAR, NOW
from tests.unit.notify.test_mail import made as mail

from tidemill.errors import AccessError, ConfigError, RetryableError, TidemillError, UnavailableError
from tidemill.notify import channel, http, slack, spec
from tidemill.notify.message import Message
from tidemill.notify.spec import Spec
from tidemill.outbound import network, signing
from tidemill.outbound.guard import Guard
from tidemill.store.records_notify import Cause

KEY = signing.new_key()
PATH = "/services/T000/B000/s3cr3tpath"
PAGE = Path(__file__).parents[3] / "docs" / "howto" / "notifications.md"


def webhook(url: str, **fields: object) -> Spec:
    return spec.make("webhook", {"url": SecretStr(url), "key": KEY, **fields})


def to_slack(url: str) -> Spec:
    return spec.make("slack", {"url": SecretStr(url)})


def send(made: Spec, *together: Message) -> None:
    assert channel.send(made, together or (FAILED,), "/srv/.tidemill", guard=NEAR) is None


def failing(made: Spec) -> TidemillError:
    """What is said of it; neither the path nor the key is in it."""
    with pytest.raises(TidemillError) as caught:
        send(made)
    error = caught.value
    said = f"{error} {error.hint} {error.raw} {error.args} {error.__cause__!r}"
    assert not [secret for secret in ("s3cr3t", PATH[:12], *made.secrets) if secret in said]
    return error


def snippet() -> Any:
    """What the documents show for a check, as a function."""
    (code,) = re.findall(r"```python\n(import base64.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(textwrap.dedent(code), names)  # noqa: S102 - of our own page
    return names["verified"]


@pytest.mark.parametrize("kind", ["webhook", "slack", "email"])
def test_a_channel_reaches_no_service_of_a_private_network_unless_that_is_allowed(kind: str, web: Web) -> None:
    made = {"webhook": webhook, "slack": to_slack}[kind](web.url(PATH)) if kind != "email" else mail(web.port)
    with pytest.raises(ConfigError) as refused:
        channel.send(made, [FAILED], "/srv/.tidemill", guard=Guard())
    assert refused.value.code == "address_private"
    assert "TIDEMILL_OUTBOUND_ALLOW=127.0.0.1" in refused.value.hint
    assert web.requests == []


def test_nor_by_a_proxy(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", web.url())
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(ConfigError) as refused:
        channel.send(webhook("http://169.254.169.254/latest"), [FAILED], "/srv/.tidemill", guard=Guard())
    assert refused.value.code == "address_private"
    assert web.requests == []


def test_a_webhook_is_signed_as_the_standard_says_and_as_the_documents_check_it(web: Web) -> None:
    send(webhook(web.url("/hook?a=b")))
    (request,) = web.requests
    assert request.path == "/hook?a=b"
    assert request.headers["content-type"] == "application/json"
    said = Webhook(KEY.get_secret_value()).verify(request.body, request.headers)
    assert said["type"] == "export.failed"
    assert said["timestamp"] == NOW.isoformat()
    assert said["data"]["permission"] == "bigquery.tables.create"
    assert said["data"]["export"] == "hourly"
    assert "GRANT" in said["data"]["what_to_do"]
    assert said["data"]["commands"] == ["tidemill export show hourly"]
    verified = snippet()
    assert verified(KEY.get_secret_value(), request.headers, request.body)
    assert not verified(KEY.get_secret_value(), request.headers, request.body + b" ")
    assert not verified(signing.new_key().get_secret_value(), request.headers, request.body)
    assert not verified(KEY.get_secret_value(), {**request.headers, "webhook-timestamp": "1"}, request.body)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_key().get_secret_value()).verify(request.body, request.headers)


def test_one_that_comes_twice_has_the_same_id(web: Web) -> None:
    for _ in range(2):
        send(webhook(web.url()))
    assert {request.headers["webhook-id"] for request in web.requests} == {FAILED.id}


def test_several_webhooks_go_one_by_one(web: Web) -> None:
    over = Message(
        id="2" * 32, kind="recovered", at=NOW, export="hourly", table="p.d.events", over=((Cause.FAILED, NOW),)
    )
    send(webhook(web.url()), FAILED, over)
    assert [json.loads(request.body)["type"] for request in web.requests] == ["export.failed", "export.recovered"]
    assert json.loads(web.requests[1].body)["data"]["over"] == [{"cause": "failed", "since": NOW.isoformat()}]


def test_slack_gets_all_of_it_and_nothing_becomes_markup(web: Web) -> None:
    odd = Message(id="2" * 32, kind=Cause.PAUSED, at=NOW, export="<!channel> & ```", message="<@U1>", hint="x" * 9_000)
    send(to_slack(web.url(PATH)), FAILED, odd)
    (request,) = web.requests
    assert request.path == PATH
    text = json.loads(request.body)["text"]
    assert "*Export hourly fails*" in text
    assert "*Missing permission:* bigquery.tables.create" in text
    assert "GRANT `roles/bigquery.dataEditor`" in text
    assert "<" not in text
    assert len(text) < 8_000
    for number in (10, channel.TOGETHER["slack"]):
        assert len(slack.text([odd] * number, "/srv")) < 40_000


@pytest.mark.parametrize("kind", ["webhook", "slack"])
@pytest.mark.parametrize(
    ("answer", "expected", "code"),
    [
        ((500, {}, b"oops"), RetryableError, "notify_status"),
        ((429, {"Retry-After": "120"}, b"rate_limited"), RetryableError, "notify_status"),
        ((403, {}, b"action_prohibited"), AccessError, "notify_denied"),
        ((404, {}, b"no_service"), ConfigError, "notify_status"),
        ((410, {}, b"channel_is_archived"), ConfigError, "notify_status"),
        ((302, {"Location": "http://127.0.0.1:1/elsewhere"}, b""), ConfigError, "notify_redirected"),
        ((400, {}, b"invalid_payload"), ConfigError, http.REFUSED),
        ((599, {}, f"see {PATH} {KEY.get_secret_value()}\0\x1b[31m".encode() * 100), RetryableError, "notify_status"),
        ((599, {}, b" " * 1_980 + PATH.encode() * 2), RetryableError, "notify_status"),
    ],
)
def test_a_status_says_what_is_wrong(
    web: Web, kind: str, answer: tuple[int, dict[str, str], bytes], expected: type[TidemillError], code: str
) -> None:
    web.answers = [answer]
    error = failing(webhook(web.url(PATH)) if kind == "webhook" else to_slack(web.url(PATH)))
    assert type(error) is expected
    assert error.code == code
    assert str(answer[0]) in error.message
    assert error.message.isprintable()
    assert len(error.message) < 500
    assert getattr(error, "after", None) == (120.0 if answer[0] == 429 else None)


def test_a_server_that_is_not_there_or_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "ANSWER_SECONDS", 0.1)
    with silent() as port:
        error = failing(webhook(f"http://127.0.0.1:{port}{PATH}"))
        assert isinstance(error, UnavailableError)
        assert error.code == "server_timeout"
    assert failing(webhook(f"http://127.0.0.1:{port}{PATH}")).code == "server_refused"
    error = failing(to_slack(f"https://no-such-name.invalid{PATH}"))
    assert error.code == "server_dns"
    assert "no-such-name.invalid" in error.message


def test_tls_that_is_not_good_is_said(web: Web, certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing(webhook(f"https://127.0.0.1:{web.port}{PATH}")).code == "server_tls"
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    assert failing(webhook(f"https://example.invalid{PATH}")).code == "notify_proxy"
    monkeypatch.undo()
    web.encrypt(certificate.context)
    error = failing(webhook(f"https://localhost:{web.port}{PATH}"))
    assert (error.code, "self-signed" in error.message) == ("server_tls", True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.file))
    send(webhook(f"https://localhost:{web.port}{PATH}"))


def test_a_user_of_an_address_signs_in_and_nobody_else(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    send(webhook(web.url()))
    send(webhook(web.url().replace("http://", "http://ana:p%40ss@")))
    assert "authorization" not in web.requests[0].headers
    said = web.requests[1].headers["authorization"].removeprefix("Basic ")
    assert base64.b64decode(said) == b"ana:p@ss"


def test_no_log_holds_an_address(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    web.answers = [(500, {}, b"")]
    failing(webhook(web.url(PATH)))
    failing(webhook(f"http://127.0.0.1:1{PATH}"))
    assert "s3cr3t" not in caplog.text


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/s3cr3t", "s3cr3t", "https://", "https:///s3cr3t", "file:///s3cr3t", "https://a b/s3cr3t",
     "https://example.com:99999/s3cr3t", "https://[::1/s3cr3t", "https://example.com/\ns3cr3t", ""],
)  # fmt: skip
def test_what_is_no_address_of_a_web_server_is_refused_and_not_quoted(url: str) -> None:
    for make in (webhook, to_slack):
        with pytest.raises(ConfigError) as caught:
            make(url)
        assert "s3cr3t" not in f"{caught.value} {caught.value.hint}"


def test_a_secret_address_does_not_go_over_the_network_as_it_is() -> None:
    with pytest.raises(ConfigError, match="as it is"):
        to_slack("http://hooks.example.com/s3cr3t")


@pytest.mark.parametrize("key", ["whsec_", "whsec_c2hvcnQ=", "s3cr3t", f"whsec_{'A' * 400}", "whsec_***"])
def test_a_key_that_is_none_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        webhook("https://example.com", key=SecretStr(key))
    assert caught.value.code == "webhook_key"
    assert "s3cr3t" not in str(caught.value)


def test_nothing_secret_is_among_what_may_be_shown() -> None:
    for made in (webhook(f"https://u:s3cr3t@example.com:8443{PATH}"), to_slack(f"https://example.com{PATH}")):
        assert "s3cr3t" not in f"{made!r} {made.shown()} {made.address}"
        assert "s3cr3t" in str(made.hidden())
    assert webhook(f"https://u:s3cr3t@example.com:8443{PATH}").address == "https://example.com:8443/…"


@contextlib.contextmanager
def dripping(said: bytes) -> Iterator[str]:
    """A server that says this, and then nothing more for ever."""

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                found, _ = listener.accept()
                found.recv(65_536)
                found.sendall(said)
                held.append(found)

    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
    for one in held:
        one.close()


def test_a_message_is_taken_when_the_server_says_so_however_long_it_goes_on() -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx") as url:
        send(webhook(url))


def test_a_server_that_does_not_come_to_an_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "ANSWER_SECONDS", 0.2)
    with dripping(b"HTTP/1.1 500 Oh\r\nContent-Length: 100000\r\n\r\nit hurts") as url:
        assert "it hurts" in failing(webhook(url)).message
    monkeypatch.setattr(network, "ANSWER_SECONDS", 600.0)
    monkeypatch.setattr(http, "_WHOLE_SECONDS", 0.2)
    with dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ") as url:
        assert failing(webhook(url)).code == "server_timeout"
