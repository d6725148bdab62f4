"""What a run says in numbers: each row is counted once, and the figures add up."""

from __future__ import annotations

from typing import Any

import pytest
from tests.installation import Installation
from tests.syncs import NAME, Crm, People, prepare, quiet, run

from tidemill.app import App
from tidemill.reverse_etl.views import RunView

FIGURES = (
    *("added", "updated", "deleted", "retried", "unchanged", "invalid", "dropped", "extracted", "noted"),
    *("written", "rejected", "to_retry", "unsent"),
)


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


def figures(found: RunView) -> dict[str, int]:
    """Those that are not 0, after a look whether they add up."""
    assert found.added + found.updated + found.deleted + found.retried == found.extracted + found.noted
    assert found.extracted == found.written + found.rejected + found.to_retry + found.unsent
    return {name: getattr(found, name) for name in FIGURES if getattr(found, name)}


@pytest.mark.parametrize("access", ["full", "read-only"])
def test_a_run_that_has_all_kinds_of_rows_counts_each_once(
    installation: Installation, app: App, people: People, crm: Crm, access: str
) -> None:
    for n, plan in ((7, "bad"), (8, "busy"), (9, "bad"), (10, "busy")):
        people.rows[n] = (f"p{n}@example.com", plan)
    people.save()
    prepare(app, installation, people, crm, access=access)
    assert figures(run(app)) == {"added": 20, "extracted": 20, "written": 16, "rejected": 2, "to_retry": 2}
    assert app.reverse_etl.rejects.drop(NAME, keys=("9",)) == 1
    people.rows |= {100: ("new@example.com", "free"), 101: ("new@example.com", "bad")}
    people.rows |= {3: ("p3@example.com", "pro"), 4: ("p4@example.com", "busy"), 10: ("p10@example.com", "free")}
    del people.rows[5], people.rows[6]
    people.save()
    people.ask(f"INSERT INTO `{people.table}` (id, email, plan) VALUES (NULL, 'x', 'y'), (2, 'twice', 'pro')")
    assert figures(run(app)) == {
        "added": 2,
        "updated": 2,
        "deleted": 2,
        "retried": 3,
        "unchanged": 11,
        "invalid": 3,
        "dropped": 1,
        "extracted": 9,
        "written": 5,
        "rejected": 2,
        "to_retry": 2,
    }
    assert figures(run(app)) == {
        "retried": 4,
        "unchanged": 14,
        "invalid": 3,
        "dropped": 1,
        "extracted": 4,
        "rejected": 2,
        "to_retry": 2,
    }, "none of them is new or changed"


def test_changes_that_a_mode_does_not_deliver_are_counted_apart(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm, mode="update")
    assert figures(run(app)) == {"added": 20, "noted": 20}
    people.rows[3] = ("p3@example.com", "pro")
    del people.rows[4]
    people.save()
    assert figures(run(app)) == {"updated": 1, "deleted": 1, "unchanged": 18, "extracted": 1, "noted": 1, "written": 1}


def test_rows_that_a_stopped_run_did_not_come_to_are_counted(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidemill.destinations.webhook import actions

    small = type(actions.SEND.limits)(rows=3, at_once=1)
    monkeypatch.setitem(actions.SEND.__dict__, "limits", small)  # it is frozen
    people.rows = dict.fromkeys(range(20), ("", "bad"))
    people.save()
    prepare(app, installation, people, crm, most_rejects=4)
    over = run(app)
    found = figures(over)
    assert (over.status, found["extracted"]) == ("failed", 20)
    assert found["rejected"] + found["unsent"] == 20
    assert found["unsent"] > 0


def test_a_dry_run_counts_as_the_run_does(installation: Installation, app: App, people: People, crm: Crm) -> None:
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm)
    run(app)
    people.rows[100] = ("new@example.com", "free")
    people.save()
    found = app.reverse_etl.trials.estimate(NAME, quiet())
    said = {name: number for name, number in found.counts.items() if number}
    assert said == {"added": 1, "retried": 1, "unchanged": 19, "extracted": 2}
    assert not found.resends
    app.reverse_etl.syncs.reset(NAME, "resend")
    assert app.reverse_etl.trials.estimate(NAME, quiet()).resends, "more is sent than differs"
