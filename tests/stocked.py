"""An installation that has one of everything, with secrets that are known again wherever they come out.

Somebody's server takes all that is sent, refuses it, and says back what it was sent, as some do.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import socketserver
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.contract.api import Api, Asked, Reply
from tests.dbt_projects import Project
from tests.installation import CONNECTION, Installation, copy_home, write_events
from tests.syncs import MAPPING, NAME, People

from tidemill.access.permissions import Permission
from tidemill.access.roles import Role
from tidemill.app import App
from tidemill.bigquery.local.service import LocalBigQuery
from tidemill.destinations import registry
from tidemill.notify.spec import KINDS

EXPORT, IMPORT, HOOK, SHOP, USER = "daily", "signups", "hook", "shop", "ben"
#: Settings that are secret.
HIDDEN = ("oidc_client_secret", "metrics_token", "backup_passphrase")
FROM: dict[str, Any] = {"address": "192.0.2.7", "agent": "a browser"}


class Echo(Api):
    """That server."""

    destination = "echo"

    def __init__(self) -> None:
        self.manifest = Project().text()
        self._rude = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Rude)
        self._rude.daemon_threads = True
        threading.Thread(target=self._rude.serve_forever, args=(0.01,), daemon=True).start()
        super().__init__()

    @property
    def rude(self) -> int:
        """A port at which whoever speaks no HTTP is sent away."""
        return int(self._rude.server_address[1])

    def close(self) -> None:
        """See Api."""
        self._rude.shutdown()
        self._rude.server_close()
        super().close()

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if asked.path == "/manifest.json":
            return Reply(200, self.manifest)
        said = {
            "path": asked.path,
            "query": asked.query,
            "headers": asked.headers,
            "body": asked.body.decode("latin-1"),
        }
        return Reply(403, {"error": "you may not, for you said: " + json.dumps(said), **said})

    def settings(self, *, good: bool = True) -> dict[str, Any]:  # noqa: ARG002 - none are good
        """See Api."""
        return {"url": self.url}

    def fields(self, action: str, number: int) -> dict[str, Any]:  # noqa: ARG002
        """See Api."""
        return {"n": number}

    def unwelcome(self, action: str, number: int) -> None:
        """See Api."""

    def taken(self, action: str) -> list[Any]:  # noqa: ARG002
        """See Api."""
        return []

    def mark(self, action: str, number: int) -> int:  # noqa: ARG002
        """See Api."""
        return number


class _Rude(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """See BaseRequestHandler."""
        self.request.sendall(b"554 Go away.\r\n")


@dataclasses.dataclass
class Stocked:
    """It. `secrets`: each text that may come out nowhere, by what it is of; `names`: what there is, by the first part
    of its address in the API; `run`: of the export."""

    app: App
    installation: Installation
    echo: Echo
    secrets: dict[str, str] = dataclasses.field(default_factory=dict)
    run: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    session: str = ""
    hook: str = ""

    @property
    def names(self) -> dict[str, str]:
        """See the class."""
        return {
            "connections": CONNECTION, "sources": CONNECTION, "exports": EXPORT, "export-models": "events",
            "source-models": "people", "syncs": NAME, "imports": IMPORT, "destinations": HOOK,
            "destination-kinds": "webhook", "dbt-projects": SHOP, "dbt": SHOP, "channels": "pager", "keys": "web",
            "tokens": "spare", "users": USER,
        }  # fmt: skip

    def secret(self, of: str) -> str:
        """A new one."""
        found = self.secrets[of] = f"Cx{os.urandom(12).hex()}"
        return found

    def found(self, text: str) -> set[str]:
        """Whose secrets are in a text: as they are, or as basic authentication and the like have them."""
        return {
            of
            for of, secret in self.secrets.items()
            if secret in text or any(form in text for form in _within_base64(secret))
        }


def _within_base64(secret: str) -> Iterator[str]:
    """How a text may stand in base64, wherever in it it begins: without its ends, which depend on what is beside."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + secret.encode()).decode().rstrip("=")
        yield whole[4 if before else 0 : len(whole) // 4 * 4 - 4]


@contextlib.contextmanager
def stocked(made_home: Path, local: LocalBigQuery, folder: Path, **settings: Any) -> Iterator[Stocked]:
    """One, in a folder."""
    home, dataset = folder / "home", f"d_{os.urandom(6).hex()}"
    local.set_faults([])
    local.create_dataset(dataset, "EU")
    copy_home(made_home, home)
    environment = {**os.environ, "TIDEMILL_HOME": str(home), "COLUMNS": "200"}
    installation, echo = Installation(home, local, dataset, environment), Echo()
    hidden = {name: f"Cx{os.urandom(12).hex()}" for name in HIDDEN}
    given = {"outbound_allow": "127.0.0.1", "retry_deadline_seconds": 0.5, **hidden, **settings}
    try:
        with installation.app(**given) as app:
            made = Stocked(app, installation, echo, secrets=dict(hidden))
            made.secrets["secret key"] = (home / "secret.key").read_text().strip()
            _move(made, folder)
            _tell(made)
            _let_in(made)
            yield made
    finally:
        echo.close()


@pytest.fixture(scope="module")
def made(made_home: Path, tmp_path_factory: pytest.TempPathFactory, local_bigquery: LocalBigQuery) -> Iterator[Stocked]:
    """One, for the tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_GCE_CHECK", "true")  # nobody waits for a server of Google's that is not there
        with stocked(made_home, local_bigquery, tmp_path_factory.mktemp("stocked")) as found:
            yield found


def _move(made: Stocked, folder: Path) -> None:
    """A connection that is a source, and an export, a sync and an import by it."""
    app, installation = made.app, made.installation
    installation.connect(app)
    lines = installation.local.key("tidemill")["private_key"].splitlines()
    made.secrets["service account key"] = lines[len(lines) // 2]
    list(app.reverse_etl.sources.enable(CONNECTION, {"access": "read-only"}, by="me"))
    write_events(folder / "events.jsonl", 20)
    with (folder / "events.jsonl").open("a") as file:
        file.write("{nonsense\n")
    app.events.load(str(folder / "events.jsonl"))
    app.identity.show(1, "user-1")  # people are made of them
    app.exports.create(CONNECTION, {"name": EXPORT, "table": "events", "interval": "none"}, by="me")
    (run,) = app.exports.run(EXPORT, by="me")
    made.run = run.id
    people = People(installation)
    people.rows = {n: (f"p{n}@example.com", "free") for n in range(3)}
    people.save()
    app.reverse_etl.models.add(CONNECTION, {"name": "people", "table": people.table, "key": ("id",)}, by="me")
    for kind, fields in destinations(made).items():
        app.reverse_etl.destinations.add(
            kind, HOOK if kind == "webhook" else kind, app.reverse_etl.destinations.make(kind, fields), by="me"
        )
    app.reverse_etl.syncs.create("people", HOOK, {"name": NAME, "mapping": MAPPING, "interval": "none"}, by="me")
    app.imports.create(IMPORT, model="people", by="me")
    place = {"manifest": f"{made.echo.url}/manifest.json", "token": SecretStr(made.secret("dbt token"))}
    cloud = {"cloud_host": made.echo.url, "cloud_token": SecretStr(made.secret("dbt Cloud token"))}
    webhook = {"webhook_secret": SecretStr(made.secret("dbt webhook"))}
    app.dbt.add({"name": SHOP, **place, **cloud, **webhook}, by="me")


def destinations(made: Stocked) -> dict[str, dict[str, Any]]:
    """Settings of each destination that there is, all of whose secrets are given."""
    url, key = made.echo.url, json.dumps(made.installation.local.key("tidemill"))
    signing = base64.b64encode(made.secret("a signing key").encode()).decode()
    found: dict[str, dict[str, Any]] = {
        "amplitude": {"analytics_endpoint": url},
        "braze": {"instance": "iad-01"},
        "clevertap": {"account_id": "account"},
        "customerio": {"site_id": "site"},
        "files": {"place": "s3://bucket/prefix", "key_id": "AKIA"},
        "google_sheets": {"key": key, "spreadsheet": "s" * 20},
        "hubspot": {},
        "intercom": {},
        "iterable": {},
        "klaviyo": {},
        "mixpanel": {"service_account": "robot", "project_id": "1"},
        "postgresql": {"host": "127.0.0.1", "port": made.echo.rude, "database": "d", "user": "u"},
        "posthog": {"project_id": "1", "app_endpoint": url},
        "salesforce": {"instance_url": url, "client_id": "app"},
        "segment": {"key_endpoint": url},
        "slack": {"url": f"https://hooks.slack.com/services/T0/B0/{made.secret('slack url')}"},
        "webhook": {"url": f"{url}/{made.secret('webhook path')}", "key": f"whsec_{signing}"},
    }
    made.secrets["signing key"] = signing
    for kind, fields in found.items():
        known = registry.get(kind).settings.model_fields
        for name, field in known.items():
            if name not in fields and "SecretStr" in str(field.annotation) and name != "authority":
                fields[name] = made.secret(f"{kind} {name}")
            elif name == "endpoint":
                fields[name] = url
    assert set(found) == set(registry.everything()), "each has to be here"
    return found


def _tell(made: Stocked) -> None:
    """Channels of each kind."""
    url = f"{made.echo.url}/{{}}"
    server: dict[str, Any] = {"host": "127.0.0.1", "port": made.echo.rude, "security": "none"}
    mail = {"to": ("ana@example.com",), "sender": "t@example.com", **server, "user": "t"}
    fields: dict[str, dict[str, Any]] = {
        "email": {**mail, "password": SecretStr(made.secret("mail password"))},
        "slack": {"url": SecretStr(url.format(made.secret("slack channel")))},
        "webhook": {"url": SecretStr(url.format(made.secret("webhook channel")))},
    }
    assert set(fields) == set(KINDS), "each has to be here"
    for kind, given in fields.items():
        _, key = made.app.notify.add(kind, "pager" if kind == "webhook" else kind, given, by="me")
        if key:
            made.secrets["channel signing key"] = key.removeprefix("whsec_")


def _let_in(made: Stocked) -> None:
    """Users, and all texts that let somebody in."""
    app, users = made.app, made.app.users
    root, password = made.secret("password of root"), made.secret(f"password of {USER}")
    made.secrets["set-up token"] = setup = users.setup_token()
    made.session = made.secrets["session"] = users.begin(setup, "root", root, **FROM)
    made.secrets["unused set-up token"] = users.setup_token()
    users.create(USER, role=Role.VIEWER, password=password, by="root")
    made.secrets["SDK key"] = app.keys.create(team_id=1, name="web", events_per_second=None, by="me")[0]
    made.secrets["API token"] = app.tokens.create(
        name="spare", scopes=[Permission.HEALTH_READ], expires_seconds=None, by="me"
    )[0]
    made.secrets["hook of an export"], _ = app.export_hooks.create(EXPORT, by="me")
    made.hook = made.secrets["hook of a sync"] = app.sync_hooks.create(NAME, by="me")[0]
