"""Who may do what, of all routes of the HTTP API: a role, a scope, or a text that lets nobody in. What is refused has
changed nothing; what is allowed is what access/rules.py says of the services that are asked."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from tests import dumps
from tests.api_client import Client, assert_problem
from tests.api_requests import STREAMS, Asking, Request, Requests
from tests.stocked import Stocked

from tidemill.access.actor import Actor
from tidemill.access.guard import Guard
from tidemill.access.permissions import Permission
from tidemill.access.roles import PERMISSIONS, Role
from tidemill.access.rule import Rule
from tidemill.access.rules import RULES
from tidemill.acting import acting
from tidemill.errors import AccessError

P = Permission
#: Who may do this gives something away that they need to have themselves.
_GIVES: dict[str, set[P]] = {
    "POST /api/v1/users": set(PERMISSIONS[Role.ADMIN]),
    "PATCH /api/v1/users/{name}": set(PERMISSIONS[Role.VIEWER]),
    "DELETE /api/v1/users/{name}": set(PERMISSIONS[Role.VIEWER]),
    "POST /api/v1/users/{name}/password": set(PERMISSIONS[Role.VIEWER]),
    "POST /api/v1/users/{name}/unlock": set(PERMISSIONS[Role.VIEWER]),
    "POST /api/v1/tokens": {P.HEALTH_READ},
    "POST /api/v1/syncs/{name}/hooks": {P.SYNCS_TRIGGER},
}
#: What is needed to see what may be changed by another scope.
_READS = {one: P(f"{one.partition(':')[0]}:read") for one in P if one != P.DBT_CHECK}
#: Runs of imports are those of syncs: that they are of one is for who may see imports.
_OF_GROUPS = {"imports": {P.IMPORTS_READ}}
#: What is the same in each installation.
_OF_NOBODY = {"destination-kinds", "export-models"}
#: What takes the scopes of all that it changes, or reads.
_OF_ALL = {"configuration"}
#: By a secret of its own; everybody may see what can be asked for.
_OPEN = {"POST /api/v1/dbt/{name}/webhook", "POST /api/v1/hooks/{secret}"}


@pytest.fixture(scope="module")
def client(made: Stocked) -> Client:
    return Client(made.app)


@pytest.fixture(scope="module")
def requests(made: Stocked, client: Client) -> list[Request]:
    """One for each route that takes a token."""
    described = client.ask("GET", "/openapi.json").json()
    found = [one for one in Requests(described, made).all() if one.route not in _OPEN]
    assert len(found) > 150
    return found


@pytest.fixture(scope="module")
def scopes(client: Client, requests: list[Request]) -> dict[str, set[P]]:
    """What each route asks a token for, as it says itself when one has nothing of it."""
    found: dict[str, set[P]] = {}
    with Asking(client) as asking:
        for request in requests:
            asked = found[request.route] = set()
            for _ in range(2):  # runs of imports take two
                token = client.token(*(asked or {P.KEYS_READ if request.group == "health" else P.HEALTH_READ}))
                answer = asking(_of_nothing(request), token)
                if answer.status_code == 403:
                    asked.add(_told(answer))
                if request.group != "imports":
                    break
    return found


def _of_nothing(request: Request) -> Request:
    """The same of a thing that there is not, so that nothing is done if it is allowed."""
    name = next((place for place in request.places() if place[0] == "path"), None)
    return request.with_text(name, "nothing of that name") if name and "{name}" in request.route else request


def test_who_is_nobody_gets_in_nowhere_and_changes_nothing(
    made: Stocked, client: Client, requests: list[Request]
) -> None:
    app = made.app
    revoked, expired = client.token(), client.token(seconds=60)
    app.tokens.revoke(next(one.name for one in app.tokens.find() if one.start == revoked[:12]))
    with app.database.begin() as connection:
        connection.execute(sa.text("UPDATE tidemill.tokens SET expires_at = now() WHERE expires_at IS NOT NULL"))
    over = app.users.sign_in("root", made.secrets["password of root"], address="192.0.2.7", agent="a browser")
    app.users.sign_out(over)
    others = ("session", "SDK key", "unused set-up token", "hook of a sync", "metrics_token")
    nobodies = {"nobody": None, "revoked": revoked, "expired": expired, "signed out": over, "empty": "", "odd": "x y"}
    nobodies |= {of: made.secrets[of] for of in others}
    before = dumps.tables(app)
    with Asking(client) as asking:
        for request in requests:
            for of, token in nobodies.items():
                answer = asking(request, token)
                assert answer.status_code == 401, (request.route, of, answer.text)
                assert answer.headers["www-authenticate"].startswith("Bearer")
    assert dumps.changed(before, dumps.tables(app)) == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_a_role_that_may_not_changes_nothing_by_its_token(
    made: Stocked, client: Client, requests: list[Request], scopes: dict[str, set[P]], role: Role
) -> None:
    may = PERMISSIONS[role]
    token = client.token(*may)
    before, refused = dumps.tables(made.app), 0
    with Asking(client) as asking:
        for request in requests:
            if not scopes[request.route] <= may:
                assert_problem(asking(request, token), 403, "scope_missing")
                refused += 1
            elif request.method == "GET" and not request.path.endswith(STREAMS) and request.group not in _OF_ALL:
                assert asking(request, token).status_code in {200, 404, 422}, request.route
    assert dumps.changed(before, dumps.tables(made.app)) == []
    assert refused > (80 if role is Role.VIEWER else 25)


def test_a_token_of_just_the_scope_may_do_just_that(
    client: Client,
    requests: list[Request],
    scopes: dict[str, set[P]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is asked of services that its scope does not allow; and a route asks for nothing that no service does."""
    consulted: set[P] = set()
    asking_guard = Guard._assert_may

    def noting(guard: Guard, rule: Rule, given: Mapping[str, Any], needed: Collection[P]) -> None:
        consulted.update(needed)
        asking_guard(guard, rule, given, needed)

    monkeypatch.setattr(Guard, "_assert_may", noting)
    unlike: dict[str, tuple[set[P], set[P]]] = {}
    silent: list[str] = []
    good = 0
    with Asking(client) as asking:
        for request in requests:
            if (request.path.endswith(STREAMS) and request.path.count("/") > 4) or request.group in _OF_ALL:
                continue  # it goes on for ever, or takes whatever is asked for
            wanted = set(scopes[request.route])
            consulted.clear()
            answer = asking(request, client.token(*wanted, *_GIVES.get(request.route, ())))
            if answer.status_code == 403 and (also := _told(answer)) in _READS.values():  # who changes it sees it
                wanted.add(also)
                answer = asking(request, client.token(*wanted, *_GIVES.get(request.route, ())))
            _assert_sensible(request, answer)
            if request.group in _OF_NOBODY:
                continue
            if not consulted:
                silent.append(f"{request.route} {answer.status_code} {answer.text[:300]}")
            unasked = scopes[request.route] - consulted - _OF_GROUPS.get(request.group, set())
            good += not unasked
            if not consulted <= wanted or (unasked and answer.status_code < 400):  # else it did not come so far
                unlike[request.route] = (wanted, set(consulted))
    assert unlike == {}
    assert not silent, "\n".join(silent)
    assert good > 140


def _told(answer: httpx.Response) -> P:
    """The scope that is missing."""
    return P(answer.headers["www-authenticate"].rpartition("scope=")[2].strip('"'))


def _assert_sensible(request: Request, answer: httpx.Response) -> None:
    """Others may refuse what we ask of them; that is told, too, and not as if it were the caller's."""
    assert answer.status_code not in {401, 403, 405}, (request, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", (request, answer.text)
        assert answer.json()["code"] != "bug", request


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_no_service_does_for_a_role_what_the_table_does_not_allow(made: Stocked, role: Role) -> None:
    may = PERMISSIONS[role]
    theirs = acting(made.app, Actor("vera", "user", may, "192.0.2.7"))
    forbidden = [path for path, rule in RULES.items() if rule.permission is not None and rule.permission not in may]
    assert forbidden
    before = dumps.tables(made.app)
    for path in forbidden:
        part: Any = theirs
        for name in path.split("."):
            part = getattr(part, name)
        with pytest.raises(AccessError) as refused:
            part()
        assert refused.value.code == "not_allowed", path
    assert dumps.changed(before, dumps.tables(made.app)) == []
    for inside in ("database", "secrets", "lake", "settings", "books", "engine"):
        with pytest.raises(AttributeError), contextlib.suppress(AccessError):
            getattr(theirs, inside)
