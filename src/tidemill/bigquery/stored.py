"""Objects of Google Cloud Storage, as a connection's account sees them."""

from __future__ import annotations

import urllib.parse

import requests
from google.auth.exceptions import GoogleAuthError

from tidemill.bigquery.client import Client
from tidemill.errors import AccessError, ConfigError, NotFoundError, UnavailableError

#: The JSON API: a download of an object is `alt=media`.
HOST = "https://storage.googleapis.com"
SECONDS = 60
MOST_BYTES = 500_000_000


def read(client: Client, bucket: str, name: str, *, host: str = HOST) -> bytes:
    """An object's bytes.

    Raises
    ------
    AccessError
        The account lacks `storage.objects.get`.
    NotFoundError
        There is no such object.
    UnavailableError
        Google does not answer.
    """
    where = f"gs://{bucket}/{name}"
    path = f"/storage/v1/b/{urllib.parse.quote(bucket, safe='')}/o/{urllib.parse.quote(name, safe='')}"
    session = client.upload_session()
    asked = {"params": {"alt": "media"}, "timeout": SECONDS, "stream": True, "allow_redirects": False}
    try:
        with session.get(f"{host}{path}", **asked) as answer:  # what is not read to its end is closed
            _assert_good(answer.status_code, where, bucket, client.account)
            found = bytearray()
            for piece in answer.iter_content(1_000_000):
                found += piece
                if len(found) > MOST_BYTES:
                    said = f"{where} is larger than {MOST_BYTES:,} bytes."
                    raise ConfigError("storage_object", said, hint="Is it the right object?")
            return bytes(found)
    except (requests.RequestException, GoogleAuthError) as error:
        raise UnavailableError(
            "storage_unavailable", f"{where} cannot be read: {error}", hint="Try again later."
        ) from None
    finally:
        session.close()
        client.close()


def _assert_good(status: int, where: str, bucket: str, account: str | None) -> None:
    if status in {401, 403}:
        grant = (
            f"gcloud storage buckets add-iam-policy-binding gs://{bucket} "
            f"--member=serviceAccount:{account} --role=roles/storage.objectViewer"
        )
        raise AccessError("storage_denied", f"{where} may not be read (storage.objects.get).", hint=grant)
    if status == 404:
        raise NotFoundError("storage_object", f"There is no object {where}.", hint="Look at the bucket and the path.")
    if status != 200:
        said = f"{where} cannot be read now ({status})."
        raise UnavailableError("storage_unavailable", said, hint="Try again later.")
