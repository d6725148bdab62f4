"""A sync delivers what has changed, and remembers what was acknowledged, whatever happens on the way."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

import pytest
from tests.contract.api import Reply
from tests.installation import Installation
from tests.syncs import MAPPING, NAME, Crm, Killed, People, killed_there, prepare, quiet, run

from tidemill.app import App
from tidemill.errors import Cancelled, ConfigError, ConflictError
from tidemill.reverse_etl import journal
from tidemill.reverse_etl.run import Runner
from tidemill.reverse_etl.views import RunView
from tidemill.reverse_etl.watch import Interrupted, Watch
from tidemill.store.sync_runs import SyncRuns

ALLOWED = {"outbound_allow": "127.0.0.1"}


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app(**ALLOWED) as opened:
        yield opened


def counts(run: RunView) -> dict[str, int]:
    names = ("added", "updated", "deleted", "retried", "unchanged", "written", "rejected", "to_retry")
    return {name: getattr(run, name) for name in names if getattr(run, name)}


def test_only_what_changed_is_sent(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    first = run(app)
    assert (first.status, counts(first)) == ("completed", {"added": 20, "written": 20})
    assert crm.people == people.expected()
    again = run(app)
    assert again.status == "skipped"
    people.rows[3] = ("new@example.com", "pro")
    people.rows[99] = ("p99@example.com", "free")
    del people.rows[5]
    people.save()
    crm.sent.clear()
    second = run(app)
    assert counts(second) == {"added": 1, "updated": 1, "deleted": 1, "unchanged": 18, "written": 3}
    assert Counter((row["key"], row["op"]) for row in crm.sent) == Counter(
        [("3", "updated"), ("99", "added"), ("5", "deleted")]
    )
    assert crm.people == people.expected()


@pytest.mark.parametrize("access", ["limited", "read-only"])
def test_it_is_the_same_by_other_ways(
    installation: Installation, app: App, people: People, crm: Crm, access: str
) -> None:
    if access == "limited":
        with contextlib.closing(installation.client()) as client:
            client.create_dataset(f"{installation.dataset}_state", "EU")
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm, access=access)
    assert counts(run(app)) == {"added": 20, "written": 19, "rejected": 1}
    people.rows[3] = ("new@example.com", "pro")
    del people.rows[5]
    people.save()
    assert counts(run(app)) == {"updated": 1, "deleted": 1, "retried": 1, "unchanged": 17, "written": 2, "rejected": 1}
    assert crm.people == people.expected()
    app.reverse_etl.syncs.delete(NAME)


def test_a_row_that_is_refused_comes_again_as_it_is_then(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm)
    first = run(app)
    assert counts(first) == {"added": 20, "written": 19, "rejected": 1}
    (kept,) = app.reverse_etl.rejects.find(NAME)
    assert (kept.key, kept.code, kept.message, kept.tries) == ("7", "webhook_rejected", "no such plan", 1)
    assert kept.row == {"id": 7, "email": "p7@example.com", "plan": "bad"}
    assert counts(run(app)) == {"retried": 1, "unchanged": 19, "rejected": 1}, (
        "nothing has changed, and it is tried again"
    )
    people.rows[7] = ("p7@example.com", "good")
    people.save()
    assert counts(run(app)) == {"retried": 1, "unchanged": 19, "written": 1}
    assert crm.people == people.expected()
    assert not list(app.reverse_etl.rejects.find(NAME))


def test_a_row_that_is_given_up_comes_when_it_changes(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm)
    run(app)
    assert app.reverse_etl.rejects.drop(NAME, code="webhook_rejected") == 1
    over = run(app, force=True)
    assert (over.rejected, over.dropped) == (0, 1)
    people.rows[7] = ("p7@example.com", "good")
    people.save()
    assert run(app).written == 1
    assert crm.people == people.expected()


def test_a_run_that_dies_anywhere_goes_on_and_sends_no_row_as_another(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidemill.destinations.webhook import actions

    small = type(actions.SEND.limits)(rows=3, at_once=1)
    object.__setattr__(actions.SEND, "limits", small)
    monkeypatch.setattr("tidemill.reverse_etl.plan.port.PIECE_ROWS", 5)
    prepare(app, installation, people, crm)
    books, planner = app._sync_books, "tidemill.reverse_etl.plan.warehouse.WarehousePlanner"
    deaths = [
        (f"{planner}.plan", 1),
        ("tidemill.store.sync_runs.SyncRuns.journal", 2),
        ("tidemill.store.sync_runs.SyncRuns.journal", 3),
        (f"{planner}.commit", 1),
        ("tidemill.store.sync_things.Syncs.settle", 1),
        ("tidemill.store.sync_runs.SyncRuns.finish", 1),
    ]
    try:
        for place, number in deaths:
            with pytest.raises(Killed), dying(monkeypatch, place, number):
                run(app)
        over = app.reverse_etl.syncs.show_run(NAME, 1)
    finally:
        object.__setattr__(actions.SEND, "limits", type(actions.SEND.limits)(rows=500))
    assert (over.number, over.status) == (1, "completed")
    assert crm.people == people.expected()
    known: dict[str, set[str]] = {}
    for row in crm.sent:
        known.setdefault(row["key"], set()).add(row["id"])
    assert all(len(ids) == 1 for ids in known.values()), "a row was sent with two identities"
    assert books.runs.get(over.id).written == 20
    assert run(app).status == "skipped"


def dying(monkeypatch: pytest.MonkeyPatch, place: str, number: int) -> Any:
    """In the block the process dies right after the so manyeth call of that."""
    import contextlib
    import importlib

    module, _, rest = place.rpartition(".")
    holder_module, _, holder = module.rpartition(".")
    owner = getattr(importlib.import_module(holder_module), holder)
    real = getattr(owner, rest)
    left = [number]

    def call(*arguments: Any, **named: Any) -> Any:
        found = real(*arguments, **named)
        left[0] -= 1
        if not left[0]:
            raise Killed
        return found

    @contextlib.contextmanager
    def block() -> Any:
        monkeypatch.setattr(owner, rest, call)
        try:
            yield
        finally:
            monkeypatch.setattr(owner, rest, real)

    return block()


def test_what_was_delivered_before_a_cancel_is_remembered(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    watch = Watch(lambda _what, _done, _all: None)
    watch.stop_when(lambda: len(crm.sent) > 0)
    crm.faults = []
    over = app.reverse_etl.syncs.run(NAME, watch, by="me")
    assert over.status in {"cancelled", "completed"}
    assert over.written == len(crm.sent)
    rest = run(app, force=True)
    assert rest.status == "completed"
    assert rest.written + over.written == 20
    assert len(crm.ids) == len(set(crm.ids)) == 20


def test_a_destination_that_is_down_loses_nothing(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    crm.faults = [Reply(cut=True, after=True), *(Reply(503, {}) for _ in range(4))]
    watch = quiet()
    watch.sleep = lambda seconds: watch.check()  # type: ignore[method-assign] # noqa: ARG005
    over = app.reverse_etl.syncs.run(NAME, watch, by="me")
    assert over.to_retry == 20
    sent = list(crm.ids)
    again = run(app)
    assert (again.retried, again.written) == (20, 20)
    assert crm.people == people.expected()
    assert Counter(crm.ids) == Counter(sent * 2), "who may have got them gets them with the same identities"


def test_a_credential_that_is_refused_ends_the_run_and_says_so(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    crm.faults = [Reply(401, {"error": "who are you?"})]
    over = run(app)
    assert (over.status, over.written) == ("failed", 0)
    assert over.error is not None
    assert over.error["code"] == "destination_denied"
    assert run(app).written == 20


def test_a_process_that_stops_leaves_the_run_to_others(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    watch = Watch(lambda _what, _done, _all: None, lambda: bool(crm.asked))
    over = None
    try:
        over = app.reverse_etl.syncs.run(NAME, watch, by="me")
    except Interrupted:
        assert app.reverse_etl.syncs.show_run(NAME).status == "running"
    said: list[str] = []
    rest = over or app.reverse_etl.syncs.run(NAME, Watch(lambda *_: None, say=said.append), by="me")
    assert (rest.number, rest.status, rest.written) == (1, "completed", 20)
    assert over or said == ["Run 1 was interrupted: it goes on where it was."]
    assert len(crm.ids) == len(set(crm.ids))


def test_many_deletes_stop_a_run(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm, delete_brake=0.2)
    run(app)
    for n in range(10):
        del people.rows[n]
    people.save()
    over = run(app)
    assert over.status == "failed"
    assert over.error is not None
    assert over.error["code"] == "delete_brake"
    assert "10 of 20" in over.error["message"]
    assert len(crm.people) == 20
    assert counts(run(app, deletes=True)) == {"deleted": 10, "unchanged": 10, "written": 10}
    assert crm.people == people.expected()


def test_another_mapping_asks_what_is_to_be_done(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    run(app)
    mapping = {**{name: {"@path": f"$.{name}"} for name in ("email",)}, "n": {"@path": "$.id"}, "kind": "person"}
    with pytest.raises(ConfigError, match="delivered already"):
        app.reverse_etl.syncs.edit(NAME, {"mapping": mapping})
    app.reverse_etl.syncs.edit(NAME, {"mapping": mapping}, reset="leave")
    crm.sent.clear()
    assert run(app).written == 0
    assert not crm.sent
    assert counts(run(app, force=True)) == {"unchanged": 20}
    people.rows |= {3: ("p3@example.com", "bad"), 20: ("p20@example.com", "bad")}
    people.save()
    app.reverse_etl.syncs.edit(NAME, {"mapping": MAPPING}, reset="resend")
    assert run(app).rejected == 2
    people.rows |= {3: ("p3@example.com", "pro"), 20: ("p20@example.com", "pro"), 21: ("p21@example.com", "pro")}
    del people.rows[5]
    people.save()
    app.reverse_etl.syncs.edit(NAME, {"mapping": mapping}, reset="leave")
    crm.sent.clear()
    assert run(app).written == 4
    assert {row["key"] for row in crm.sent} == {"3", "20", "21", "5"}, "were refused, is new, is gone"
    crm.sent.clear()
    app.reverse_etl.syncs.edit(NAME, {"mapping": {**mapping, "kind": "human"}}, reset="resend")
    over = run(app)
    assert counts(over) == {"updated": 21, "written": 21}
    assert {row["data"]["kind"] for row in crm.sent} == {"human"}


def test_keys_that_are_none_are_said_and_not_sent(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    people.ask(f"INSERT INTO `{people.table}` (id, email, plan) VALUES (NULL, 'x', 'y'), (3, 'twice', 'pro')")
    over = run(app)
    assert (over.invalid, over.written) == (3, 19)
    found = {one.code: one for one in app.reverse_etl.rejects.find(NAME)}
    assert found.keys() == {"key_null", "key_duplicate"}
    assert found["key_null"].row == {"id": None, "email": "x", "plan": "y"}
    assert (found["key_duplicate"].row or {})["id"] == 3
    assert found["key_duplicate"].message.startswith("2 rows have this key")
    assert str(app.reverse_etl.rejects.missing(NAME)).startswith("3 rows of the model cannot be delivered")
    assert "3" not in crm.people


def test_a_dry_run_sends_nothing_and_says_what_would_be(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    found = app.reverse_etl.trials.estimate(NAME, quiet())
    assert found.counts["added"] == 20
    assert len(found.samples) == 5
    assert found.samples[0]["fields"]["email"].endswith("@example.com")
    assert not crm.asked
    tried = app.reverse_etl.trials.send_one(NAME, quiet(), "7")
    assert tried.status == "written"
    assert '"key":"7"' in tried.requests[0]["body"]
    assert crm.settings()["key"] not in str(tried)
    assert run(app).written == 20
    assert Counter(crm.ids)[crm.ids[0]] == 2, "as the same"


def test_two_at_once_are_one(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    sync = app.reverse_etl.syncs.get(NAME)
    with app._locks.attempt(f"sync:{sync.id}") as held:
        assert held
        with pytest.raises(ConflictError, match="Another process"):
            run(app)
        with pytest.raises(ConflictError):
            app.reverse_etl.syncs.delete(NAME)
    assert run(app).status == "completed"
    installation.local.set_faults([{"path": ".*state_.*", "fault": "status", "status": 403, "reason": "accessDenied"}])
    remark = app.reverse_etl.syncs.delete(NAME)
    assert remark is not None
    assert f"state_{sync.id.hex}" in remark
    assert not app.reverse_etl.syncs.find()


def test_nothing_is_left_of_a_sync_that_is_deleted_amid_its_run(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(app, installation, people, crm, access="read-only")
    run(app)
    people.rows[3] = ("new@example.com", "pro")
    people.save()
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(Runner, "_commit", lambda *_: 1 / 0)
        run(app)
    under = f"syncs/{app.reverse_etl.syncs.get(NAME).id.hex}/"
    kinds = {one.name.removeprefix(under).partition("-")[0] for one in app.event_data.objects.list(under)}
    assert kinds == {"plan", "state"}
    assert app.reverse_etl.syncs.delete(NAME) is None
    assert not list(app.event_data.objects.list(under))


def test_a_run_whose_plan_is_gone_ends_and_the_next_one_begins_anew(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(app, installation, people, crm)
    with monkeypatch.context() as patched:
        patched.setattr(Runner, "_commit", killed_there)
        with pytest.raises(Killed):
            run(app)
    assert app.reverse_etl.syncs.show_run(NAME).status == "running"
    assert len(crm.people) == 20
    sync = app.reverse_etl.syncs.get(NAME)
    (plan,) = app._sync_books.runs.find(sync.id)
    people.ask(f"DROP TABLE `{installation.dataset}_state.plan_{plan.id.hex}`")
    over = run(app)
    assert (over.number, over.status) == (1, "failed")
    assert over.error is not None
    assert "plan_" in over.error["message"]
    assert run(app).status == "completed"
    assert crm.people == people.expected()


def test_a_state_that_somebody_has_deleted_sends_nothing_again_before_it_is_said_so(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    run(app)
    state = f"`{installation.dataset}_state.state_{app.reverse_etl.syncs.get(NAME).id.hex}`"
    for how, sent in (("adopt", 20), ("resend", 40)):
        people.ask(f"DROP TABLE {state}")
        stopped = run(app, force=True)
        assert stopped.error is not None
        assert (stopped.status, stopped.error["code"]) == ("failed", "state_gone")
        app.reverse_etl.syncs.reset(NAME, how)
        assert run(app).status == "completed"
        assert len(crm.ids) == sent
    assert crm.people == people.expected()


@pytest.mark.parametrize(("where", "what"), [(journal.Journal, "flush"), (SyncRuns, "journal")])
def test_rows_that_were_on_their_way_when_a_process_died_are_known_though_the_run_is_cancelled(
    installation: Installation,
    app: App,
    people: People,
    crm: Crm,
    monkeypatch: pytest.MonkeyPatch,
    where: type,
    what: str,
) -> None:
    """Or when the database went away for a moment."""
    prepare(app, installation, people, crm)
    with monkeypatch.context() as killed:  # after the rows were taken, and before anything could be kept
        killed.setattr(where, what, killed_there)
        with pytest.raises(Killed):
            run(app)
    assert len(crm.people) == 20
    assert app.reverse_etl.syncs.cancel(NAME)[1] is False, "nobody is at it"
    people.rows[3] = ("new@example.com", "pro")
    del people.rows[5]
    people.save()
    said: list[str] = []
    assert app.reverse_etl.syncs.run(NAME, Watch(lambda *_: None, say=said.append), by="me").status == "completed"
    assert [one.status for one in app.reverse_etl.syncs.runs(NAME)] == ["completed", "cancelled"]
    assert [line.split(" ")[:2] for line in said] == [["Run", "1"], ["Run", "1"]]
    assert "cancelled" in said[0]
    assert crm.people == people.expected()
    ids: dict[str, set[str]] = {}
    for row in crm.sent:
        ids.setdefault(row["key"], set()).add(row["id"])
    assert {key for key, known in ids.items() if len(known) > 1} == {"3", "5"}, "one is changed, one deleted"
    assert app.reverse_etl.syncs.run(NAME, quiet(), by="me", force=True).written == 0


@pytest.mark.parametrize("stops", [False, True])
def test_a_plan_that_takes_long_is_not_waited_for(
    installation: Installation, app: App, people: People, crm: Crm, stops: bool
) -> None:
    prepare(app, installation, people, crm)
    fault = {"path": "/jobs$", "method": "POST", "fault": "slow_job", "seconds": 600, "times": 99}
    installation.local.set_faults([fault])

    def slow() -> bool:
        return any(fault["fired"] for fault in installation.local.faults())

    watch = Watch(lambda _what, _done, _all: None, slow if stops else lambda: False)
    if not stops:
        watch.stop_when(slow)
        assert app.reverse_etl.syncs.run(NAME, watch, by="me").status == "cancelled"
    else:
        with pytest.raises(Interrupted):
            app.reverse_etl.syncs.run(NAME, watch, by="me")
        assert app.reverse_etl.syncs.show_run(NAME).status == "running"
    assert not crm.asked
    installation.local.set_faults([])
    assert run(app).written == 20
    assert len(crm.ids) == len(set(crm.ids)) == 20


def test_a_cancelled_error_is_ours() -> None:
    assert issubclass(Interrupted, Cancelled)
