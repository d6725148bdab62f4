"""Every error a user can meet, arranged by what happens next.

::

    TidemillError
    ├── ConfigError      the user edits a setting, a file or a command, and tries again
    ├── AccessError      the user (or an administrator) grants something
    ├── NotFoundError    the thing that was named does not exist
    ├── ConflictError    something else holds the name, the table or the run; wait or choose another
    ├── RowError         one row cannot be taken or delivered: it is set aside, the rest goes on
    ├── RetryableError   the same call may succeed later; `after` says when
    ├── UnavailableError retries are used up: a service we need did not answer; nothing was lost
    └── Cancelled        somebody asked for it

Anything else that is raised is a bug in Tidemill: it is not retried and its traceback is shown.
"""

from __future__ import annotations

import re

#: Passwords, as libpq's keywords and URLs have them. Whoever cannot connect tells with what it was tried. In a URL a
#: password may hold what is a quotation mark elsewhere: what lies between the colon and the last @ before the host is
#: blotted out.
_PASSWORD = re.compile(r"(password\s*=\s*)(?:'(?:[^'\\]|\\.)*'|[^\s'\"]+)|(://[^\s:/@'\"]*:)[^\s/]+(?=@[^\s/@]*)", re.I)


def without_passwords(text: str) -> str:
    """The text, with passwords of databases blotted out."""
    return _PASSWORD.sub(lambda found: f"{found[1] or found[2]}********", text)


class TidemillError(Exception):
    """Base of all errors that reach a user: a stable `code`, a `message`, and a `hint` that says what to do.

    `raw` is the text of whatever caused it (Google's own answer, say); it is shown only under ``--verbose``.
    It must never hold a secret.
    """

    #: exit code of the command line, documented in docs/reference/exit-codes.md
    exit_code = 1

    def __init__(self, code: str, message: str, *, hint: str = "", raw: str = "") -> None:
        super().__init__(without_passwords(message))
        self.code = code
        self.message = without_passwords(message)
        self.hint = hint
        self.raw = without_passwords(raw)

    def __reduce__(self) -> tuple[object, ...]:
        return rebuild, (type(self), self.__dict__)

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


def rebuild(kind: type[TidemillError], state: dict[str, object]) -> TidemillError:
    """An error of that class from its fields, as `vars(error)` gave them."""
    error = kind.__new__(kind, str(state.get("message", "")))
    Exception.__init__(error, str(state.get("message", "")))
    error.__dict__.update(state)
    return error


class ConfigError(TidemillError):
    """The user can mend it by editing a setting, a file or the command."""

    exit_code = 2


class AccessError(TidemillError):
    """A credential is refused or a permission is missing; the hint holds the command that grants it."""

    exit_code = 3


class NotFoundError(TidemillError):
    """The thing that was named does not exist (here, or in BigQuery)."""

    exit_code = 4


class ConflictError(TidemillError):
    """Something else holds the name, the table or the run."""

    exit_code = 5


class RowError(TidemillError):
    """One row cannot be taken or delivered; it is set aside with this reason and the rest goes on."""

    exit_code = 6


class RetryableError(TidemillError):
    """The same call may succeed later, `after` seconds from now at the earliest (None: back off as usual)."""

    exit_code = 7

    def __init__(self, code: str, message: str, *, hint: str = "", raw: str = "", after: float | None = None) -> None:
        super().__init__(code, message, hint=hint, raw=raw)
        self.after = after


class UnavailableError(TidemillError):
    """A service that we need did not answer until the deadline. Nothing was lost: the same command goes on later, after
    `after` seconds if it has asked for that."""

    exit_code = 7

    def __init__(self, code: str, message: str, *, hint: str = "", raw: str = "", after: float | None = None) -> None:
        super().__init__(code, message, hint=hint, raw=raw)
        self.after = after


class Cancelled(TidemillError):  # noqa: N818 - not an error to the person who asked for it
    """Somebody asked for it to stop."""

    exit_code = 130

    def __init__(self, message: str = "Cancelled.", *, code: str = "cancelled", hint: str = "", raw: str = "") -> None:
        super().__init__(code, message, hint=hint, raw=raw)
