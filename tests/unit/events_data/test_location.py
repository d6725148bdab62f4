"""TIDEMILL_EVENT_DATA is understood as a data engineer expects, and what is wrong in it is told, but no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.errors import ConfigError
from tidemill.events.data import location
from tidemill.events.data.location import Bucket, Folder
from tidemill.settings import Settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def of(given: str | None) -> location.Location:
    return location.of(Settings(home=Path("/home/of/it"), event_data=given))


def bucket(given: str) -> Bucket:
    found = of(given)
    assert isinstance(found, Bucket)
    return found


def test_a_folder() -> None:
    assert of(None) == Folder(Path("/home/of/it/events"), given=False)
    assert of("/mnt/events") == Folder(Path("/mnt/events"), given=True)
    assert of("here") == Folder(Path.cwd() / "here", given=True)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("s3://acme", Bucket("s3", "acme", "", "https://s3.us-east-1.amazonaws.com", "us-east-1", False)),
        ("s3://a.b/x", Bucket("s3", "a.b", "x", "https://s3.us-east-1.amazonaws.com", "us-east-1", True)),
        (
            "s3://acme/p/q/?region=eu-central-1",
            Bucket("s3", "acme", "p/q", "https://s3.eu-central-1.amazonaws.com", "eu-central-1", False),
        ),
        (
            "s3://acme/p?region=cn-north-1",
            Bucket("s3", "acme", "p", "https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1", False),
        ),
        (
            "s3://acme/p?endpoint=http://minio:9000",
            Bucket("s3", "acme", "p", "http://minio:9000", "us-east-1", True),
        ),
        (
            "s3://acme/p?endpoint=r2.example.com&path_style=false&region=auto",
            Bucket("s3", "acme", "p", "https://r2.example.com", "auto", False),
        ),
        ("gs://acme/p", Bucket("gs", "acme", "p", "https://storage.googleapis.com", "auto", True)),
        ("gcs://acme", Bucket("gs", "acme", "", "https://storage.googleapis.com", "auto", True)),
    ],
)
def test_a_bucket(given: str, found: Bucket) -> None:
    assert of(given) == found


def test_what_is_not_said_is_as_amazons_tools_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert bucket("s3://acme/p").endpoint == "https://s3.eu-west-3.amazonaws.com"
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert bucket("s3://acme/p").region == "eu-west-1"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://all.example.com")
    assert bucket("s3://acme/p").endpoint == "https://all.example.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.com:8443")
    assert bucket("s3://acme/p") == Bucket("s3", "acme", "p", "https://s3.example.com:8443", "eu-west-1", True)
    assert bucket("s3://acme/p?endpoint=http://other").endpoint == "http://other"
    assert bucket("gs://acme/p").endpoint == "https://storage.googleapis.com"


def test_where_it_is() -> None:
    assert bucket("s3://acme/p/q").url == "s3://acme/p/q/"
    assert bucket("s3://acme").url == "s3://acme/"
    assert bucket("s3://acme").key("main/x") == "main/x"
    assert bucket("gcs://acme/p").key("main/x") == "p/main/x"
    assert (bucket("gs://acme/p").url, bucket("gs://acme/p").path) == ("gs://acme/p/", "s3://acme/p/")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("http://minio:9000/acme", "begins with http://"),
        ("s3://", "names no bucket"),
        ("s3://Acme/x", "names no bucket"),
        ("s3://acme/a*b", "has a prefix that cannot be used"),
        ("s3://acme/a/../b", "has a prefix that cannot be used"),
        ("s3://acme/day=1", "has a prefix that cannot be used"),
        ("s3://acme/p?regoin=x", "says 'regoin'"),
        ("s3://acme/p?", ""),
        ("s3://acme/p?path_style=maybe", "path_style"),
        ("s3://acme/p?endpoint=http://host:port", "has an endpoint"),
        ("s3://acme/p?endpoint=http://host/s3", "endpoint with a path"),
        ("s3://acme/p?endpoint=ftp://host", "has an endpoint"),
        ("s3://acme/p?=", "says ''"),
    ],
)
def test_what_is_wrong_is_told(given: str, said: str) -> None:
    if not said:
        assert bucket(given).prefix == "p"
        return
    with pytest.raises(ConfigError, match=said.replace("*", r"\*")) as caught:
        of(given)
    assert "gs://bucket/prefix" in caught.value.hint


@pytest.mark.parametrize("given", ["s3://KEY:S3CR3T@acme/p", "s3://acme/p?endpoint=http://KEY:S3CR3T@minio"])
def test_no_secret_is_told(given: str) -> None:
    with pytest.raises(ConfigError) as caught:
        of(given)
    assert "S3CR3T" not in f"{caught.value} {caught.value.hint} {caught.value.raw}"
