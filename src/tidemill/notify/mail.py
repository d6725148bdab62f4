"""Messages as e-mail."""

from __future__ import annotations

import contextlib
import dataclasses
import email.message
import email.policy
import email.utils
import hashlib
import smtplib
import ssl
from collections.abc import Iterator, Mapping, Sequence

from tidemill.errors import AccessError, ConfigError, RetryableError, TidemillError
from tidemill.notify import guarded
from tidemill.notify import message as messages
from tidemill.notify.http import REFUSED
from tidemill.notify.message import Message
from tidemill.notify.spec import EmailSpec
from tidemill.outbound import network
from tidemill.outbound.guard import Guard

_AUTH = (
    "What that server calls an app password may be needed, or another --user. tidemill notify edit NAME --password FILE"
)
_LINE = "-" * 70
#: A server may look into a mail before it says that it has it. Who does not wait sends it again.
_TAKES_SECONDS = 60.0
_TLS_PORT = 465


@dataclasses.dataclass(frozen=True)
class Left:
    """Some have got it, and these have not."""

    recipients: tuple[str, ...]
    error: TidemillError


def send(spec: EmailSpec, together: Sequence[Message], to: Sequence[str], home: str, guard: Guard) -> Left | None:
    """Send them, as one mail, to these.

    Raises
    ------
    TidemillError
        Nobody has got it.
    """
    made = mail(spec, together, to, home)
    with _signed_in(spec, guard) as server:
        refused = server.send_message(made, spec.sender, list(to))
    return Left(tuple(refused), _not_taken(spec, refused)) if refused else None


def mail(spec: EmailSpec, together: Sequence[Message], to: Sequence[str], home: str) -> email.message.EmailMessage:
    """The mail. The same messages have the same id, by which one that comes twice is known."""
    made = email.message.EmailMessage(email.policy.SMTP)
    more = f", and {len(together) - 1} more" if len(together) > 1 else ""
    made["Subject"] = f"[Tidemill] {together[0].title}{more}"
    made["From"], made["To"] = spec.sender, ", ".join(to)
    made["Date"] = email.utils.format_datetime(max(one.at for one in together))
    identity = hashlib.sha256("".join(one.id for one in together).encode()).hexdigest()[:32]
    made["Message-ID"] = f"<{identity}@{spec.sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    said = f"\n\n{_LINE}\n\n".join(map(messages.text, together))
    if len(together) > 1:
        said = "\n".join(f"{one.title}." for one in together) + f"\n\n{_LINE}\n\n{said}"
    made.set_content(f"{said}\n\n-- \n{messages.sender(home)}\n")
    return made


@contextlib.contextmanager
def _signed_in(spec: EmailSpec, guard: Guard) -> Iterator[smtplib.SMTP]:
    """A session of the server, for the time of the block."""
    try:
        server = _connected(spec, guard)
        with contextlib.closing(server):
            if spec.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if spec.user is not None and spec.password is not None:
                server.login(spec.user, spec.password.get_secret_value())
            if server.sock is not None:
                server.sock.settimeout(_TAKES_SECONDS)
            yield server
            with contextlib.suppress(smtplib.SMTPException, OSError):  # it has the mail
                server.quit()
    except (smtplib.SMTPException, OSError) as error:
        raise _failed(spec, error) from None
    except (UnicodeError, ValueError) as error:
        raise ConfigError(
            "smtp_text",
            f"The mail cannot be made: {type(error).__name__}.",
            hint="Look at addresses, user and password.",
        ) from None


def _connected(spec: EmailSpec, guard: Guard) -> smtplib.SMTP:
    tls = ssl.create_default_context() if spec.security == "tls" else None
    return guarded.mail_server(guard, spec.host, spec.port, network.CONNECT_SECONDS, tls)


def _failed(spec: EmailSpec, error: smtplib.SMTPException | OSError) -> TidemillError:
    """Our error for one of the mail server."""
    where = f"{spec.host}, port {spec.port},"
    match error:
        case smtplib.SMTPRecipientsRefused():
            return _not_taken(spec, error.recipients)
        case smtplib.SMTPResponseException():
            return _answered(spec, where, error)
        case smtplib.SMTPServerDisconnected():
            cause = error.__context__  # while an answer was waited for
            return _failed(spec, cause if isinstance(cause, OSError) else ConnectionResetError(0, "it was closed"))
        case smtplib.SMTPException():
            return _not_supported(spec, where, str(error))
        case TimeoutError() if spec.port == _TLS_PORT and spec.security != "tls":
            return ConfigError("smtp_tls", f"{where} says nothing.", hint="It is a port for TLS: say --security tls.")
    return network.unreachable(spec.host, spec.port, error)


def _answered(spec: EmailSpec, where: str, error: smtplib.SMTPResponseException) -> TidemillError:
    """Our error for an answer with a code."""
    said = f"{error.smtp_code} {network.plain(error.smtp_error, spec.secrets)}."
    if not 500 <= error.smtp_code < 600:
        hint = "It should pass; if not, ask who runs that server."
        return RetryableError("smtp_busy", f"{where} does not take mail for now: {said}", hint=hint)
    match error:
        case smtplib.SMTPAuthenticationError():
            return AccessError("smtp_auth", f"{where} does not accept the user and password: {said}", hint=_AUTH)
        case smtplib.SMTPSenderRefused():
            return ConfigError(
                "smtp_sender",
                f"{where} takes no mail from {error.sender}: {said}",
                hint="Say another sender (--from), or sign in (--user).",
            )
        case smtplib.SMTPDataError():
            return ConfigError(REFUSED, f"{where} does not take the mail: {said}", hint="Look at its log.")
    return ConfigError("smtp_refused", f"{where} refuses us: {said}", hint="Ask who runs that server.")


def _not_supported(spec: EmailSpec, where: str, said: str) -> TidemillError:
    if "STARTTLS" in said:
        return ConfigError(
            "smtp_starttls",
            f"{where} offers no STARTTLS.",
            hint="Say --security tls if the port is one for TLS (465, mostly).",
        )
    if spec.user is not None:
        return AccessError(
            "smtp_auth",
            f"{where} offers no way to sign in by user and password: {network.plain(said, spec.secrets)}.",
            hint=_AUTH,
        )
    return ConfigError(
        "smtp_unable", f"{where} cannot do it: {network.plain(said, spec.secrets)}.", hint="Look at the addresses."
    )


def _not_taken(spec: EmailSpec, refused: Mapping[str, tuple[int, bytes]]) -> TidemillError:
    """Our error for recipients that were refused."""
    said = "; ".join(f"{name} ({code} {network.plain(text, spec.secrets)})" for name, (code, text) in refused.items())
    if all(_passes(code) for code, _ in refused.values()):
        return RetryableError(
            "smtp_recipient", f"Not taken for now, for: {said}.", hint="It is tried again: some servers want that."
        )
    return ConfigError(
        "smtp_recipient", f"The server refuses mail for: {said}.", hint="Correct it: tidemill notify edit NAME --to …"
    )


def _passes(code: int) -> bool:
    return 400 <= code < 500
