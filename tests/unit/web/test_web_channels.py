"""The form of a channel: what was changed is sent, and nothing else; secrets that are empty stay as they are."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any

import pytest
from pydantic import SecretStr

from tidemill.notify.service import ChannelView
from tidemill.web.pages.channel_fields import changes_of, fields, said_of

EMAIL = ChannelView(
    id=uuid.uuid4(), name="ops", kind="email", to="ana@example.com",
    settings={"to": ["ana@example.com"], "sender": "tide@example.com", "host": "smtp.example.com", "port": 587,
              "security": "starttls", "user": "tide"},
    causes=("failed",), exports=("daily", "(deleted)"), syncs=(), made_at=dt.datetime.now(dt.UTC), made_by="anna",
    last_sent_at=None, waiting=0, given_up=0, failing_since=None, trouble=None, what_to_do=None,
)  # fmt: skip
SLACK = dataclasses.replace(EMAIL, kind="slack", settings={}, exports=(), causes=())
WEBHOOK = dataclasses.replace(SLACK, kind="webhook")


def given(view: ChannelView, **typed: Any) -> dict[str, Any]:
    """What the form sends of a channel as it is shown, but for what was typed. Secrets are shown empty."""
    shown = {field.name: None if field.kind == "secret" else field.value or None for field in fields(view)}
    return {**shown, **typed}


@pytest.mark.parametrize("view", [EMAIL, SLACK, WEBHOOK], ids=lambda view: view.kind)
def test_a_form_that_is_sent_as_it_is_changes_nothing(view: ChannelView) -> None:
    assert changes_of(view, given(view)) == ({}, {})


def test_what_was_changed_is_sent_alone() -> None:
    typed = {"name": "on-call", "to": "ana@example.com, bob@example.com", "port": 465, "causes": [], "syncs": "crm\n"}
    assert changes_of(EMAIL, given(EMAIL, **typed)) == (
        {"to": ("ana@example.com", "bob@example.com"), "port": 465},
        {"rename": "on-call", "causes": (), "syncs": ("crm",)},
    )


def test_secrets_go_in_as_secrets() -> None:
    settings, _ = changes_of(EMAIL, given(EMAIL, password="s3cret"))
    assert settings == {"password": SecretStr("s3cret")}
    settings, _ = changes_of(SLACK, given(SLACK, slack_url="https://hooks.example/s3cret"))
    assert settings == {"url": SecretStr("https://hooks.example/s3cret")}
    settings, _ = changes_of(WEBHOOK, given(WEBHOOK, key="whsec_s3cret"))
    assert settings == {"key": SecretStr("whsec_s3cret")}
    assert "s3cret" not in repr(settings)


def test_who_takes_the_user_out_takes_the_password_out() -> None:
    assert changes_of(EMAIL, given(EMAIL, user=None))[0] == {"user": None, "password": None}


def test_of_all_exports_again_though_one_was_deleted() -> None:
    assert changes_of(EMAIL, given(EMAIL, exports=None))[1] == {"exports": ()}


def test_no_field_is_asked_for_that_the_kind_has_not() -> None:
    names = {view.kind: {field.name for field in fields(view)} for view in (EMAIL, SLACK, WEBHOOK)}
    of_all = {"name", "causes", "exports", "syncs"}
    assert names["slack"] - of_all == {"slack_url"}
    assert names["webhook"] - of_all == {"webhook_url", "key"}
    assert "url" not in names["email"]
    typed = {"webhook_url": "https://a.example", "slack_url": None, "key": None, "to": None}
    assert said_of("webhook", typed) == {"url": SecretStr("https://a.example")}
