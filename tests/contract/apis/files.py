"""A bucket: moto's, behind a gate that verifies each signature."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import re
from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from tests.contract.api import Api, Asked, Reply
from werkzeug.test import Client

KEY, SECRET, REGION = "AKIACONTRACT", "s3cr3t-of-the-contract", "eu-central-1"
_names = itertools.count()
_SIGNED = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/s3/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]+)")


class FilesApi(Api):
    """See the module. Nothing that is in an object is a reason to refuse it."""

    destination = "files"

    def __init__(self) -> None:
        super().__init__()
        self._moto = Client(DomainDispatcherApplication(create_backend_app))
        self.bucket = f"contract-{next(_names)}"
        place = (
            f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        )
        assert self._passed(Asked("PUT", f"/{self.bucket}", {}, _signed_for("PUT"), place.encode())).status == 200

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {
            "place": f"s3://{self.bucket}/from/tidemill",
            "key_id": KEY,
            "secret": SECRET if good else "wrong-secret",
            "region": REGION,
            "endpoint": self.url,
        }

    def fields(self, action: str, number: int) -> dict[str, Any]:  # noqa: ARG002
        """See Api."""
        return {"folder": "people=all", "columns": {"email": f"p{number}@example.com", "n": number, "none": None}}

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:  # noqa: ARG002
        """See Api."""
        return None

    def mark(self, action: str, number: int) -> Any:  # noqa: ARG002
        """See Api."""
        return f"p{number}@example.com"

    def taken(self, action: str) -> Sequence[Any]:
        """See Api."""
        found = [rows(name, body) for name, body in self.objects().items() if f".{action}" in name]
        return [row["email"] for each in found for row in each]

    def objects(self) -> dict[str, bytes]:
        """All, by name."""
        listed = self._passed(Asked("GET", f"/{self.bucket}", {"list-type": "2"}, _signed_for("GET"), b"")).body
        names = [name.decode() for name in re.findall(rb"<Key>([^<]+)</Key>", listed)]
        return {
            name: self._passed(Asked("GET", f"/{self.bucket}/{name}", {}, _signed_for("GET"), b"")).body
            for name in names
        }

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        return len(rows(asked.path, asked.body)) if asked.method == "PUT" else None

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if code := self._problem(asked):
            said = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>No.</Message></Error>"
            return Reply(403, said.encode(), {"Content-Type": "application/xml"})
        return self._passed(asked)

    def _passed(self, asked: Asked) -> Reply:
        answer = self._moto.open(
            asked.path,
            method=asked.method,
            query_string=asked.query,
            headers=[(name, value) for name, value in asked.headers.items() if name != "content-length"],
            data=asked.body,
            base_url=self.url,
        )
        return Reply(answer.status_code, answer.get_data(), {"Content-Type": "application/xml"})

    def _problem(self, asked: Asked) -> str | None:
        """Why it is refused, as S3 calls it. The signature is made again, of what came."""
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        found = _SIGNED.search(asked.headers.get("authorization", ""))
        if found is None:
            return "AccessDenied"
        if found[1] != KEY:
            return "InvalidAccessKeyId"
        query = "&".join(f"{name}={value}" for name, value in sorted(asked.query.items()))
        headers = {name: asked.headers[name] for name in found[3].split(";")}
        url = f"{self.url}{asked.path}" + (f"?{query}" if query else "")
        request = AWSRequest(asked.method, url, headers=headers, data=asked.body)
        request.context["timestamp"] = asked.headers["x-amz-date"]
        auth = S3SigV4Auth(Credentials(KEY, SECRET), "s3", found[2])
        signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        return None if signature == found[4] else "SignatureDoesNotMatch"


def rows(name: str, body: bytes) -> list[dict[str, Any]]:
    """Those of a file."""
    if name.endswith(".gz"):
        name, body = name.removesuffix(".gz"), gzip.decompress(body)
    if name.endswith(".parquet"):
        found: list[dict[str, Any]] = pq.read_table(io.BytesIO(body)).to_pylist()
        return found
    if name.endswith(".csv"):
        return list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    return [json.loads(line) for line in body.splitlines()]


def _signed_for(method: str) -> dict[str, str]:  # noqa: ARG001 - moto lets everybody in
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/{REGION}/s3/aws4_request"}
