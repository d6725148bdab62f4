"""Retries: how long, how often, and when they end. The clock is the test's own."""

from __future__ import annotations

import pytest
import requests
from google.auth import exceptions as auth
from google.cloud import exceptions as cloud
from tests.fake_bigquery import Clock

from tidemill.bigquery.errors import Target
from tidemill.bigquery.retry import LONGEST_WAIT
from tidemill.errors import AccessError, Cancelled, ConfigError, UnavailableError

TARGET = Target("project-123", "analytics", "events", "a@b.example")


class Failing:
    """Fails with these errors, one after the other, and then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def _response(status: int, body: str = "", **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response._content = body.encode()
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    response.request = requests.Request("GET", "http://127.0.0.1/").prepare()
    return response


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("reset"),
        requests.Timeout("slow"),
        requests.exceptions.ChunkedEncodingError("cut"),
        ConnectionResetError("reset"),
        auth.TransportError("token endpoint is down"),
        auth.RefreshError("503", retryable=True),
        cloud.from_http_response(_response(503, "<html>")),
        cloud.from_http_response(_response(429)),
    ],
)
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    function = Failing(error, error)
    assert Clock().policy().call(TARGET, function) == "done"
    assert function.calls == 3


def test_waits_grow_to_a_limit_and_end_at_the_deadline_with_the_cause() -> None:
    clock = Clock()
    function = Failing(*[cloud.from_http_response(_response(503)) for _ in range(1000)])
    with pytest.raises(UnavailableError) as caught:
        clock.policy(600).call(TARGET, function)
    assert clock.now <= 600
    assert clock.most[:7] == [0.5, 1, 2, 4, 8, 16, LONGEST_WAIT]
    assert max(clock.most) == LONGEST_WAIT
    assert caught.value.code == "bigquery_unavailable"
    assert f"tried for {clock.now:.0f} s" in caught.value.message


def test_retry_after_is_honoured_also_with_a_rate_limit_of_status_403() -> None:
    body = '{"error": {"message": "slow down", "errors": [{"reason": "rateLimitExceeded", "message": "slow down"}]}}'
    for status in (403, 429, 503):
        clock = Clock()
        clock.policy().call(TARGET, Failing(cloud.from_http_response(_response(status, body, Retry_After="45"))))
        assert clock.now >= 45


def test_a_rate_limit_that_lasts_is_not_reported_as_a_missing_permission() -> None:
    body = '{"error": {"message": "slow down", "errors": [{"reason": "rateLimitExceeded", "message": "slow down"}]}}'
    error = cloud.from_http_response(_response(403, body))
    with pytest.raises(UnavailableError) as caught:
        Clock().policy().call(TARGET, Failing(*[error] * 100))
    assert caught.value.code == "bigquery_unavailable"


def test_a_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    clock = Clock()
    with pytest.raises(UnavailableError):
        clock.policy(600).call(TARGET, Failing(cloud.from_http_response(_response(503, Retry_After="3600"))))
    assert clock.now == 0


def test_a_cancel_is_seen_while_it_waits() -> None:
    clock = Clock()
    function = Failing(cloud.from_http_response(_response(503, Retry_After="500")))
    with pytest.raises(Cancelled):
        clock.policy().call(TARGET, function, cancelled=lambda: clock.now > 3)
    assert clock.now < 5
    assert function.calls == 1


def test_what_will_not_pass_is_not_tried_again() -> None:
    function = Failing(cloud.from_http_response(_response(400, '{"error": {"message": "no"}}')))
    with pytest.raises(ConfigError):
        Clock().policy().call(TARGET, function)
    assert function.calls == 1


def test_a_refused_credential_is_explained() -> None:
    function = Failing(auth.RefreshError("invalid_grant: Invalid JWT Signature.", {"error": "invalid_grant"}))
    with pytest.raises(AccessError) as caught:
        Clock().policy().call(TARGET, function)
    assert caught.value.code == "credential_refused"
    assert "invalid_grant" in caught.value.raw
    assert "--iam-account=a@b.example" in caught.value.hint
    assert function.calls == 1


def test_a_refused_impersonation_names_its_permission() -> None:
    text = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
    with pytest.raises(AccessError) as caught:
        Clock().policy().call(TARGET, Failing(auth.RefreshError("Unable to acquire impersonated credentials", text)))
    assert "iam.serviceAccounts.getAccessToken" in caught.value.message
    assert "roles/iam.serviceAccountTokenCreator" in caught.value.hint


def test_a_bug_is_not_tried_again_and_not_dressed_up() -> None:
    function = Failing(KeyError("bug"))
    with pytest.raises(KeyError):
        Clock().policy().call(TARGET, function)
    assert function.calls == 1
