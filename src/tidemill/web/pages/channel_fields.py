"""The fields of a channel, of each kind: as they are shown, and as the service takes them. Secrets go in alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from tidemill.web.form import Field, Option

if TYPE_CHECKING:
    from tidemill.notify.service import ChannelView

KINDS = (
    Option("email", "E-mail", "by an SMTP server of yours"),
    Option("slack", "Slack", "by an incoming webhook"),
    Option("webhook", "Webhook", "an HTTP request, signed"),
)
_CAUSES = (
    Option("failed", "A run failed"), Option("paused", "Something was paused after failures"),
    Option("overdue", "A run is overdue"), Option("missing", "An interval has no run"),
    Option("rejects", "Many rows were set aside"), Option("stream", "A stream stands still"),
    Option("deviation", "A sync has far more or fewer rows than mostly"),
)  # fmt: skip
_SECURITY = (Option("starttls", "STARTTLS"), Option("tls", "TLS"), Option("none", "None"))
#: Of what it is told, by their names.
THINGS = ("exports", "syncs")
_SECRETS = frozenset({"password", "url", "key"})
_EMAIL = ("to", "sender", "host", "port", "security", "user", "password")


def fields(view: ChannelView | None = None) -> list[Field]:
    """The fields of a channel as it is; of a new one, of all kinds."""
    found = [Field("name", "Name", placeholder="on-call", value=view.name if view else None)]
    if view is None:
        found.insert(0, Field("kind", "Kind", "radio", options=KINDS, value="email"))
        found += _of_email({}, ("kind", ("email",)), had=False)
        found += [
            _of_slack(("kind", ("slack",)), had=False),
            *_of_webhook(("kind", ("webhook",)), had=False),
        ]
    elif view.kind == "email":
        found += _of_email(view.settings, None, had=bool(view.settings.get("user")))
    else:
        found += [_of_slack(None, had=True)] if view.kind == "slack" else _of_webhook(None, had=True)
    return [*found, *_told(view)]


def _of_email(now: Mapping[str, Any], when: tuple[str, tuple[str, ...]] | None, *, had: bool) -> list[Field]:
    return [
        Field("to", "To", help="Addresses, with commas.", when=when, placeholder="ana@example.com",
              value=", ".join(now.get("to", ()))),
        Field("sender", "From", "mail", when=when, value=now.get("sender")),
        Field("host", "SMTP server", when=when, placeholder="smtp.example.com", value=now.get("host")),
        Field("port", "Port", "number", value=now.get("port", 587), when=when, least=1, greatest=65_535),
        Field("security", "Encryption", "select", value=now.get("security", "starttls"), when=when, options=_SECURITY),
        Field("user", "User", required=False, when=when, value=now.get("user"), help="Empty: nobody signs in."),
        Field("password", "Password", "secret", required=False, when=when, value=had),
    ]  # fmt: skip


def _of_slack(when: tuple[str, tuple[str, ...]] | None, *, had: bool) -> Field:
    return Field(
        "slack_url", "Address of the incoming webhook", "secret", when=when, required=not had, value=had,
        help="It is kept encrypted.",
    )  # fmt: skip


def _of_webhook(when: tuple[str, tuple[str, ...]] | None, *, had: bool) -> list[Field]:
    made = "" if had else " Empty: one is made, and shown once."
    return [
        Field("webhook_url", "Address", "secret", when=when, required=not had, value=had, help="It is kept encrypted."),
        Field("key", "Key by which requests are signed", "secret", when=when, required=False, value=had,
              help=f"whsec_ and base64, as Standard Webhooks has it.{made}"),
    ]  # fmt: skip


def _told(view: ChannelView | None) -> list[Field]:
    """Of what it is told."""
    names = {name: "\n".join(one for one in getattr(view, name, ()) if one != _DELETED) for name in THINGS}
    causes = list(view.causes) if view else None
    help_ = "A name on each line. If there is one in either field, it is told of these alone; else of all."
    return [
        Field("causes", "Told of", "choices", options=_CAUSES, required=False, value=causes,
              help="None chosen: of all."),
        Field("exports", "Exports", "text", required=False, rows=3, value=names["exports"], help=help_),
        Field("syncs", "Syncs", "text", required=False, rows=3, value=names["syncs"]),
    ]  # fmt: skip


#: How a channel names an export that was deleted meanwhile.
_DELETED = "(deleted)"


def said_of(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed of the kind, as the service has it; secrets as such, and those that are empty left out."""
    if kind in {"slack", "webhook"}:
        found = {"url": given.get(f"{kind}_url"), "key": given.get("key") if kind == "webhook" else None}
    else:
        found = {name: given.get(name) for name in _EMAIL}
        found["to"] = tuple(one.strip() for one in str(found["to"] or "").split(",") if one.strip())
    named = {name: value for name, value in found.items() if value is not None}
    return {name: SecretStr(str(value)) if name in _SECRETS else value for name, value in named.items()}


def names_in(text: str | None) -> tuple[str, ...]:
    """Names that stand on a line each."""
    return tuple(line.strip() for line in (text or "").splitlines() if line.strip())


def changes_of(view: ChannelView, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was changed: of the kind's own settings and secrets; and of the rest, as the service's `edit` takes it."""
    said = said_of(view.kind, given)
    settings = {
        name: value
        for name, value in said.items()
        if name in _SECRETS
        or value != (tuple(view.settings.get(name, ())) if name == "to" else view.settings.get(name))
    }
    if view.kind == "email" and view.settings.get("user") and "user" not in said:  # nobody signs in any more
        settings |= {"user": None, "password": None}
    rest: dict[str, Any] = {}
    if given["name"] != view.name:
        rest["rename"] = given["name"]
    if set(given.get("causes") or ()) != set(view.causes):
        rest["causes"] = given.get("causes") or ()
    for name in THINGS:
        named = names_in(given.get(name))
        if set(named) != {one for one in getattr(view, name) if one != _DELETED}:
            rest[name] = named
    return settings, rest
