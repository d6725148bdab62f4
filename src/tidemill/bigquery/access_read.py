"""Whether rows may be read by the Storage Read API: a read session is made, and nothing is read."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from tidemill.bigquery import sql
from tidemill.bigquery.grants_source import FAST
from tidemill.bigquery.jobs import ONCE
from tidemill.bigquery.sql import Place
from tidemill.bigquery.write_channel import Door
from tidemill.errors import NotFoundError

if TYPE_CHECKING:
    from tidemill.bigquery.client import Client

_TIMEOUT = 60.0


def of_table(client: Client, table: Place) -> None:
    """Make a read session of a table.

    Raises
    ------
    AccessError
        The permission for it is missing.
    """
    waits = client.policy.waits(client.cancelled)
    while True:
        try:
            return _session(client, table)
        except NotFoundError as error:  # for a while after a table was made, it may not be found
            waits(error)


def of_result(client: Client) -> None:
    """Make a read session of what a statement gave. Raises as `of_table`, and what the statement does."""
    job_id = f"tidemill_test_{secrets.token_hex(12)}"
    client.query(sql.nothing(), job_id=job_id)
    target = client.target("bigquery.jobs.create")
    job = client.policy.call(
        target, lambda: client.google().get_job(job_id, location=client.location, **ONCE), client.cancelled
    )
    into = job.destination
    with contextlib.suppress(NotFoundError):  # the embedded BigQuery has no such table; who may not, is told before
        _session(client, (into.project, into.dataset_id, into.table_id))


def _session(client: Client, table: Place) -> None:
    project, dataset, name = table
    request = types.CreateReadSessionRequest(
        parent=f"projects/{client.project}",
        read_session=types.ReadSession(
            table=f"projects/{project}/datasets/{dataset}/tables/{name}", data_format=types.DataFormat.ARROW
        ),
        max_stream_count=1,
    )
    with _calls(client, request.read_session.table) as (transport, metadata):
        client.policy.call(
            client.target(FAST),
            lambda: transport.create_read_session(request, timeout=_TIMEOUT, metadata=metadata),
            client.cancelled,
        )


@contextlib.contextmanager
def _calls(client: Client, table: str) -> Iterator[tuple[Any, list[tuple[str, str]]]]:
    """Google's stubs on a channel of their own, and the metadata that signs in."""
    door = Door(client)
    target = client.target(FAST)
    _, metadata = client.policy.call(target, lambda: door.metadata("read_session.table", table), client.cancelled)
    opened = client.policy.call(target, door.transport, client.cancelled)
    try:
        yield BigQueryReadGrpcTransport(channel=opened.grpc_channel), metadata
    finally:
        opened.close()
