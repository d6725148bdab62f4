"""Google's own client against the gate."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import Any

from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery

from tidemill.bigquery.credentials import Auth, build
from tidemill.bigquery.local.service import DEFAULT_PROJECT, LocalBigQuery


@dataclasses.dataclass
class Warehouse:
    """A dataset of the embedded BigQuery, and who asks it."""

    local: LocalBigQuery
    dataset: str

    def client(self, account: str = "tidemill-admin", **permissions: Any) -> bigquery.Client:
        """Google's client, with its own ways of retrying."""
        key = json.dumps(self.local.key(account, **permissions))
        options = {"api_endpoint": self.local.status().url}
        return bigquery.Client(DEFAULT_PROJECT, build(Auth(key)), location="EU", client_options=options)

    def session(self, account: str = "tidemill-admin") -> AuthorizedSession:
        """Plain HTTP with a token."""
        return AuthorizedSession(build(Auth(json.dumps(self.local.key(account)))))

    @property
    def address(self) -> str:
        """Where the project is."""
        return f"{self.local.status().url}/bigquery/v2/projects/{DEFAULT_PROJECT}"

    def name(self, table: str) -> str:
        """A table's name, as SQL and Google's client take it."""
        return f"{DEFAULT_PROJECT}.{self.dataset}.{table}"


def make(client: bigquery.Client, name: str, *columns: str, **fields: Any) -> bigquery.Table:
    """A table with columns such as ``a INT64`` or ``a INT64 REQUIRED``."""
    schema = [bigquery.SchemaField(*column.split(" ")) for column in columns]
    table = bigquery.Table(name, schema)
    for field, value in fields.items():
        setattr(table, field, value)
    return client.create_table(table)


def rows(client: bigquery.Client, name: str) -> list[tuple[Any, ...]]:
    """The rows of a table, sorted."""
    return sorted(tuple(row.values()) for row in client.list_rows(name))


def load_lines(client: bigquery.Client, name: str, *lines: object, **options: Any) -> bigquery.LoadJob:
    """A load job over JSON lines: objects, or text as it is."""
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return load_bytes(client, name, text.encode(), source_format="NEWLINE_DELIMITED_JSON", **options)


def load_bytes(client: bigquery.Client, name: str, content: bytes, **options: Any) -> bigquery.LoadJob:
    """A load job over the bytes of a file, as it ended."""
    job_id = options.pop("job_id", None)
    config = bigquery.LoadJobConfig(**options)
    job = client.load_table_from_file(io.BytesIO(content), name, job_id=job_id, job_config=config)
    return client.get_job(job.job_id, location=job.location)
