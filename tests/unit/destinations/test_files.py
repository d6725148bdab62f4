"""Files of rows: what is in them, what they are called, and where they may be put."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tests import lines
from tests.contract.api import Reply
from tests.contract.apis.files import FilesApi, rows

from tidemill import settings as installation
from tidemill.destinations import deliver, fields
from tidemill.destinations.files import formats, places
from tidemill.destinations.files.config import FILES, FilesSettings
from tidemill.destinations.port import Mode, Op, Outcome, Outlet, Record, Status, identity
from tidemill.errors import ConfigError
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard


@pytest.fixture
def api() -> Iterator[FilesApi]:
    made = FilesApi()
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One that the installation allows."""
    monkeypatch.setenv("TIDEMILL_OUTBOUND_FOLDERS", f"/elsewhere, {tmp_path}/allowed")
    installation.current.cache_clear()
    yield tmp_path / "allowed"
    installation.current.cache_clear()


def sent(
    settings: Mapping[str, Any], action: str, made: Sequence[Mapping[str, Any]], *, op: Op = Op.ADDED
) -> list[Outcome]:
    """The outcome of each."""
    found: dict[str, Outcome] = {}
    chosen = FILES.action(action)
    records = []
    for number, row in enumerate(made):
        mapped = fields.checker(chosen)(row, op)
        assert not isinstance(mapped, Outcome), mapped
        own = identity("sync", str(number), "hash", op)
        records.append(Record(str(number), own, op, Mode.MIRROR, mapped))
    http = Http(Guard(["127.0.0.1"]))
    with (
        contextlib.closing(http),
        FILES.open(FilesSettings(**settings), Outlet(http, time.sleep)) as client,
    ):
        line = lines.unpaced(client, chosen)
        deliver.deliver(line, records, lambda told: found.update({one.row_key: said for one, said in told}))
    return [found[str(number)] for number in range(len(made))]


def only(folder: Path) -> Path:
    (found,) = [path for path in folder.rglob("*") if path.is_file()]
    return found


@given(st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8")), st.booleans(), st.integers()), min_size=2))
def test_a_line_of_csv_is_read_as_it_was_written(values: list[Any]) -> None:
    line = formats.csv_line(values).decode()
    (found,) = csv.reader(io.StringIO(line, newline=""))
    assert found == ["" if one is None else str(one).lower() if isinstance(one, bool) else str(one) for one in values]


def test_an_empty_text_is_not_null_in_csv() -> None:
    assert formats.csv_line([None, "", " a", {"b": [1]}, 0.5]) == b',""," a","{""b"":[1]}",0.5\n'


def test_columns_of_parquet_go_by_their_values(folder: Path) -> None:
    columns = [
        {"n": 1, "f": 1, "t": "2026-01-01", "b": True, "o": {"a": 1}, "mixed": 1, "big": 2**70, "none": None},
        {"n": None, "f": 1.5, "t": None, "b": None, "o": [1], "mixed": "x", "later": 1},
    ]
    sent({"place": f"file://{folder}"}, "parquet", [{"columns": one} for one in columns])
    table = pq.read_table(only(folder))
    assert {field.name: str(field.type) for field in table.schema} == {
        "n": "int64",
        "f": "double",
        "t": "string",
        "b": "bool",
        "o": "string",
        "mixed": "string",
        "big": "string",
        "none": "string",
        "later": "int64",
        "_tidemill_id": "string",
        "_tidemill_key": "string",
        "_tidemill_op": "string",
        "_tidemill_at": "timestamp[us, tz=UTC]",
    }
    assert table["o"].to_pylist() == ['{"a":1}', "[1]"]
    assert table["big"].to_pylist() == [str(2**70), None]


def test_types_of_parquet_may_be_said_and_what_is_none_is_set_aside(folder: Path) -> None:
    types = {"day": "date", "at": "timestamp", "n": "number", "j": "json", "i": "integer", "b": "boolean", "s": "text"}
    good = {"day": "2026-01-02", "at": "2026-01-02T03:04:05+01:00", "n": "1", "j": "x", "i": "7", "b": "yes", "s": 1}
    wrong = [("day", "soon"), ("at", "noon"), ("n", "x"), ("i", 2**64), ("i", 1.5), ("b", "perhaps")]
    made = [{"columns": good, "types": types}, *({"columns": {**good, k: v}, "types": types} for k, v in wrong)]
    found = sent({"place": f"file://{folder}"}, "parquet", made)
    assert [one.code for one in found] == ["", *["column_value"] * len(wrong)]
    (row,) = rows(".parquet", only(folder).read_bytes())
    assert {name: row[name] for name in types} == {
        "day": dt.date(2026, 1, 2),
        "at": dt.datetime(2026, 1, 2, 2, 4, 5, tzinfo=dt.UTC),
        "n": 1.0,
        "j": '"x"',
        "i": 7,
        "b": True,
        "s": "1",
    }


@pytest.mark.parametrize(
    ("types", "code"),
    [
        ({"n": "blob"}, "column_type"),
        ({"n": ["number"]}, "column_type"),
        ({"n": {"number": 1}}, "column_type"),
        ({"n": None}, "column_type"),
        ({"n": 1}, "column_type"),
        ({"half \ud800": "number"}, "row_not_text"),
    ],
)
def test_types_that_are_none_are_told_of(folder: Path, types: dict[str, Any], code: str) -> None:
    (found,) = sent({"place": f"file://{folder}"}, "parquet", [{"columns": {"n": 1}, "types": types}])
    assert found.code == code


def test_rows_with_other_columns_have_a_csv_of_their_own(folder: Path) -> None:
    sent({"place": f"file://{folder}"}, "csv", [{"columns": {"a": 1, "b": 2}}, {"columns": {"b": 3}}])
    found = sorted(path.read_text().splitlines()[0].split(",_tidemill")[0] for path in folder.iterdir())
    assert found == ["a,b", "b"]


def test_a_deleted_row_says_so(folder: Path) -> None:
    sent({"place": f"file://{folder}"}, "jsonl", [{"columns": {"id": 5}}], op=Op.DELETED)
    (row,) = rows(".jsonl", only(folder).read_bytes())
    assert (row["id"], row["_tidemill_op"], row["_tidemill_key"]) == (5, "deleted", "0")


def test_the_same_rows_overwrite_their_file(api: FilesApi) -> None:
    for number in (3, 3, 4):
        sent({**api.settings(), "compression": "gzip"}, "jsonl", [{"columns": {"n": n}} for n in range(number)])
    assert sorted(len(rows(name, body)) for name, body in api.objects().items()) == [3, 4]
    assert all(name.startswith("from/tidemill/") and name.endswith(".jsonl.gz") for name in api.objects())


def test_a_file_that_is_refused_stops_the_sync_and_no_row_is_blamed(api: FilesApi) -> None:
    said = b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>expecting us-west-2</Message></Error>"
    api.faults = [Reply(400, said)]
    with pytest.raises(ConfigError, match="expecting us-west-2"):
        sent(api.settings(), "csv", [{"columns": {"n": 1}}, {"columns": {"n": 2}}])
    assert not api.objects()


def test_a_file_that_came_too_slowly_is_sent_again(api: FilesApi) -> None:
    said = b"<Error><Code>RequestTimeout</Code><Message>Your socket connection was idle.</Message></Error>"
    api.faults = [Reply(400, said)]
    told = sent(api.settings(), "csv", [{"columns": {"n": 1}}])
    assert [one.status for one in told] == [Status.WRITTEN]
    assert len(api.objects()) == 1


def test_a_bucket_that_is_not_there_is_said(api: FilesApi) -> None:
    with pytest.raises(ConfigError, match="NoSuchBucket"):
        sent({**api.settings(), "place": "s3://no-such-bucket"}, "csv", [{"columns": {"n": 1}}])


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({"place": "s3://mine/a b/"}, "https://mine.s3.eu-west-1.amazonaws.com/a%20b/x%3D1/f.csv"),
        ({"place": "s3://my.bucket"}, "https://s3.eu-west-1.amazonaws.com/my.bucket/x%3D1/f.csv"),
        ({"place": "gs://mine/p"}, "https://storage.googleapis.com/mine/p/x%3D1/f.csv"),
        ({"place": "s3://mine", "endpoint": "https://minio.example"}, "https://minio.example/mine/x%3D1/f.csv"),
    ],
)
def test_where_a_bucket_is(changes: dict[str, Any], url: str) -> None:
    given_ = {"key_id": "k", "secret": "s", "region": "eu-west-1", **changes}
    assert places.bucket(FilesSettings(**given_)).url("x=1/f.csv") == url


@pytest.mark.parametrize(
    "place",
    [
        "s3://",
        "s3://UP",
        "s3://a/../b",
        "http://a",
        "file:///a/../b",
        "file://a",
        "s3://ab/x?y",
        "/srv/x",
        "s3://ab//c",
    ],
)
def test_a_place_that_is_none_is_refused(place: str) -> None:
    with pytest.raises(ValueError, match="place"):
        FilesSettings(place=place, key_id="k", secret=SecretStr("s"))


def test_a_bucket_needs_a_key() -> None:
    with pytest.raises(ConfigError, match="needs a key"):
        FilesSettings(place="gs://mine")


@pytest.mark.parametrize("place", ["", "-beside", "/../outside"])
def test_a_folder_is_written_into_only_if_the_installation_allows_it(folder: Path, place: str) -> None:
    path = folder.parent if not place else Path(f"{folder}{place}")
    with pytest.raises((ConfigError, ValueError)):
        sent({"place": f"file://{path}"}, "csv", [{"columns": {"n": 1}}])
    assert not list(folder.parent.rglob("*.csv"))


def test_a_link_does_not_lead_out_of_the_folder(folder: Path) -> None:
    (folder.parent / "outside").mkdir()
    folder.mkdir()
    (folder / "in").symlink_to(folder.parent / "outside")
    for place, name in ((folder, "in"), (folder / "in", "x")):
        with pytest.raises(ConfigError) as caught:
            sent({"place": f"file://{place}"}, "csv", [{"folder": name, "columns": {"n": 1}}])
        assert caught.value.code == "folder_not_allowed"
    assert not list((folder.parent / "outside").iterdir())


@pytest.mark.parametrize("name", ["../up", "/root", "a//b", "a/../b", ".hidden", "a\nb", "", "a/"])
def test_a_name_that_leads_elsewhere_is_no_folder(name: str, folder: Path) -> None:
    assert not places.is_folder(name)
    if name:
        found = sent({"place": f"file://{folder}"}, "csv", [{"folder": name, "columns": {"n": 1}}])
        assert found[0].code == "folder_name"


def test_a_column_cannot_take_the_name_of_one_of_ours(folder: Path) -> None:
    assert sent({"place": f"file://{folder}"}, "csv", [{"columns": {"_tidemill_op": 1}}])[0].code == "column_name"


def test_a_folder_can_be_tested(folder: Path) -> None:
    http = Http(Guard())
    settings = FilesSettings(place=f"file://{folder}/new")
    with contextlib.closing(http), FILES.open(settings, Outlet(http, time.sleep)) as client:
        assert "can be written to" in client.test()
    assert not folder.exists()
