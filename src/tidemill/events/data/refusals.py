"""What an object store says no with, and what is to be done about it."""

from __future__ import annotations

import re

from tidemill.documents import page
from tidemill.errors import AccessError, ConfigError, NotFoundError, TidemillError, UnavailableError
from tidemill.events.data.location import Bucket

UNAVAILABLE = "event_data_unavailable"
_CODE = re.compile(r"<Code>([A-Za-z0-9]+)</Code>")
_EXPECTED = re.compile(r"expecting '([a-z0-9-]+)'|<(?:Region|Endpoint)>([a-z0-9.-]+)<")
_PAGE = page("howto/many-machines.md")
_AGAIN = "Is its address right (?endpoint=…)? Nothing was lost: the same command goes on later, a server by itself."
#: What a method needs, by Amazon's names and Google's.
_PERMISSIONS = {
    "GET": ("s3:GetObject", "storage.objects.get"),
    "HEAD": ("s3:GetObject", "storage.objects.get"),
    "PUT": ("s3:PutObject", "storage.objects.create"),
    "POST": ("s3:PutObject", "storage.objects.create"),
    "DELETE": ("s3:DeleteObject", "storage.objects.delete"),
    "LIST": ("s3:ListBucket", "storage.objects.list"),
}


def code_in(body: str) -> str:
    """The code in the body of an answer; "" if there is none."""
    found = _CODE.search(body)
    return found[1] if found else ""


def refused(bucket: Bucket, method: str, status: int, code: str, key_id: str, raw: str = "") -> TidemillError:
    """The error for an answer of the store. `method`: of HTTP, or LIST."""
    match code, status:
        case ("NoSuchBucket", _):
            return _no_bucket(bucket, raw)
        case ("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken", _):
            return _unknown(bucket, code, key_id, raw)
        case ("ExpiredToken" | "TokenRefreshRequired", _):
            return _expired(bucket, key_id, raw)
        case ("RequestTimeTooSkewed" | "RequestExpired", _):
            return clock_wrong(bucket, raw)
        case ("AuthorizationHeaderMalformed" | "PermanentRedirect", _) | (_, 301 | 307):
            return _wrong_region(bucket, raw)
        case (_, 404):
            return gone(bucket, raw)
        case (_, 401 | 403):
            return _denied(bucket, method, key_id, raw)
    if status in {400, 405, 409, 411, 412, 501}:
        said = f"{status} {code}".strip()
        hint = f"Is that an S3 server, and this its address? tidemill events store test looks closer. {_PAGE}"
        return ConfigError(
            "event_data_answer", f"The object store {bucket.endpoint} refuses a {method}: {said}.", hint=hint, raw=raw
        )
    return unavailable(bucket, f"it answers {status} {code}".strip(), raw)


def unavailable(bucket: Bucket, why: str, raw: str = "") -> UnavailableError:
    """It does not answer, or says that it cannot now."""
    return UnavailableError(
        UNAVAILABLE, f"The object store {bucket.endpoint} is not available: {why}.", hint=_AGAIN, raw=raw
    )


def gone(bucket: Bucket, raw: str = "") -> NotFoundError:
    """An object that should be there is not."""
    return NotFoundError(
        "event_data_missing",
        f"A file of the event store is not in {bucket} any more.",
        hint="Somebody deleted it, or a rule of the bucket did. Put it back, from a backup or an older version of it.",
        raw=raw,
    )


def clock_wrong(bucket: Bucket, raw: str = "") -> ConfigError:
    """The clocks differ by more than the store allows."""
    return ConfigError(
        "event_data_clock",
        f"This machine's clock differs too much from that of {bucket.endpoint}, which refuses requests.",
        hint="Set this machine's clock: timedatectl set-ntp true",
        raw=raw,
    )


def _no_bucket(bucket: Bucket, raw: str) -> ConfigError:
    return ConfigError(
        "event_data_bucket",
        f"There is no bucket {bucket.name} at {bucket.endpoint}.",
        hint="Make it, or correct TIDEMILL_EVENT_DATA (bucket, ?endpoint=…, ?region=…).",
        raw=raw,
    )


def _unknown(bucket: Bucket, code: str, key_id: str, raw: str) -> AccessError:
    why = {
        "InvalidAccessKeyId": f"does not know the access key {key_id}",
        "SignatureDoesNotMatch": f"says that the secret does not belong to the access key {key_id}",
    }.get(code, f"does not know the token of the access key {key_id}")
    return AccessError(
        "event_data_key",
        f"The object store {bucket.endpoint} {why}.",
        hint="Give the right one: tidemill events store set. Which one is used: tidemill events store show",
        raw=raw,
    )


def _expired(bucket: Bucket, key_id: str, raw: str) -> UnavailableError:
    """Of a role there is a new one by now."""
    return UnavailableError(
        "event_data_token",
        f"The object store {bucket.endpoint} says that the token of the access key {key_id} has expired.",
        hint="With a role, the next try has another one. If AWS_SESSION_TOKEN is set: get another, or a lasting key.",
        raw=raw,
    )


def _wrong_region(bucket: Bucket, raw: str) -> ConfigError:
    found = _EXPECTED.search(raw)
    where = (found[1] or found[2]) if found else "REGION"
    return ConfigError(
        "event_data_region",
        f"The bucket {bucket.name} is not in {bucket.region}.",
        hint=f"Say where it is: TIDEMILL_EVENT_DATA='{bucket.url}?region={where}'",
        raw=raw,
    )


def _denied(bucket: Bucket, method: str, key_id: str, raw: str) -> AccessError:
    amazon, google = _PERMISSIONS.get(method, _PERMISSIONS["GET"])
    permission = google if bucket.scheme == "gs" else amazon
    return AccessError(
        "event_data_permission",
        f"The access key {key_id} may not do that in {bucket}: {permission} is missing.",
        hint=f"Grant it; all that is needed, as a policy: {_PAGE}",
        raw=raw,
    )
