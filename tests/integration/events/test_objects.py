"""The files of the event store can be listed, read, written and deleted, in a folder and in a bucket alike."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path

import pytest
from tests.s3_server import KEY, REGION, SECRET, S3Server

from tidemill.errors import NotFoundError
from tidemill.events.data import bucket as bucket_module
from tidemill.events.data.bucket import BucketObjects
from tidemill.events.data.credentials import AccessKey, Credentials
from tidemill.events.data.location import Bucket
from tidemill.events.data.objects import FolderObjects, Objects


@pytest.fixture(params=["folder", "bucket", "whole bucket"])
def objects(request: pytest.FixtureRequest, s3: S3Server, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return FolderObjects(tmp_path)
    prefix = "some/where" if request.param == "bucket" else ""
    bucket = Bucket("s3", s3.bucket(), prefix, s3.endpoint, REGION, path_style=True)
    return BucketObjects(bucket, Credentials(lambda: AccessKey(KEY, SECRET)))


def put(objects: Objects, name: str, text: str) -> None:
    objects.write(name, io.BytesIO(text.encode()))


def test_what_is_written_is_listed_and_read(objects: Objects) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=2)
    put(objects, "main/events/b.parquet", "more")
    put(objects, "main/events/a.parquet", "text")
    put(objects, "main/commits/c.parquet", "")
    put(objects, "tidemill.json", "{}")
    put(objects, "main/events/a.parquet", "other text")
    found = {one.name: one.size for one in objects.list()}
    assert list(found.items()) == [
        ("main/commits/c.parquet", 0),
        ("main/events/a.parquet", 10),
        ("main/events/b.parquet", 4),
        ("tidemill.json", 2),
    ]
    assert [one.name for one in objects.list("main/events/")] == ["main/events/a.parquet", "main/events/b.parquet"]
    assert all(one.written_at > before for one in objects.list())
    with objects.read("main/events/a.parquet") as file:
        assert file.read() == b"other text"
    assert objects.place.endswith("/")


def test_what_is_deleted_is_gone(objects: Objects) -> None:
    for name in ("a", "b", "c"):
        put(objects, name, name)
    objects.delete(["a", "c", "never there"])
    assert [one.name for one in objects.list()] == ["b"]
    with pytest.raises(NotFoundError), objects.read("a") as file:
        file.read()


def test_a_file_is_written_from_where_it_stands(objects: Objects, tmp_path: Path) -> None:
    path = tmp_path.parent / f"{tmp_path.name}.bin"
    path.write_bytes(b"0123456789" * 1_000_000)
    with path.open("rb") as file:
        file.seek(5_000_000)
        objects.write("large", file)
    with objects.read("large") as found:
        assert found.read() == b"0123456789" * 500_000
    path.unlink()


def test_more_than_one_page_is_listed(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "_PAGE", 4)
    bucket = Bucket("s3", s3.bucket(), "p", s3.endpoint, REGION, path_style=True)
    objects, client = BucketObjects(bucket, Credentials(lambda: AccessKey(KEY, SECRET))), s3.client()
    for number in range(11):
        client.put_object(Bucket=bucket.name, Key=f"p/{number:04}")
    client.put_object(Bucket=bucket.name, Key="pq/other")
    assert [one.name for one in objects.list()] == [f"{number:04}" for number in range(11)]
