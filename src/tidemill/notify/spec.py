"""What a user says of a channel; validated here."""

from __future__ import annotations

import abc
import json
import urllib.parse
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import AfterValidator, Field, SecretStr

from tidemill.errors import ConfigError
from tidemill.outbound import signing, urls

NAME_RULE = r"^[A-Za-z0-9][A-Za-z0-9_.\- ]{0,99}$"
_ADDRESS = r"^[^@\s<>,;]+@[^@\s<>,;]+$"

Address = Annotated[str, Field(pattern=_ADDRESS, max_length=320)]
Url = Annotated[SecretStr, AfterValidator(urls.checked)]


class Spec(pydantic.BaseModel, abc.ABC):
    """One channel. Fields that are secret are kept apart, and never shown."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]

    def shown(self) -> dict[str, Any]:
        """What may be shown."""
        return {name: value for name, value in self.model_dump(mode="json").items() if name not in self._hidden}

    def hidden(self) -> str | None:
        """What may not, as JSON; None: nothing."""
        found = {name: getattr(self, name).get_secret_value() for name in self._hidden if getattr(self, name)}
        return json.dumps(found) if found else None

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no error and no log may hold."""
        found = [getattr(self, name).get_secret_value() for name in self._hidden if getattr(self, name)]
        split = [urllib.parse.urlsplit(text) for text in found if "://" in text]
        parts = [part for url in split for part in (url.path, url.query, url.password)]
        return tuple(text for text in (*found, *parts) if text and len(text) > 1)

    @property
    @abc.abstractmethod
    def address(self) -> str:
        """Where messages go, without what is secret of that."""

    @property
    def _hidden(self) -> list[str]:
        return [name for name, field in type(self).model_fields.items() if "SecretStr" in str(field.annotation)]


class EmailSpec(Spec):
    """E-mail, by an SMTP server."""

    kind: ClassVar[str] = "email"
    to: tuple[Address, ...] = Field(min_length=1, max_length=50, description="Who gets it.")
    sender: Address = Field(description="Who it is from.")
    host: str = Field(min_length=1, max_length=253, pattern=r"^[^\s/@]+$", description="The SMTP server.")
    port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    security: Literal["starttls", "tls", "none"] = Field(default="starttls", description="How it is encrypted.")
    user: str | None = Field(default=None, description="Who signs in; None: nobody does.")
    password: SecretStr | None = Field(default=None, description="Of the user.")

    @pydantic.model_validator(mode="after")
    def _check(self) -> EmailSpec:
        if (self.user is None) != (self.password is None):
            raise ConfigError(
                "smtp_credential",
                "A user and a password belong together." if self.user else "There is a password, and no user.",
                hint="Give --user NAME, and the password when it is asked for; or neither.",
            )
        if self.password and self.security == "none" and not urls.is_local(self.host):
            raise ConfigError(
                "smtp_plain_password",
                "The password would go over the network as it is.",
                hint="Say --security starttls (port 587, mostly) or --security tls (port 465).",
            )
        return self

    @property
    def address(self) -> str:
        """Who gets it."""
        return ", ".join(self.to)


class WebhookSpec(Spec):
    """An HTTP request, signed."""

    kind: ClassVar[str] = "webhook"
    url: Url = Field(description="Where it goes.")
    key: Annotated[SecretStr, AfterValidator(signing.checked)] = Field(description="By which it is signed.")

    @property
    def address(self) -> str:
        """The server."""
        return urls.origin(self.url)


class SlackSpec(Spec):
    """An incoming webhook of Slack, or of what understands the same."""

    kind: ClassVar[str] = "slack"
    url: Url = Field(description="Where it goes: a secret.")

    @pydantic.model_validator(mode="after")
    def _check(self) -> SlackSpec:
        found = urllib.parse.urlsplit(self.url.get_secret_value())
        if found.scheme != "https" and not urls.is_local(found.hostname or ""):
            raise ConfigError(
                "slack_plain", "The address would go over the network as it is.", hint="It begins with https://."
            )
        return self

    @property
    def address(self) -> str:
        """The server."""
        return urls.origin(self.url)


KINDS: dict[str, type[Spec]] = {spec.kind: spec for spec in (EmailSpec, WebhookSpec, SlackSpec)}


def make(kind: str, fields: dict[str, Any]) -> Spec:
    """A channel of that kind.

    Raises
    ------
    ConfigError
        That names the field, and quotes nothing that may be secret.
    """
    try:
        return KINDS[kind](**fields)
    except pydantic.ValidationError as error:
        found = dict.fromkeys(_problem(str(item["loc"][0]), item["msg"]) for item in error.errors())
        raise ConfigError(
            "channel_invalid",
            f"This channel is not valid. {'; '.join(found)}.",
            hint=f"tidemill notify add {kind} --help",
        ) from None


def _problem(field: str, said: str) -> str:
    option = {"sender": "--from"}.get(field, f"--{field}")
    wrong = {"to": "an address looks like ana@example.com", "sender": "an address looks like ana@example.com"}
    wrong |= {"host": "a name such as smtp.example.com, without a scheme", "port": "a number from 1 to 65535"}
    wrong["security"] = "one of starttls, tls and none"
    return f"{option}: {wrong.get(field, said)}"
