"""People sign in with what is theirs, and with nothing else."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from tests.installation import Installation

from tidemill.access import passwords, refusals, users
from tidemill.access.roles import Role
from tidemill.access.users import UserService
from tidemill.app import App
from tidemill.errors import AccessError, ConfigError, ConflictError, NotFoundError, RetryableError, TidemillError

PASSWORD = "salt lamp otter nine"
FROM: dict[str, Any] = {"address": "192.0.2.7", "agent": "a browser"}


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app() as opened:
        yield opened


@pytest.fixture
def people(app: App) -> UserService:
    return app.users


@pytest.fixture
def anna(people: UserService) -> str:
    return people.begin(people.setup_token(), "Anna", PASSWORD, **FROM)


def test_the_first_visitor_makes_the_first_account(people: UserService) -> None:
    assert not people.any()
    old, token = people.setup_token(), people.setup_token()
    with pytest.raises(AccessError):
        people.begin("tmu_" + "x" * 40, "eve", PASSWORD, **FROM)
    found = people.session(people.begin(token, " Anna ", PASSWORD, **FROM))
    assert found is not None
    assert (found.user.name, found.user.role) == ("Anna", Role.ADMIN)
    for again in (token, old):
        with pytest.raises(AccessError):
            people.begin(again, "eve", PASSWORD, **FROM)
    assert [user.name for user in people.find()] == ["Anna"]


def test_two_first_visitors_at_once_make_one_account(people: UserService) -> None:
    tokens = [people.setup_token() for _ in range(4)]

    def begin(number: int) -> bool:
        try:
            people.begin(tokens[number], f"user {number}", PASSWORD, **FROM)
        except AccessError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(begin, range(4))) == 1
    assert len(people.find()) == 1


def test_signing_in_and_out(app: App, people: UserService, anna: str) -> None:
    session = people.sign_in("anna", PASSWORD, **FROM)
    assert session != anna
    found, before = people.session(session), people.session(anna)
    assert found is not None
    assert before is not None
    assert found.csrf != before.csrf
    people.sign_out(session)
    assert people.session(session) is None
    assert people.session(anna) is not None
    people.sign_out(session)  # again: nothing is to be done
    assert [record.action for record in app.audit.find(limit=2)] == ["user.sign_out", "user.sign_in"]


@pytest.mark.parametrize("name", ["anna", "nobody"])
def test_who_guesses_is_locked_out_and_does_not_learn_who_there_is(
    people: UserService, anna: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = set()
    for _ in range(5):
        with pytest.raises(AccessError) as refused:
            people.sign_in(name, "wrong wrong wrong", **FROM)
        said.add(str(refused.value))
    assert said == {"Name or password is wrong. [sign_in_refused]"}
    with pytest.raises(RetryableError) as locked:
        people.sign_in(name, PASSWORD, **FROM)
    assert locked.value.after
    assert people.session(anna) is not None  # who is signed in stays so
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=locked.value.after + 1)
    monkeypatch.setattr(users, "_now", lambda: later)
    if name == "anna":
        people.sign_in(name, PASSWORD, **FROM)
        with pytest.raises(AccessError):
            people.sign_in(name, "wrong wrong wrong", **FROM)  # it counts from the beginning
    else:
        with pytest.raises(AccessError):
            people.sign_in(name, PASSWORD, **FROM)


def test_many_guesses_at_once_are_many(people: UserService, anna: str) -> None:  # noqa: ARG001 - she has to be there
    def guess(_: int) -> str:
        try:
            people.sign_in("anna", "wrong wrong wrong", **FROM)
        except TidemillError as error:
            return error.code
        return "in"

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(guess, range(24)))
    assert "in" not in codes
    assert codes.count("sign_in_locked") >= 8
    with pytest.raises(RetryableError):
        people.sign_in("anna", PASSWORD, **FROM)
    people.unlock("anna")
    people.sign_in("anna", PASSWORD, **FROM)


@pytest.mark.parametrize(
    ("passed", "good"),
    [(users.IDLE - dt.timedelta(minutes=2), True), (users.IDLE + dt.timedelta(minutes=1), False)],
)
def test_a_session_ends_if_nobody_is_there(
    people: UserService, anna: str, passed: dt.timedelta, good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = dt.datetime.now(dt.UTC) + passed
    monkeypatch.setattr(users, "_now", lambda: later)
    assert (people.session(anna) is not None) == good


@pytest.mark.parametrize("text", ["", "tms_", "tms_" + "x" * 40, "tma_" + "x" * 40, "tms_" + "\x00" * 40, "ü" * 44])
def test_what_is_no_session_lets_nobody_in(people: UserService, anna: str, text: str) -> None:  # noqa: ARG001
    assert people.session(text) is None


def test_who_is_disabled_is_out_at_once(people: UserService, anna: str) -> None:
    people.create("bert", role=Role.EDITOR, password=PASSWORD, by="Anna")
    session = people.sign_in("bert", PASSWORD, **FROM)
    people.edit("bert", disabled=True)
    assert people.session(session) is None
    with pytest.raises(AccessError):
        people.sign_in("bert", PASSWORD, **FROM)
    people.edit("bert", disabled=False, role=Role.VIEWER, rename="Berta")
    again = people.session(people.sign_in("berta", PASSWORD, **FROM))
    assert again is not None
    assert again.user.role == Role.VIEWER
    people.delete("berta")
    with pytest.raises(NotFoundError):
        people.get("berta")
    assert people.session(anna) is not None


def test_somebody_can_always_administrate(people: UserService, anna: str) -> None:  # noqa: ARG001
    changes: list[Any] = [
        lambda: people.edit("anna", role=Role.VIEWER),
        lambda: people.edit("anna", disabled=True),
        lambda: people.delete("anna"),
    ]
    for change in changes:
        with pytest.raises(ConflictError, match="Nobody could administrate"):
            change()
    assert people.get("anna").role == Role.ADMIN
    people.create("bert", role=Role.ADMIN, password=PASSWORD, by="Anna")

    def demote(name: str) -> bool:
        try:
            people.edit(name, role=Role.VIEWER)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(demote, ["anna", "bert"])) == [False, True]


def test_passwords_are_changed_by_who_knows_them(people: UserService, anna: str) -> None:
    other = people.sign_in("anna", PASSWORD, **FROM)
    with pytest.raises(AccessError):
        people.change_password("anna", "wrong wrong wrong", "another one entirely", session=anna)
    people.change_password("anna", PASSWORD, "another one entirely", session=anna)
    assert people.session(anna) is not None
    assert people.session(other) is None
    people.set_password("anna", "and a third one, too")
    assert people.session(anna) is None
    people.sign_in("anna", "and a third one, too", **FROM)


@pytest.mark.parametrize(
    "password", ["", "short", "aaaaaaaaaaaaaaaa", "x" * 201, "anna anna anna a"[:12].replace(" ", "a")]
)
def test_passwords_that_are_easy_are_refused(people: UserService, password: str) -> None:
    with pytest.raises(ConfigError):
        people.begin(people.setup_token(), "anna", password, **FROM)
    assert not people.any()


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101, "a\x00"])
def test_names_that_are_none_are_refused(people: UserService, name: str) -> None:
    with pytest.raises(ConfigError):
        people.begin(people.setup_token(), name, PASSWORD, **FROM)


def test_who_signs_in_elsewhere(people: UserService) -> None:
    with pytest.raises(AccessError, match="no account yet"):  # whoever comes first is no administrator
        people.sign_in_elsewhere("iss sub-1", "Anna", Role.ADMIN, **FROM)
    people.begin(people.setup_token(), "root", PASSWORD, **FROM)
    first = people.session(people.sign_in_elsewhere("iss sub-1", "Anna", Role.ADMIN, **FROM))
    second = people.session(people.sign_in_elsewhere("iss sub-2", "Bert", None, **FROM))
    assert first is not None
    assert second is not None
    assert (first.user.role, second.user.role) == (Role.ADMIN, Role.VIEWER)
    again = people.session(people.sign_in_elsewhere("iss sub-2", "Renamed", Role.EDITOR, **FROM))
    assert again is not None
    assert (again.user.name, again.user.role) == ("Bert", Role.EDITOR)
    with pytest.raises(ConflictError):  # by its name nobody gets somebody else's account
        people.sign_in_elsewhere("iss sub-3", "anna", None, **FROM)
    with pytest.raises(AccessError):
        people.sign_in("bert", "", **FROM)


def test_who_comes_is_in_the_audit_log_and_passwords_are_not(app: App, people: UserService, anna: str) -> None:  # noqa: ARG001
    with pytest.raises(AccessError):
        people.sign_in("anna", "wrong wrong wrong", **FROM)
    found = [(r.action, r.actor, r.outcome, r.address) for r in app.audit.find()]
    assert found == [
        ("user.sign_in", "anna", "refused", "192.0.2.7"),
        ("user.create", "Anna", "done", "192.0.2.7"),
    ]
    assert PASSWORD not in "".join(app.audit.export("json"))


def test_refused_sign_ins_do_not_fill_the_database(
    app: App, people: UserService, anna: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "is_it", lambda *_: False)
    monkeypatch.setattr(users, "_MOST_ATTEMPTS", 5)
    for number in range(refusals.OF_ONE + 20):
        with pytest.raises(AccessError):
            people.sign_in(f"nobody {number}", "wrong", **FROM)
    assert len(app.audit.find(limit=100, outcome="refused")) == refusals.OF_ONE
    for _ in range(users._FREE_FAILURES):
        with pytest.raises(AccessError):
            people.sign_in("first", "wrong", **FROM)
    with app.database.begin() as connection:
        connection.execute(sa.text("UPDATE tidemill.sign_in_failures SET last_at = last_at - interval '2 days'"
                                   " WHERE locked_until IS NOT NULL"))  # fmt: skip
    people.forget_old()
    with app.database.begin() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM tidemill.sign_in_failures")).scalar_one() == 5 + 1
    with pytest.raises(RetryableError):  # a lock that holds is kept
        people.sign_in("first", "wrong", **FROM)
    assert people.session(anna) is not None, "whose session lasts is signed in still"
    assert people.session(anna, seen=False) is not None
