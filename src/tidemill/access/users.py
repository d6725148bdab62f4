"""People who use the web app: accounts, how they sign in, and their sessions."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import hmac
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tidemill.access import naming, passwords
from tidemill.access.actor import Actor
from tidemill.access.hooks import MAY
from tidemill.access.permissions import Permission
from tidemill.access.refusals import Refusals
from tidemill.access.roles import PERMISSIONS, Role
from tidemill.bearer import SESSION, SETUP, digest
from tidemill.errors import AccessError, ConflictError, RetryableError

if TYPE_CHECKING:
    from tidemill.access.audit import AuditService
    from tidemill.paging import Page, Wanted
    from tidemill.store.users import Changing, User, Users

#: A session ends when nobody was seen for so long, and after so long at the latest.
IDLE, LONGEST = dt.timedelta(hours=12), dt.timedelta(days=14)
#: After so many wrong passwords a name is locked, each time for twice as long as before, up to a bound.
_FREE_FAILURES, _LOCK, _LOCK_MOST = 5, dt.timedelta(minutes=1), dt.timedelta(minutes=15)
_FORGETS = dt.timedelta(days=1)
#: The names that were tried are kept for a day, and so many at most.
_MOST_ATTEMPTS = 100_000
_SETUP_GOOD = dt.timedelta(days=1)
#: That somebody is there is written down once in so long.
_SEEN_EVERY = dt.timedelta(minutes=1)
#: By what users are sorted.
SORTS = ("name", "role", "last_seen_at", "created_at")


@dataclasses.dataclass(frozen=True)
class UserView:
    """A user. `sign_in`: password, elsewhere (by OpenID Connect), or both; `locked_until`: if too many passwords were
    wrong."""

    id: uuid.UUID
    name: str
    role: Role
    sign_in: str
    disabled: bool
    locked_until: dt.datetime | None
    last_seen_at: dt.datetime | None
    created_at: dt.datetime
    created_by: str


@dataclasses.dataclass(frozen=True)
class Session:
    """Somebody who is signed in. `csrf`: what their forms have to send along."""

    user: UserView
    csrf: str

    def actor(self, address: str) -> Actor:
        """As whom they do things."""
        return Actor(self.user.name, "user", PERMISSIONS[self.user.role], address)


class UserService:
    """See the module."""

    def __init__(self, users: Users, audit: AuditService) -> None:
        self._users, self._audit = users, audit
        self._refusals = Refusals()

    # Who is at the door

    def any(self) -> bool:
        """Whether there are users: if not, the first visitor makes the first account."""
        return self._users.any()

    def setup_token(self) -> str:
        """A new text by which the first account can be made, within a day."""
        text = SETUP.make()
        with self._users.changing() as change:
            change.keep_setup_token(digest(text))
        return text

    def begin(self, token: str, name: str, password: str, *, address: str, agent: str) -> str:
        """Make the first account, an administrator; gives their session.

        Raises
        ------
        AccessError
            The token is none, or is old; or there are users already.
        ConfigError
            The name or the password is none.
        """
        name = naming.named(name)
        passwords.assert_good(password, name)
        kept = passwords.hashed(password)
        with self._users.changing() as change:
            if change.any() or not change.use_setup_token(digest(token), _now() - _SETUP_GOOD):
                raise AccessError(
                    "setup_refused",
                    "This address for the first account is not good any more.",
                    hint="If there is no account yet: tidemill user setup shows another one. Else ask an admin.",
                )
            user = change.add(name=name, role=Role.ADMIN, password=kept, created_by=name)
        self._told("user.create", user.name, address, user.name)
        return self._opened(user, address, agent)

    def sign_in(self, name: str, password: str, *, address: str, agent: str) -> str:
        """Let somebody in; gives their session.

        Raises
        ------
        AccessError
            Name or password is wrong, or the account is disabled: it is not said which.
        RetryableError
            There were too many attempts; `after` says when there may be another one.
        """
        name = naming.plain(name)
        known_by = naming.hashed(name)
        failures, locked = self._users.attempt(known_by, _FORGETS)  # counted before: many at once are many
        if locked is not None and locked > _now():
            raise _locked(locked)
        user = self._users.known(name) if naming.can_be(name) else None
        good = passwords.is_it(user.password if user else None, password[: passwords.MOST + 1])
        if user is None or not good or user.disabled:
            if failures >= _FREE_FAILURES:
                wait = min(_LOCK * 2 ** min(failures - _FREE_FAILURES, 10), _LOCK_MOST)
                self._users.lock(known_by, _now() + wait)
            self._told_refused(name, address)
            raise AccessError(
                "sign_in_refused", "Name or password is wrong.", hint="An administrator can set another password."
            )
        self._users.unlock(known_by)
        if user.password and passwords.is_old(user.password):
            with self._users.changing() as change:
                change.edit(user.id, password=passwords.hashed(password))
        self._told("user.sign_in", user.name, address, user.name)
        return self._opened(user, address, agent)

    def sign_in_elsewhere(self, subject: str, name: str, role: Role | None, *, address: str, agent: str) -> str:
        """Let in whom an OpenID Connect provider knows as `subject`; makes their account, if there is none.

        `role`: what the provider says; None: what they have, or viewer.

        Raises
        ------
        AccessError
            Their account is disabled; or there is none at all yet: the first one is not theirs.
        ConflictError
            Somebody else has their name.
        """
        user = self._users.by_subject(subject)
        if user is None:
            with self._users.changing() as change:
                if not change.any():
                    raise AccessError(
                        "setup_first",
                        "There is no account yet, so nobody can sign in.",
                        hint="The first one is made with a set-up token: tidemill user setup",
                    )
                fields = {"role": role or Role.VIEWER, "subject": subject, "created_by": "OpenID Connect"}
                user = change.add(name=naming.named(name), **fields)
            self._told("user.create", user.name, address, user.name)
        elif role is not None and role != user.role:
            before = user.role
            with self._users.changing() as change:
                user = change.edit(user.id, role=role)
                _assert_administrated(change)
                _curtail(change, user)
            self._told("user.edit", user.name, address, "OpenID Connect", details={"role": [before, str(role)]})
        if user.disabled:
            self._told_refused(user.name, address)
            raise AccessError("sign_in_refused", "This account is disabled.", hint="Ask an administrator.")
        self._told("user.sign_in", user.name, address, user.name)
        return self._opened(user, address, agent)

    def session(self, text: str, *, seen: bool = True) -> Session | None:
        """Who that is; None if it is no session, it is over, or the account is disabled. `seen`: they are there now."""
        if not SESSION.looks_like(text):
            return None
        hashed = digest(text)
        found, now = self._users.session(hashed), _now()
        if found is None or found.user.disabled or found.seen_at < now - IDLE or found.created_at < now - LONGEST:
            return None
        if seen and found.seen_at < now - _SEEN_EVERY:
            self._users.seen(hashed, found.user.id)
        csrf = hmac.new(text.encode(), b"csrf", hashlib.sha256).hexdigest()
        return Session(self._view(found.user), csrf)

    def sign_out(self, text: str) -> None:
        """End a session."""
        if SESSION.looks_like(text) and (found := self._users.session(digest(text))) is not None:
            self._users.close(digest(text))
            self._told("user.sign_out", found.user.name, "", found.user.name)

    # Accounts

    def find(self) -> list[UserView]:
        """All users, by name."""
        return [self._view(user) for user in self._users.find()]

    def page(
        self, *, search: str | None = None, role: Role | None = None, disabled: bool | None = None, wanted: Wanted
    ) -> Page[UserView]:
        """Users by pages, by one of SORTS. `search`: in the name."""
        page = self._users.page(search, role, disabled, wanted)
        locks = self._users.locks([naming.hashed(user.name) for user in page.items])
        return page.map(lambda user: _view(user, locks.get(naming.hashed(user.name))))

    def get(self, name: str) -> UserView:
        """One user.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """
        return self._view(self._users.get(name))

    def create(self, name: str, *, role: Role, password: str, by: str) -> UserView:
        """Make an account.

        Raises
        ------
        ConfigError, ConflictError
            The name or the password is none, or the name is taken.
        """
        name = naming.named(name)
        passwords.assert_good(password, name)
        kept = passwords.hashed(password)
        with self._users.changing() as change:
            return self._view(change.add(name=name, role=role, password=kept, created_by=by))

    def edit(
        self, name: str, *, role: Role | None = None, disabled: bool | None = None, rename: str | None = None
    ) -> UserView:
        """Change an account. Who is disabled is signed out at once; tokens and hooks that they have made end, as far as
        these may do what they may not any more.

        Raises
        ------
        NotFoundError, ConfigError, ConflictError
            There is none; the new name is none or taken; or it is the last administrator.
        """
        user = self._users.get(name)
        fields = {"role": role, "disabled": disabled, "name": None if rename is None else naming.named(rename)}
        with self._users.changing() as change:
            changed = change.edit(user.id, **{field: value for field, value in fields.items() if value is not None})
            _assert_administrated(change)
            if changed.name != user.name:
                change.renamed(user.name, changed.name)
            if role is not None or disabled is not None:
                _curtail(change, changed)
            if changed.disabled:
                change.sign_out(user.id)
        return self._view(changed)

    def delete(self, name: str) -> None:
        """Remove an account, its sessions, and the tokens and hooks that they have made. What they did stays in the
        audit log.

        Raises
        ------
        NotFoundError, ConflictError
            There is none; or it is the last administrator.
        """
        user = self._users.get(name)
        with self._users.changing() as change:
            change.delete(user.id)
            _curtail(change, None, user.name)
            _assert_administrated(change)

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password. They are signed out everywhere, and not locked out any more.

        Raises
        ------
        NotFoundError, ConfigError
            There is none; or the password is none.
        """
        self._keep(self._users.get(name), password)

    def change_password(self, name: str, old: str, new: str, *, session: str = "") -> None:
        """A user changes their own. Their other sessions end.

        Raises
        ------
        AccessError, RetryableError, ConfigError
            The old one is wrong, or was wrong too often; the new one is none.
        """
        user, known_by = self._users.get(name), naming.hashed(name)
        failures, locked = self._users.attempt(known_by, _FORGETS)
        if locked is not None and locked > _now():
            raise _locked(locked)
        if not passwords.is_it(user.password, old[: passwords.MOST + 1]):
            if failures >= _FREE_FAILURES:
                self._users.lock(known_by, _now() + _LOCK)
            raise AccessError("password_wrong", "That is not your password.", hint="Type the one of now.")
        self._keep(user, new, but=digest(session))

    def unlock(self, name: str) -> UserView:
        """Let somebody try again at once who was locked out.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """
        user = self._users.get(name)
        self._users.unlock(naming.hashed(user.name))
        return self._view(user)

    def forget_old(self) -> None:
        """Remove sessions that are over, and attempts to sign in that count no more."""
        now = _now()
        self._users.forget_sessions(now - LONGEST, now - IDLE)
        self._users.forget_attempts(now - _FORGETS, _MOST_ATTEMPTS)

    def _keep(self, user: User, password: str, but: bytes | None = None) -> None:
        passwords.assert_good(password, user.name)
        kept = passwords.hashed(password)
        with self._users.changing() as change:
            change.edit(user.id, password=kept)
            change.sign_out(user.id, but=but)
        self._users.unlock(naming.hashed(user.name))

    def _opened(self, user: User, address: str, agent: str) -> str:
        text = SESSION.make()
        self._users.open(digest(text), user.id, address, agent[:300])
        return text

    def _told_refused(self, name: str, address: str) -> None:
        """Write it down, if that address was not written down often enough."""
        details = self._refusals.add(address)
        if details is not None:
            name = name.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
            why = {"outcome": "refused", "code": "sign_in_refused"}
            self._told("user.sign_in", name, address, name, **why, details=details)

    def _told(
        self,
        action: str,
        name: str,
        address: str,
        actor: str,
        *,
        outcome: str = "done",
        code: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self._audit.begin(
            actor=actor[:200], actor_kind="user", address=address, action=action, kind="user", name=name[:200],
            outcome=outcome, code=code, details=details or {},
        )  # fmt: skip

    def _view(self, user: User) -> UserView:
        return _view(user, self._users.locked_until(naming.hashed(user.name)))


def _view(user: User, locked_until: dt.datetime | None) -> UserView:
    ways = [way for way, there in (("password", user.password), ("elsewhere", user.subject)) if there]
    signs_in = " and ".join(ways) or "none"
    seen, made = user.last_seen_at, (user.created_at, user.created_by)
    return UserView(user.id, user.name, Role(user.role), signs_in, user.disabled, locked_until, seen, *made)


def _assert_administrated(change: Changing) -> None:
    if not change.administrators():
        raise ConflictError(
            "last_administrator",
            "Nobody could administrate Tidemill any more.",
            hint="Make somebody else an administrator first.",
        )


def _curtail(change: Changing, user: User | None, name: str = "") -> None:
    """End what somebody has made that may do what they may not, or not any more."""
    may = PERMISSIONS[Role(user.role)] if user is not None and not user.disabled else frozenset()
    kinds = [kind for kind, permission in MAY.items() if permission not in may]
    change.curtail(user.name if user else name, frozenset(Permission) - may, kinds)


def _locked(until: dt.datetime) -> RetryableError:
    seconds = max(1, round((until - _now()).total_seconds()))
    return RetryableError(
        "sign_in_locked",
        f"There were too many wrong passwords: it can be tried again in {seconds} seconds.",
        hint="Wait, or have an administrator unlock the account: tidemill user unlock NAME",
        after=seconds,
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
