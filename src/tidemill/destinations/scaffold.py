"""The folder of a new destination, for who writes one: all files that it needs, and a test that fails until it is
done."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from tidemill.errors import ConfigError, ConflictError

_NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")
_KNOWN = "_KNOWN = {\n"  # in the registry

_INIT = '''"""{title}."""
'''

_CONFIG = '''"""What {title} is."""

from __future__ import annotations

from pydantic import Field, SecretStr

from tidemill.destinations.{name} import actions, client
from tidemill.destinations.port import Destination, Pace, Settings


class {kind}Settings(Settings):
    """An account."""

    token: SecretStr = Field(description="The API key.")
    endpoint: str = Field(default="https://api.example.com", description="The address of the API.")

    @property
    def account(self) -> str:
        """The address: keys are secret. Better: what the API calls the account."""
        return self.endpoint


{constant} = Destination(
    name="{name}",
    title="{title}",
    description="Say what rows become there.",
    page="https://example.com/docs",
    settings={kind}Settings,
    actions=(actions.SEND,),
    open=client.{kind}Client.open,
    pace=lambda _: Pace(calls=10),
)
'''

_ACTIONS = '''"""What rows look like, and what the answer says of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from tidemill.destinations.port import WRITTEN, Action, Field, Limits, Mode, Outcome, Record, Sending

if TYPE_CHECKING:
    from tidemill.destinations.{name}.client import {kind}Client

_encoder = msgspec.json.Encoder()


def encode(record: Record) -> bytes:
    """A row. `record.identity` is the same each time that it is sent: have the API know it by that, if it can."""
    return _encoder.encode({{"id": record.identity, **record.fields}})


def send(client: {kind}Client, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send rows. One outcome each, in order: what the API does not say it has taken is not written."""
    client.post(b"[" + b",".join(sending.body for sending in batch) + b"]")
    return [WRITTEN] * len(batch)


SEND = Action(
    name="send",
    title="Send rows",
    description="Say what a row becomes.",
    fields=(Field("email", "E-mail", "The person's address.", required=True, names=("email_address",), personal=True),),
    modes=(Mode.UPSERT, Mode.INSERT, Mode.UPDATE),
    limits=Limits(rows=100, bytes=1_000_000, row_bytes=100_000),
    encode=encode,
    send=send,
)
'''

_CLIENT = '''"""Requests to {title}."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidemill.destinations import answers
from tidemill.destinations.port import Outlet
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.{name}.config import {kind}Settings


class {kind}Client:
    """See port.Client."""

    def __init__(self, settings: {kind}Settings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: {kind}Settings, outlet: Outlet) -> Iterator[{kind}Client]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """Ask for something that changes nothing."""
        self._asked("GET", "/me", None)
        return "{title} takes the key."

    def post(self, body: bytes) -> Answer:
        """Send rows."""
        return self._asked("POST", "/rows", body)

    def _asked(self, method: str, path: str, body: bytes | None) -> Answer:
        token = self._settings.token.get_secret_value()
        headers = {{"Authorization": f"Bearer {{token}}", "Content-Type": "application/json"}}
        answer = self._http.request(method, self._settings.endpoint + path, headers=headers, body=body)
        return answers.checked(answer, "{title}", self._settings.secrets)
'''

_README = """# {title}

Say what it does, where the key is found, and what becomes of rows that are refused.
"""

_API = '''"""A server that behaves as the API of {title}."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply


class {kind}Api(Api):
    """See the module."""

    destination = "{name}"

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {{"token": "good" if good else "bad-token", "endpoint": self.url}}

    def fields(self, action: str, number: int) -> dict[str, Any]:
        """See Api."""
        return {{"email": f"{{action}}{{number}}@example.com"}}

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api."""
        raise AssertionError("say which row the API refuses, and how")

    def mark(self, action: str, number: int) -> Any:
        """See Api."""
        return self.fields(action, number)["email"]

    def taken(self, action: str) -> Sequence[Any]:
        """See Api."""
        raise AssertionError("say what the API has taken")

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        raise AssertionError("answer as the API does")
'''


def write(root: Path, name: str) -> list[Path]:
    """Write the folder and the API for tests of a new destination into a checkout, and its line in the registry. Gives
    the files.

    Raises
    ------
    ConfigError
        It is no name for one, or this is no checkout.
    ConflictError
        It is there already.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ConfigError(
            "destination_name", f"{name!r} is no name.", hint="Small letters, digits and _, such as acme."
        )
    folder = root / "src" / "tidemill" / "destinations"
    registry, tests = folder / "registry.py", root / "tests" / "contract"
    if not registry.exists() or not tests.exists():
        raise ConfigError(
            "no_checkout",
            f"{root} is no checkout of Tidemill.",
            hint="A destination is a part of it: run this in the folder that holds pyproject.toml.",
        )
    if (folder / name).exists():
        raise ConflictError("destination_exists", f"There is a destination {name}.", hint="Choose another name.")
    title = name.replace("_", " ").title()
    words = {"name": name, "title": title, "kind": title.replace(" ", ""), "constant": name.upper()}
    files = {
        folder / name / "__init__.py": _INIT,
        folder / name / "config.py": _CONFIG,
        folder / name / "actions.py": _ACTIONS,
        folder / name / "client.py": _CLIENT,
        folder / name / "README.md": _README,
        tests / "apis" / f"{name}.py": _API,
    }
    known = registry.read_text()
    place = known.index(_KNOWN) + len(_KNOWN)
    line = '    "{name}": ("{name}.config", "{constant}"),\n'.format(**words)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(**words))
    registry.write_text(known[:place] + line + known[place:])
    return [*files, registry]
