"""What is said of a server that cannot be reached, and of texts of others."""

from __future__ import annotations

import functools
import json
import re
import socket
import ssl
import urllib.parse
from collections.abc import Iterable

from tidemill.errors import ConfigError, TidemillError, UnavailableError

#: How long is waited for a connection, and for each answer.
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 15.0
_MOST = 300
_BLOT = "********"
#: So many characters of a secret tell something.
_BEGINNING = 4
#: So many characters has a part of a path or a query that may be a secret by itself.
_TELLING = 8
_WORD = re.compile("[a-z_-]+")  # such as services, which is none
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def plain(text: str | bytes, secrets: Iterable[str]) -> str:
    """A text of somebody else's, in one line that is not long. It may quote what it was told, but no secret."""
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    said = " ".join(_ODD.sub(" ", scrubbed(said, secrets)).split())
    return said if len(said) <= _MOST else f"{said[:_MOST]}…"


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """The text, with secrets blotted out, and what they are made of; also with the beginning of one, where the text was
    cut off in it."""
    known = _forms(tuple(secrets))
    for secret in known:
        text = text.replace(secret, _BLOT)
    cut = [at for secret in known if (at := _cut_off(text, secret)) is not None]
    return text[: min(cut)] + _BLOT if cut else text


def _cut_off(text: str, secret: str) -> int | None:
    """Where the beginning of a secret begins with which the text ends."""
    beginning = secret[:_BEGINNING]
    at = text.find(beginning) if len(secret) > _BEGINNING else -1
    while at >= 0:
        if secret.startswith(text[at:]):
            return at
        at = text.find(beginning, at + 1)
    return None


@functools.lru_cache(maxsize=64)
def _forms(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Texts that give these away, the longest first: as they are, as JSON and addresses quote them, and the parts of
    those that are addresses."""
    found = {secret for secret in secrets if secret}
    for secret in tuple(found):
        found |= _parts(secret)
    for secret in tuple(found):
        quoted = (
            quote(secret, safe="", errors="surrogatepass") for quote in (urllib.parse.quote, urllib.parse.quote_plus)
        )
        found |= {json.dumps(secret)[1:-1], *quoted}
    return tuple(sorted(found, key=len, reverse=True))


def _parts(secret: str) -> set[str]:
    """What is secret of an address of a web server: user, password, and all behind the server's name. A server quotes
    the path of what it does not find."""
    try:
        found = urllib.parse.urlsplit(secret)
    except ValueError:
        return set()
    if found.scheme not in {"http", "https"}:
        return set()
    values = [value for _, value in urllib.parse.parse_qsl(found.query)]
    words = [part for part in found.path.split("/") if not _WORD.fullmatch(part)]
    some = [part for part in (*words, *values) if len(part) >= _TELLING]
    whole = [found.username or "", found.password or "", found.path, found.query]
    return {text for part in (*whole, *some) for text in (part, urllib.parse.unquote(part)) if len(text) >= _BEGINNING}


def without(error: TidemillError, secrets: Iterable[str]) -> TidemillError:
    """The error, with secrets blotted out."""
    known = tuple(secrets)
    for name in ("message", "hint", "raw"):
        setattr(error, name, scrubbed(getattr(error, name), known))
    error.args = (error.message,)
    return error


def unreachable(host: str, port: int | None, error: BaseException) -> TidemillError:
    """Our error for one of a socket: of names, connections, TLS or time."""
    where = f"{host}, port {port}" if port else host
    match error:
        case socket.gaierror() if error.errno == socket.EAI_AGAIN:
            return UnavailableError(
                "server_dns",
                f"The name {host} cannot be looked up for now (DNS).",
                hint="Look at this machine's network and its name servers.",
            )
        case socket.gaierror():
            return ConfigError(
                "server_dns", f"There is no server by the name {host} (DNS).", hint="Correct the name, or the DNS."
            )
        case ssl.SSLCertVerificationError():
            return ConfigError(
                "server_tls",
                f"The certificate of {where} is not valid (TLS): {error.verify_message}.",
                hint="Renew it, or use the name that it is made for. An authority of your own: name its file in "
                "SSL_CERT_FILE (mail) and REQUESTS_CA_BUNDLE (webhooks), for tidemill serve, too.",
            )
        case ssl.SSLError():
            return ConfigError(
                "server_tls",
                f"{where} does not speak TLS as it should: {plain(error.reason or str(error), ())}.",
                hint="Is it the right port? Of mail, --security tls is for 465, mostly, and starttls for 587 or 25.",
            )
        case ConnectionRefusedError():
            return UnavailableError(
                "server_refused",
                f"Nothing listens at {where}: the connection is refused.",
                hint="Look whether the server runs, and whether the port is right.",
            )
        case TimeoutError():
            return UnavailableError(
                "server_timeout",
                f"{where} does not answer in time.",
                hint="Look whether the server runs, and whether a firewall lets this machine through.",
            )
    why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return UnavailableError(
        "server_connection",
        f"The connection to {where} broke: {plain(why, ())}.",
        hint="Look whether the server runs, and at its log.",
    )
