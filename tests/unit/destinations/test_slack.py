"""Messages to Slack: what is sent, and what its words mean."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import SecretStr
from tests import lines
from tests.contract.api import Reply
from tests.contract.apis.slack import PATH, SlackApi

from tidemill.destinations import deliver, fields
from tidemill.destinations.port import Mode, Op, Outcome, Outlet, Record
from tidemill.destinations.slack.config import SLACK, SlackSettings
from tidemill.errors import AccessError, ConfigError, TidemillError
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard

ACTION = SLACK.action("post_message")


@pytest.fixture
def api() -> Iterator[SlackApi]:
    made = SlackApi()
    yield made
    made.close()


def sent(api: SlackApi, made: Mapping[str, Any]) -> Outcome:
    mapped = fields.checker(ACTION)(made, Op.ADDED)
    if isinstance(mapped, Outcome):
        return mapped
    found: list[Outcome] = []
    http = Http(Guard(["127.0.0.1"]))
    settings = SlackSettings(**api.settings())
    with contextlib.closing(http), SLACK.open(settings, Outlet(http, time.sleep)) as client:
        line = lines.unpaced(client, ACTION)
        record = Record("1", "id", Op.ADDED, Mode.INSERT, mapped)
        deliver.deliver(line, [record], lambda told: found.extend(said for _, said in told))
    return found[0]


def test_a_message_is_what_was_mapped(api: SlackApi) -> None:
    made = {"text": "Ana is here", "blocks": [{"type": "divider"}], "username": "Tide", "icon_emoji": ":ocean:"}
    assert not sent(api, made).code
    assert api.messages == [made]


@pytest.mark.parametrize(
    ("made", "code"),
    [
        ({"text": "x" * 40_000}, ""),
        ({"text": "x" * 40_001}, "field_invalid"),
        ({"text": " \n"}, "text_empty"),
        ({"text": "x", "blocks": [{"type": "divider"}] * 50}, ""),
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, "too_many_blocks"),
        ({"text": "x", "blocks": [{"type": "what"}]}, "slack_refused"),
    ],
)
def test_what_slack_would_cut_off_or_refuse_is_set_aside(api: SlackApi, made: dict[str, Any], code: str) -> None:
    assert sent(api, made).code == code
    assert len(api.messages) == (0 if code else 1)


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (403, "invalid_token", AccessError),
        (404, "no_service", AccessError),
        (403, "action_prohibited", AccessError),
        (404, "channel_not_found", ConfigError),
        (410, "channel_is_archived", ConfigError),
    ],
)
def test_a_webhook_that_is_gone_stops_the_sync(
    api: SlackApi, status: int, word: str, kind: type[TidemillError]
) -> None:
    api.faults = [Reply(status, word.encode())]
    with pytest.raises(kind, match=word) as caught:
        sent(api, {"text": "x"})
    assert caught.value.hint


def test_an_answer_that_is_not_slacks_does_not_count(api: SlackApi) -> None:
    api.faults = [Reply(200, b"<html>sign in to the proxy</html>")]
    assert not sent(api, {"text": "x"}).code
    assert len(api.asked) == 2  # it was sent again


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com.example.com/services/T/B/x",
        "http://hooks.slack.com/services/T/B/x",
        "https://example.com/services/T/B/x",
        "https://hooks.slack.com/services/T/B",
        "https://hooks.slack.com/services/T/B/x?y",
    ],
)
def test_only_slacks_own_webhooks_are_taken(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SlackSettings(url=SecretStr(url))
    assert url not in f"{caught.value} {caught.value.hint}"


def test_an_account_is_named_without_its_secret() -> None:
    settings = SlackSettings(url=SecretStr(f"https://hooks.slack.com{PATH}"))
    assert settings.account == "T0123/B0456"
    assert "s3cr3tOfTheHook" in settings.secrets


def test_no_more_than_a_message_a_second_is_posted() -> None:
    pace = SLACK.pace(SlackSettings(url=SecretStr(f"https://hooks.slack.com{PATH}")))
    assert (pace.calls, pace.seconds) == (1, 1.0)
