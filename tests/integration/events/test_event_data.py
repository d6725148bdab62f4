"""The place of event data is tested step by step, its key is kept for all machines, and told to nobody."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet
from tests.object_store import ROWS, Store, append
from tests.s3_server import KEY, REGION, SECRET, S3Server

from tidemill.app import App
from tidemill.errors import ConfigError
from tidemill.events.data import check, location
from tidemill.events.data.check import Step
from tidemill.events.data.credentials import AccessKey, Credentials
from tidemill.settings import Settings


@pytest.fixture
def s3(s3: S3Server) -> Iterator[S3Server]:
    """As it was when it began."""
    yield s3
    s3.keys, s3.wrong_secrets, s3.skew = {KEY: "GET|HEAD|PUT|POST|DELETE"}, set(), dt.timedelta(0)
    s3.faults.clear()


def steps(s3: S3Server, home: Path, place: str, key: str = KEY) -> list[Step]:
    settings = Settings(home=home, event_data=f"{place}?endpoint={s3.endpoint}&region={REGION}")
    credentials = Credentials(lambda: AccessKey(key, SECRET))
    return list(check.steps(location.of(settings), settings, credentials, lambda: "us"))


def test_a_bucket_that_is_as_it_should_be(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.bucket()
    found = steps(s3, tmp_path, f"s3://{bucket}/events")
    assert [step.status for step in found] == ["passed"] * 9, found
    assert s3.names(bucket) == []
    assert SECRET not in str(found)


def test_what_is_wrong_is_said_with_what_to_do(s3: S3Server, tmp_path: Path) -> None:
    place = f"s3://{s3.bucket()}/events"
    s3.keys |= {"READER": "GET|HEAD", "KEEPER": "GET|HEAD|PUT", "LIAR": ".*"}
    s3.wrong_secrets = {"LIAR"}
    for at, key, code, said in (
        ("s3://no-such-bucket/events", KEY, "event_data_bucket", "no-such-bucket"),
        (place, "NOBODY", "event_data_key", "does not know the access key NOBODY"),
        (place, "LIAR", "event_data_key", "the secret does not belong to the access key LIAR"),
        (place, "READER", "event_data_permission", "s3:PutObject"),
        (place, "KEEPER", "event_data_permission", "s3:DeleteObject"),
    ):
        last = steps(s3, tmp_path, at, key)[-1]
        assert (last.status, last.code) == ("failed", code)
        assert said in last.message
        assert last.hint
        assert SECRET not in str(last)
    s3.skew = dt.timedelta(hours=1)
    last = steps(s3, tmp_path, place)[-1]
    assert (last.code, "timedatectl" in last.hint) == ("event_data_clock", True)
    s3.skew = dt.timedelta(0)
    s3.stop()
    last = steps(s3, tmp_path, place)[-1]
    s3.start()
    assert (last.code, "no connection can be made" in last.message) == ("event_data_unavailable", True)


def test_old_versions_and_rules_that_delete_are_warned_of(s3: S3Server, tmp_path: Path) -> None:
    bucket, client = s3.bucket(), s3.client()
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    found = {step.code: step for step in steps(s3, tmp_path, f"s3://{bucket}/events")}
    assert found["event_data_versions"].status == "warning"
    assert "noncurrent" in found["event_data_versions"].hint
    for prefix, fatal in (("logs/", False), ("", True), ("events/main/", True)):
        rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": 30}}
        client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
        last = steps(s3, tmp_path, f"s3://{bucket}/events")[-1]
        assert (last.code == "event_data_expires") is fatal, prefix


def test_a_folder_is_tested_too(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, event_data=str(tmp_path / "shared"))
    credentials = Credentials(lambda: None)
    assert [one.status for one in check.steps(location.of(settings), settings, credentials, lambda: "us")] == [
        "passed",
        "passed",
    ]
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o700
    for mode, said in ((0o750, "passed"), (0o755, "warning")):
        (tmp_path / "shared").chmod(mode)
        last = list(check.steps(location.of(settings), settings, credentials, lambda: "us"))[-1]
        assert (last.status, "chmod o-rwx" in last.hint) == (said, said == "warning")
        assert (tmp_path / "shared").stat().st_mode & 0o777 == mode  # it is the user's own
    settings = Settings(home=tmp_path, event_data="/proc/nowhere")
    (step,) = check.steps(location.of(settings), settings, credentials, lambda: "us")
    assert (step.status, step.code) == ("failed", "event_data_folder")


def test_a_key_is_kept_for_all_machines(store: Store, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    keys = Fernet.generate_key().decode()
    with store.app(secret_keys=keys) as one, store.app("other", secret_keys=keys) as other:
        with pytest.raises(ConfigError) as caught:
            append(one.lake, 0)
        assert caught.value.code == "event_data_credentials"
        one.event_data.keep(KEY, SECRET, by="ana")
        assert append(other.lake, 0).rows == ROWS
        view = one.event_data.show()
        assert (view.access_key, view.origin, view.given_by) == (KEY, "kept by Tidemill", "ana")
        assert SECRET not in json.dumps(vars(view), default=str)
        with psycopg.connect(one.postgres.dsn) as session:
            assert SECRET not in str(session.execute("SELECT * FROM tidemill.installation").fetchall())
        s3.keys = {"NEWER": "GET|HEAD|PUT|POST|DELETE"}
        other.event_data.keep("NEWER", "another secret", by="ben")
    with store.app(secret_keys=keys) as one:
        assert append(one.lake, ROWS).rows == ROWS
        assert one.event_data.forget()
        assert one.event_data.show().access_key is None
        checks = {found.name: found for found in one.doctor()}
        assert (checks["event data"].status, bool(checks["event data"].hint)) == ("wrong", True)


def test_a_machine_with_another_secret_key_is_told_so(store: Store) -> None:
    first, second = (Fernet.generate_key().decode() for _ in range(2))
    with store.app(secret_keys=first) as app:
        app.event_data.keep(KEY, SECRET, by="ana")
    with pytest.raises(ConfigError) as caught, store.app("other", secret_keys=second):
        pass
    assert caught.value.code == "secret_key_other"
    with store.app("bare") as bare:  # a machine that needs nothing secret may be without
        assert not bare.secrets.path.exists()
    with store.app(secret_keys=f"{second},{first}") as app:  # the key is changed, machine by machine
        assert app.event_data._given() is not None
    with store.app("other", secret_keys=f"{first},{second}"), store.app("other", secret_keys=f"{second},{first}"):
        pass
    with store.app("other", secret_keys=second):
        pass
    with pytest.raises(ConfigError), store.app("other", secret_keys=first):
        pass
    with App(store.settings("other", secret_keys=first), renew_secret_key=True):
        pass
    with store.app("other", secret_keys=first):
        pass
