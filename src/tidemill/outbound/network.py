"""What is said of a server that cannot be reached, and of texts of others."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable

from tidemill.errors import ConfigError, TidemillError, UnavailableError

#: How long is waited for a connection, and for each answer.
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 15.0
_MOST = 300
_BLOT = "********"
#: So many characters of a secret tell something.
_BEGINNING = 4
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def plain(text: str | bytes, secrets: Iterable[str]) -> str:
    """A text of somebody else's, in one line that is not long. It may quote what it was told, but no secret."""
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    said = " ".join(_ODD.sub(" ", scrubbed(said, secrets)).split())
    return said if len(said) <= _MOST else f"{said[:_MOST]}…"


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """The text, with secrets blotted out; also with the beginning of one, where the text was cut off in it."""
    known = sorted(secrets, key=len, reverse=True)
    for secret in known:
        text = text.replace(secret, _BLOT)
    cut = [size for secret in known for size in range(_BEGINNING, len(secret)) if text.endswith(secret[:size])]
    return text[: -max(cut)] + _BLOT if cut else text


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
