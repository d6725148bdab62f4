"""Secrets go in, and come out nowhere: in no answer of the HTTP API, no output of the command line, no log, trace,
metric, error, or row of the database, though those to whom they are sent say them back."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import dumps
from tests.api_client import Client, work
from tests.api_requests import STREAMS, Asking, Request, Requests
from tests.installation import CONNECTION
from tests.otlp_receiver import Receiver, receiving
from tests.stocked import EXPORT, HIDDEN, HOOK, IMPORT, SHOP, Stocked, stocked
from tests.syncs import NAME

from tidemill import settings, tracing
from tidemill.bigquery.local.service import LocalBigQuery
from tidemill.cli import main
from tidemill.configuration.service import Configuration
from tidemill.destinations import registry
from tidemill.errors import TidemillError

#: What is shown once, when it is made: an answer may hold these, and no other.
_SHOWN_ONCE = {
    "POST /api/v1/tokens",
    "POST /api/v1/keys",
    "POST /api/v1/channels",
    "POST /api/v1/exports/{name}/hooks",
    "POST /api/v1/syncs/{name}/hooks",
}
#: What shows something, or fails. Each is tried as text, and as JSON.
COMMANDS = (
    "connection list", f"connection show {CONNECTION}", f"connection test {CONNECTION}", "reverse-etl list",
    f"reverse-etl show {CONNECTION}", f"connection edit {CONNECTION} --dataset no*dataset",
    "destination list", *(f"destination show {kind}" for kind in (HOOK, "slack", "salesforce", "google_sheets")),
    "destination show-kind webhook", f"destination test {HOOK}",
    f"destination edit {HOOK} --url nonsense",
    "notify list", "notify show email", "notify show slack", "notify show pager", "notify test",
    "dbt list", f"dbt show {SHOP}", f"dbt runs {SHOP}", f"dbt refresh {SHOP}",
    "export list", f"export show {EXPORT}", f"export logs {EXPORT}", f"export runs {EXPORT}",
    f"export hook list {EXPORT}", "sync list", f"sync show {NAME}", f"sync runs {NAME}", f"sync logs {NAME}",
    f"sync hook list {NAME}", f"sync rejects list {NAME}", f"sync test {NAME}", f"import show {IMPORT}",
    "key list --revoked", "token list --revoked", "user list", "audit list", "doctor", "events store show",
    "export-config", "model list",
)  # fmt: skip


@pytest.fixture
def collector() -> Iterator[Receiver]:
    """This process sends its traces there."""
    tracing._provider.cache_clear()
    with receiving() as receiver, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        yield receiver
        if (provider := tracing._provider()) is not None:
            provider.shutdown()
        tracing._provider.cache_clear()


@pytest.fixture
def made(
    made_home: Path,
    tmp_path: Path,
    local_bigquery: LocalBigQuery,
    collector: Receiver,  # noqa: ARG001 - runs of what is made are traced, too
) -> Iterator[Stocked]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_GCE_CHECK", "true")  # nobody waits for a server of Google's that is not there
        with stocked(made_home, local_bigquery, tmp_path) as found:
            yield found


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All that a server would say (api/child.py, log)."""
    caplog.set_level(logging.INFO)
    for client in ("httpx", "httpcore"):
        caplog.set_level(logging.WARNING, client)
    return caplog


def test_no_secret_comes_out(
    made: Stocked,
    log: pytest.LogCaptureFixture,
    collector: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert len(made.secrets) > 35
    leaks: dict[str, set[str]] = {}

    def look(where: str, text: str) -> None:
        if found := made.found(text):
            leaks.setdefault(where, set()).update(found)

    for where, text in by_services(made):
        look(where, text)
    for where, text in by_the_api(made):
        look(where, text)
    made.app.seeing.book.flush()
    look("export-config", Configuration(made.app).text())
    look("metrics", made.app.figures().decode())
    tracing.close()
    assert collector.named("run")
    look("traces", collector.raw.decode("latin-1"))
    for where, text in by_commands(made, monkeypatch, capfd):
        look(where, text)
    for record in log.records:
        look(f"the log of {record.name}", log.handler.format(record))
    for table, row in dumps.texts(made.app):
        look(table, row)
    assert not leaks, "\n".join(f"{where}: {sorted(of)}" for where, of in leaks.items())
    told = {table for table, row in dumps.texts(made.app, ["tidemill"]) if "you may not" in row}
    assert "tidemill.channels" in told, "what the other side says is kept"


def by_services(made: Stocked) -> Iterator[tuple[str, str]]:
    """Errors that are provoked: each destination and channel is asked, BigQuery fails, a sync is refused."""
    app, accounts = made.app, made.app.reverse_etl.destinations
    for one in accounts.find():
        yield f"destination {one.kind}", _failing(lambda one=one: accounts.test_saved(one.name))
        hidden = registry.get(one.kind).settings.model_fields
        for name in hidden:
            changes: dict[str, Any] = {name: made.secrets["API token"] + "\n", "nothing": made.secrets["SDK key"]}
            said = _failing(lambda one=one, changes=changes: accounts.changed(one.name, changes))
            yield (
                f"settings of {one.kind}",
                said.replace(made.secrets["API token"], "") if name in one.settings else said,
            )
    for tested in app.notify.test():
        assert tested.error is not None, tested
        yield f"channel {tested.channel}", f"{tested.error!r} {tested.error.hint} {tested.error.raw}"
    yield "a key that is none", _failing(lambda: app.connections.changed(CONNECTION, key=_broken_key(made)))
    app.sync_triggers.trigger(NAME, by="me")
    app.exports.triggers.run(EXPORT, by="me")
    work(app)
    (run,) = app.reverse_etl.syncs.runs(NAME)
    assert "you may not" in str(run.error), run
    made.installation.local.set_faults([{"path": "/jobs", "method": "POST", "fault": "status", "status": 403}] * 3)
    yield "BigQuery", _failing(lambda: list(app.connections.test(CONNECTION, "batch")))
    yield "BigQuery", _failing(lambda: app.reverse_etl.models.preview("people", 3))
    made.installation.local.set_faults([])
    yield "dbt", _failing(lambda: app.dbt.edit(SHOP, {"manifest": f"{made.echo.url}/elsewhere"}))


def _broken_key(made: Stocked) -> str:
    """One in which a letter is missing."""
    key = made.installation.local.key("tidemill")
    return json.dumps(
        {**key, "private_key": key["private_key"].replace(made.secrets["service account key"][:1], "", 1)}
    )


def _failing(work: Any) -> str:
    """What it says, if it fails, also to who wants to know more; and what it gives, if it does not."""
    try:
        return repr(work())
    except TidemillError as error:
        return f"{error!r} {error} {error.hint} {error.raw} {error.__cause__!r}"


def by_the_api(made: Stocked) -> Iterator[tuple[str, str]]:
    """All that it answers, but for what it shows once."""
    client = Client(made.app)
    token = client.token()
    made.secrets["API token of a program"] = token
    requests = Requests(client.ask("GET", "/openapi.json").json(), made).all()
    with Asking(client) as asking:
        for request in requests:
            if STREAMS in request.path and "/runs/" in request.path:
                continue
            answer = asking(request, token)
            if request.route in _SHOWN_ONCE and answer.status_code == 201:
                _remember(made, request, answer.json())
            else:
                yield request.route, answer.text + str(answer.headers)
            for place in request.places():  # a secret in the wrong place is not said back
                if request.method == "POST" and place[0] == "body":
                    hostile = {**request.body, "unknown": made.secrets["mail password"]}
                    wrong = asking(Request(request.route, request.method, request.path, request.query, hostile), token)
                    yield request.route, wrong.text
                    break


def _remember(made: Stocked, request: Request, answer: dict[str, Any]) -> None:
    for name in ("token", "key", "secret"):
        if answer.get(name):
            made.secrets[f"{name} by {request.route}"] = answer[name].removeprefix("whsec_")


def by_commands(
    made: Stocked, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
) -> Iterator[tuple[str, str]]:
    """All that commands say, also of errors, to who wants to know more."""
    patch.setenv("TIDEMILL_HOME", str(made.installation.home))
    patch.setenv("TIDEMILL_OUTBOUND_ALLOW", "127.0.0.1")
    patch.setenv("TIDEMILL_VERBOSE", "1")
    for name in HIDDEN:
        patch.setenv(f"TIDEMILL_{name.upper()}", made.secrets[name])
    settings.current.cache_clear()
    try:
        for command in COMMANDS:
            for more in ([], ["--json"]):
                capture.readouterr()
                main._run([*command.split(), *more])
                said = capture.readouterr()
                assert "Traceback" not in said.err, said.err
                yield f"tidemill {command}", said.out + said.err
    finally:
        settings.current.cache_clear()
