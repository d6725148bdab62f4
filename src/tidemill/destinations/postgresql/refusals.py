"""What an error of PostgreSQL means for what was to be written.

Sources: the documentation of PostgreSQL, "PostgreSQL Error Codes".
"""

from __future__ import annotations

import re

import psycopg

from tidemill.destinations.port import BatchRefused
from tidemill.errors import AccessError, ConfigError, RetryableError, TidemillError, UnavailableError
from tidemill.outbound import network

#: It will pass, and nothing was done: conflicts with others, locks.
_PASSES = frozenset({"40001", "40P01", "40000", "55P03"})
#: Classes that are of the table, its rules and our statement, not of a row.
_OF_TABLE = frozenset({"42", "3F", "3D", "0A", "25"})
_ACCESS = frozenset({"42501", "28000", "28P01"})
#: Classes that are of the server's state: connections, resources, shutdown, its disk, itself.
_OF_SERVER = frozenset({"08", "53", "57", "58", "XX"})
#: By words, because libpq gives no code for a connection that is not made. Servers may speak other languages.
_SIGN_IN = re.compile(
    r"authenti[cf]|autentic|pg_hba|role .+ does not exist|permission denied|not permitted|28P01|28000", re.I
)
_NO_DATABASE = re.compile(r"database .+ does not exist|3D000", re.I)
_WAY = re.compile(r"^.*port \d+ failed: (FATAL: +)?")
_TLS = re.compile(r"certificate|SSL|TLS", re.I)


def of_statement(error: psycopg.Error, host: str, port: int) -> TidemillError:
    """Our error for one of a statement."""
    code = error.sqlstate or ""
    said = network.plain(error.diag.message_primary or str(error), ())
    told = f"PostgreSQL answers {code}: {said}."
    if not code:
        return network.unreachable(host, port, ConnectionError()) if _is_lost(error) else BatchRefused("value", told)
    if code in _PASSES:
        return RetryableError("destination_busy", told, hint="It is tried again.")
    if code in _ACCESS:
        return AccessError(
            "destination_denied", told, hint="Grant the role SELECT, INSERT, UPDATE and DELETE on the table."
        )
    if code == "42P10":
        return ConfigError(
            "key_not_unique",
            "The table has no unique index of exactly the key's columns.",
            hint="CREATE UNIQUE INDEX ON the table (the key's columns).",
        )
    if code[:2] in _OF_TABLE:
        return ConfigError("destination_table", told, hint="Look at the table, and at the mapping.")
    if code[:2] in _OF_SERVER:
        return UnavailableError("destination_failed", told, hint="It is tried again.")
    return BatchRefused("destination_refused", told)


def of_connection(error: psycopg.Error, host: str, port: int) -> TidemillError:
    """Our error for a connection that was not made."""
    said = _WAY.sub("", network.plain(str(error), ())).rstrip(".")
    if isinstance(error, psycopg.errors.ConnectionTimeout) or "timeout" in said:
        return network.unreachable(host, port, TimeoutError())
    if "refused" in said:
        return network.unreachable(host, port, ConnectionRefusedError())
    if _NO_DATABASE.search(said):
        return ConfigError("destination_address", f"PostgreSQL says: {said}.", hint="Correct the database's name.")
    if _SIGN_IN.search(said):
        return AccessError(
            "destination_denied",
            f"PostgreSQL lets nobody in with that role and password: {said}.",
            hint="Look at the role, its password, and the server's pg_hba.conf.",
        )
    if _TLS.search(said):
        return ConfigError(
            "server_tls",
            f"{host} does not speak TLS as it should: {said}.",
            hint="Look at the settings tls, authority.",
        )
    return UnavailableError("destination_failed", f"PostgreSQL says: {said}.", hint="Look at that server's log.")


def _is_lost(error: psycopg.Error) -> bool:
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
