"""Rows in a PostgreSQL: what becomes of values, keys, tables and refusals."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests import lines
from tests.contract.apis.postgresql import PostgresqlTool

from tidemill.destinations import deliver, fields
from tidemill.destinations.port import Action, Mode, Op, Outcome, Outlet, Record, Status, identity
from tidemill.destinations.postgresql.config import POSTGRESQL, PostgresqlSettings
from tidemill.errors import AccessError, ConfigError, TidemillError, UnavailableError
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard
from tidemill.store.postgres import Postgres

UPSERT, INSERT = POSTGRESQL.action("upsert"), POSTGRESQL.action("insert")


@pytest.fixture
def tool(postgres_server: Postgres) -> Iterator[PostgresqlTool]:
    made = PostgresqlTool(postgres_server)
    yield made
    made.close()


def execute(tool: PostgresqlTool, statement: str) -> list[Any]:
    with psycopg.connect(tool.dsn, autocommit=True) as session:
        done = session.execute(statement)
        return done.fetchall() if done.description else []


@contextlib.contextmanager
def signed_in(tool: PostgresqlTool, *, allowed: Sequence[str] = ("127.0.0.1",), **changes: Any) -> Iterator[Any]:
    settings = PostgresqlSettings(**{**tool.settings(), **changes})
    http = Http(Guard(allowed))
    with contextlib.closing(http), POSTGRESQL.open(settings, Outlet(http, time.sleep)) as client:
        yield client


def record(action: Action, made: Mapping[str, Any], number: int, mode: Mode, op: Op) -> Record:
    found = fields.checker(action)(made, op)
    assert not isinstance(found, Outcome), found
    return Record(str(number), identity("sync", str(number), "hash", op), op, mode, found)


def sent(
    tool: PostgresqlTool,
    rows: Sequence[Mapping[str, Any]],
    *,
    action: Action = UPSERT,
    mode: Mode = Mode.UPSERT,
    op: Op = Op.ADDED,
    **changes: Any,
) -> list[Outcome]:
    """The outcome of each."""
    found: dict[str, Outcome] = {}
    with signed_in(tool, **changes) as client:
        line = lines.unpaced(client, action)
        records = [record(action, row, number, mode, op) for number, row in enumerate(rows)]
        deliver.deliver(line, records, lambda told: found.update({one.row_key: said for one, said in told}))
    return [found[str(number)] for number in range(len(rows))]


def person(number: int, **columns: Any) -> dict[str, Any]:
    return {"table": "people", "key": {"id": number}, "columns": columns}


def test_values_become_what_their_columns_hold(tool: PostgresqlTool) -> None:
    execute(
        tool,
        'CREATE TABLE "All Kinds" (id text PRIMARY KEY, big numeric, day date, moment timestamptz, plain timestamp, '
        "yes boolean, tags text[], more jsonb, said text, raw bytea, ratio float8, own uuid)",
    )
    columns = {
        "big": "123456789012345678901234567890.5",
        "day": "2026-11-26",
        "moment": "2026-11-26T10:00:00+02:00",
        "plain": "2026-11-26T10:00:00",
        "yes": True,
        "tags": ["a", "b,c"],
        "more": {"a": [1, None]},
        "said": 'quotes " and \\ and é',
        "raw": "AP8=",
        "ratio": 0.1,
        "own": "9c0a6a2e-7c55-4a71-93c8-0f4f0c1d2b11",
    }
    other = {**columns, "raw": "\\x00ff"}
    rows = [{"table": "All Kinds", "key": {"id": key}, "columns": one} for key, one in ((1, columns), (2, other))]
    assert [one.status for one in sent(tool, rows)] == [Status.WRITTEN] * 2
    found = execute(
        tool,
        "SELECT big::text, day::text, (moment AT TIME ZONE 'UTC')::text, plain::text, yes, tags, more, said, "
        "encode(raw, 'hex'), ratio, own::text FROM \"All Kinds\"",
    )
    assert (
        found
        == [
            (
                columns["big"],
                "2026-11-26",
                "2026-11-26 08:00:00",
                "2026-11-26 10:00:00",
                True,
                ["a", "b,c"],
                {"a": [1, None]},
                columns["said"],
                "00ff",
                0.1,
                columns["own"],
            )
        ]
        * 2
    )


def test_a_column_that_is_not_mapped_stays_and_null_clears(tool: PostgresqlTool) -> None:
    sent(tool, [person(1, email="a@example.com", plan="pro"), person(2, email="b@example.com", plan="pro")])
    sent(tool, [person(1, email="new@example.com"), person(2, plan=None)])
    assert execute(tool, "SELECT * FROM people ORDER BY id") == [
        (1, "new@example.com", "pro"),
        (2, "b@example.com", None),
    ]


def test_deleted_rows_are_deleted_and_those_that_are_gone_are_no_fault(tool: PostgresqlTool) -> None:
    sent(tool, [person(1, plan="pro"), person(2, plan="pro")])
    gone = [{"table": "people", "key": {"id": number}} for number in (1, 3)]
    assert [one.status for one in sent(tool, gone, mode=Mode.MIRROR, op=Op.DELETED)] == [Status.WRITTEN] * 2
    assert execute(tool, "SELECT id FROM people") == [(2,)]


def test_an_update_of_a_row_that_is_not_there_is_refused(tool: PostgresqlTool) -> None:
    sent(tool, [person(2, plan="free")])
    found = sent(tool, [person(1, plan="pro"), person(2, plan="pro")], mode=Mode.UPDATE, op=Op.UPDATED)
    assert [one.code for one in found] == ["row_missing", ""]
    assert execute(tool, "SELECT id, plan FROM people") == [(2, "pro")]
    found = sent(tool, [person(1), person(2)], mode=Mode.UPDATE, op=Op.UPDATED)
    assert [one.code for one in found] == ["row_missing", ""]


def test_two_rows_with_one_key_end_as_the_later(tool: PostgresqlTool) -> None:
    rows = [person(1, plan="a"), person(1, plan="b")]
    assert [one.status for one in sent(tool, rows)] == [Status.WRITTEN] * 2
    assert execute(tool, "SELECT plan FROM people") in ([("a",)], [("b",)])


def test_a_row_that_the_table_refuses_is_set_aside_with_its_words(tool: PostgresqlTool) -> None:
    bad: list[Any] = ["no number", 1e30, None]
    rows = [person(1, plan="pro"), *({"table": "people", "key": {"id": key}} for key in bad), person(4, email="nul\0")]
    found = sent(tool, [*rows, person(5, plan="pro"), person(6, color="red")])
    assert [one.status for one in found] == [
        Status.WRITTEN,
        *[Status.REJECTED] * 4,
        Status.WRITTEN,
        Status.REJECTED,
    ]
    assert "invalid input syntax" in found[1].message
    assert found[3].code == "key_null"
    assert "no column color" in found[6].message
    assert execute(tool, "SELECT id FROM people ORDER BY id") == [(1,), (5,)]


def test_names_cannot_become_statements(tool: PostgresqlTool) -> None:
    evil = 'x" text); DROP TABLE people; --%s$1'
    rows = [{"table": f"public.{evil}", "key": {evil: 1}, "columns": {"n": 1, "number": 2}}]
    assert sent(tool, rows, make_tables=True)[0].status is Status.WRITTEN
    assert execute(tool, "SELECT count(*) FROM people") == [(0,)]
    wrong = [{**rows[0], "types": {"n": "text); DROP TABLE people"}}, {**rows[0], "table": "a."}]
    assert [one.code for one in sent(tool, wrong, make_tables=True)] == ["column_type", "table_name"]


def test_tables_and_columns_are_made_if_that_is_wished(tool: PostgresqlTool) -> None:
    row = {"table": "made", "key": {"id": 1}, "columns": {"n": 2**70, "f": 1.5, "o": {}, "d": "2026-01-02", "z": None}}
    with pytest.raises(ConfigError, match="no table made"):
        sent(tool, [row])
    rows = [{**row, "types": {"d": "date"}}, {**row, "key": {"id": 2}, "columns": {"later": True}}]
    assert [one.status for one in sent(tool, rows, make_tables=True)] == [Status.WRITTEN] * 2
    types = execute(
        tool,
        "SELECT attname, format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = 'made'::regclass AND attnum > 0",
    )
    assert dict(types) == {
        "id": "bigint",
        "n": "numeric",
        "f": "double precision",
        "o": "jsonb",
        "d": "date",
        "z": "text",
        "later": "boolean",
    }
    assert execute(tool, "SELECT id, n FROM made ORDER BY id") == [(1, 2**70), (2, None)]


def test_appended_rows_are_taken_once(tool: PostgresqlTool) -> None:
    row = {"table": "log", "columns": {"plan": "pro"}, "identity": "tidemill_id"}
    for _ in range(2):
        found = sent(tool, [row, row], action=INSERT, mode=Mode.INSERT, make_tables=True)
        assert [one.status for one in found] == [Status.WRITTEN] * 2
    assert len(execute(tool, "SELECT * FROM log")) == 2


def test_a_table_without_the_index_stops_the_sync_and_says_what_to_do(tool: PostgresqlTool) -> None:
    row = {"table": "people", "key": {"email": "a@example.com"}, "columns": {"id": 1}}
    with pytest.raises(ConfigError, match="no unique index") as caught:
        sent(tool, [row])
    assert "CREATE UNIQUE INDEX" in caught.value.hint


def test_what_no_row_can_do_in_that_table_stops_the_sync(tool: PostgresqlTool) -> None:
    execute(tool, "CREATE TABLE made (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY)")
    row = {"table": "made", "key": {"id": 1}, "columns": {"n": 1}}
    with pytest.raises(ConfigError, match='column "n"'):
        sent(tool, [row, row])


def test_a_role_that_may_not_write_stops_the_sync_and_says_what_to_grant(tool: PostgresqlTool) -> None:
    reader = f"reader_{uuid.uuid4().hex[:8]}"
    execute(tool, f"CREATE ROLE {reader} LOGIN")
    with pytest.raises(AccessError, match="permission denied") as caught:
        sent(tool, [person(1, plan="pro")], user=reader)
    assert "Grant" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"database": "no such one"}, ConfigError, "does not exist"),
        ({"tls": "require"}, ConfigError, "SSL"),
        ({"port": 1}, UnavailableError, "refused"),
        ({"user": "nobody-here"}, AccessError, "does not exist"),
        ({"password": "no"}, AccessError, "password authentication failed"),
    ],
)
def test_a_server_that_does_not_let_us_in(
    tool: PostgresqlTool, changes: dict[str, Any], kind: type[TidemillError], said: str
) -> None:
    with pytest.raises(kind, match=said), signed_in(tool, **changes) as client:
        client.test()


def test_a_certificate_is_looked_at_if_that_is_wished(tool: PostgresqlTool, tmp_path: Path) -> None:
    pem = certified(tool, tmp_path, "localhost")
    good: dict[str, Any] = {"tls": "verify-full", "host": "localhost", "authority": pem}
    for changes in (good, {"tls": "require"}):
        with signed_in(tool, allowed=["127.0.0.1", "localhost"], **changes) as client:
            assert "signs in" in client.test()
    for changes in ({**good, "host": "127.0.0.1"}, {**good, "authority": None}, {**good, "authority": "junk"}):
        with (
            pytest.raises(ConfigError, match="certificate") as caught,
            signed_in(tool, allowed=["127.0.0.1", "localhost"], **changes) as client,
        ):
            client.test()
        assert caught.value.code == "server_tls"


def certified(tool: PostgresqlTool, folder: Path, name: str) -> str:
    """The server speaks TLS, with a certificate for that name, which is its own authority."""
    private = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(who, who, private.public_key(), 1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    file = folder / "server.pem"
    plain = serialization.NoEncryption()
    file.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain) + pem)
    tool.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tool.tls.load_cert_chain(file)
    return pem.decode()


def test_an_address_that_is_not_of_the_internet_is_not_reached(tool: PostgresqlTool) -> None:
    with pytest.raises(ConfigError) as caught, signed_in(tool, allowed=()) as client:
        client.test()
    assert caught.value.code == "address_private"


@pytest.mark.parametrize("host", ["/var/run/postgresql", "a,b", "", "a b", "a'"])
def test_a_host_is_one_name_and_no_socket(tool: PostgresqlTool, host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        PostgresqlSettings(**{**tool.settings(), "host": host})


def test_a_session_that_was_ended_is_made_anew(tool: PostgresqlTool) -> None:
    with signed_in(tool) as client:
        client.test()
        execute(tool, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemill'")
        with pytest.raises(UnavailableError):
            client.test()
        assert "signs in" in client.test()
