"""What runs of syncs tell: each step with its numbers, what was waited for, why it failed; and nothing of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from tests.contract.api import Reply
from tests.contract.apis.webhook import KEY
from tests.installation import Installation
from tests.syncs import NAME, Crm, People, prepare, quiet, run

from tidemill.app import App
from tidemill.errors import ConfigError, NotFoundError
from tidemill.schedules.lines import LineView

SECRET = "ana-4711@example.com"


@pytest.fixture
def app(installation: Installation) -> Iterator[App]:
    with installation.app(outbound_allow="127.0.0.1", logs_level="debug") as opened:
        yield opened


def lines(app: App, number: int | None = None, **wanted: Any) -> list[LineView]:
    app.seeing.book.flush()
    return app.reverse_etl.logs.of(NAME, number, **wanted)


def one(found: list[LineView], message: str) -> LineView:
    (line,) = [line for line in found if line.message == message]
    return line


def test_a_run_tells_its_steps_with_rows_and_bytes(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm)
    assert lines(app) == []
    crm.faults = [Reply(429, {}, {"Retry-After": "0"})]
    over = run(app)
    found = lines(app)
    assert {line.run for line in found} == {"1"}
    assert list(dict.fromkeys(line.step for line in found)) == ["plan", "deliver", "commit", "end"]
    planned = one(found, "The plan is made.").fields
    assert (planned["by"], planned["added"], planned["rows"]) == ("me", 20, 20)
    assert planned["bytes_billed"] == over.bytes_billed
    again = one(found, "A call is made again.")
    assert (again.level, again.fields["code"], again.fields["tries"]) == ("warning", "destination_busy", 1)
    delivered = one(found, "A piece is delivered.")
    assert (delivered.level, delivered.fields["written"], delivered.fields["rejected"]) == ("warning", 19, 1)
    assert delivered.fields["calls"] == 2
    assert delivered.fields["bytes"] > 20
    assert one(found, "What was delivered is remembered.").step == "commit"
    assert one(found, "The run is completed.").fields["written"] == 19
    jobs = lines(app, search=f"{over.id.hex}_plan")
    assert jobs, "BigQuery's jobs are named"
    assert lines(app, 1, step="deliver", level="warning") == [again, delivered]
    assert list(app.reverse_etl.logs.follow(NAME, 1)) == found
    with pytest.raises(NotFoundError):
        lines(app, 2)
    with pytest.raises(ConfigError):
        lines(app, level="loud")
    app.reverse_etl.syncs.delete(NAME)
    with app.database.begin() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM tidemill.run_lines")) == 0


def test_a_run_without_anything_to_do_tells_nothing(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    run(app)
    told = [line.id for line in lines(app, level="info")]
    assert run(app).status == "skipped"
    assert [line.id for line in lines(app, level="info")] == told
    assert lines(app, 2, level="info") == []


def test_why_it_failed_is_told_and_no_row_and_no_secret(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    people.rows = {n: (SECRET, "bad" if n == 1 else SECRET) for n in range(3)}
    people.save()
    prepare(app, installation, people, crm)
    crm.faults = [Reply(403, {"error": f"nobody may write {SECRET}"})]
    assert run(app).error is not None
    failed = next(line for line in lines(app) if line.level == "error")
    assert (failed.step, failed.fields["code"]) == ("deliver", "destination_denied")
    assert one(lines(app), "The run is failed.").fields["written"] == 0
    crm.faults = [Reply(400, {"error": f"bad {SECRET}"})]
    run(app)
    crm.faults = [Reply(503, {"error": SECRET})] * 5
    watch = quiet()
    watch.sleep = lambda seconds: watch.check()  # type: ignore[method-assign] # noqa: ARG005
    people.rows[9] = (SECRET, "new")
    people.save()
    app.reverse_etl.syncs.run(NAME, watch, by="me")
    assert one(lines(app), "A call is given up for now.").fields["code"] == "destination_failed"
    with app.database.begin() as connection:
        rows = [str(row) for (row,) in connection.execute(sa.text("SELECT l::text FROM tidemill.run_lines l"))]
    assert len(rows) > 20
    assert [row for row in rows if SECRET in row or KEY in row or "SELECT" in row] == []


def test_the_command_line_shows_and_follows_them(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    environment = {"TIDEMILL_OUTBOUND_ALLOW": "127.0.0.1"}
    assert installation.run("sync", "run", NAME, **environment).returncode == 0
    shown = installation.run("sync", "logs", NAME)
    assert "The plan is made." in shown.stdout
    assert "added=20" in shown.stdout
    followed = installation.run("sync", "logs", NAME, "1", "--follow", "--level", "info", "--json")
    assert followed.returncode == 0
    assert len(followed.stdout.splitlines()) == 4
    unknown = installation.run("sync", "logs", "nobody")
    assert (unknown.returncode, "no sync" in unknown.stderr) == (4, True), unknown.stderr
