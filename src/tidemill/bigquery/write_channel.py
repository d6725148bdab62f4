"""The way to the Storage APIs, for writing and for reading: at Google's with TLS, at the embedded BigQuery in plain
text on this machine."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import grpc
import requests
from google.api_core.gapic_v1.client_info import ClientInfo
from google.auth.transport.requests import Request
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport

from tidemill.bigquery.client import USER_AGENT
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.bigquery.client import Client

_APPEND_ROWS = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"
HOST = "bigquerystorage.googleapis.com"
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.primary_user_agent", USER_AGENT),
]
#: A connection that died unseen is found out. Google's Java samples have a minute for both.
_ALIVE = [("grpc.keepalive_time_ms", 60_000), ("grpc.keepalive_timeout_ms", 60_000)]


def append_rows(transport: Any) -> Any:
    """The stub of AppendRows: of requests that are bytes already, and answers as protobuf has them."""
    parse = types.AppendRowsResponse.pb().FromString
    return transport.grpc_channel.stream_stream(_APPEND_ROWS, response_deserializer=parse)


class Door:
    """Channels, and the metadata that signs calls in, of one client. May be used by several threads."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._guard = threading.Lock()
        self._renewing = False
        self._new = ""

    def transport(self) -> Any:
        """A channel of its own, with Google's stubs for the calls that write. See `channel`."""
        return BigQueryWriteGrpcTransport(channel=self.channel(), client_info=ClientInfo(user_agent=USER_AGENT))

    def reading(self) -> Any:
        """The same for the calls that read."""
        return BigQueryReadGrpcTransport(channel=self.channel(), client_info=ClientInfo(user_agent=USER_AGENT))

    def channel(self) -> Any:
        """A new channel. The embedded BigQuery is asked for its address.

        Raises
        ------
        ConfigError
            The embedded BigQuery has no such API.
        """
        if not self._client.is_embedded:
            return BigQueryWriteGrpcTransport.create_channel(
                HOST, credentials=self._client.credentials(), options=[*_OPTIONS, *_ALIVE]
            )
        health = requests.get(f"{self._client.endpoint}/_tidemill/health", timeout=10).json()
        if "storage" not in health:
            raise ConfigError(
                "local_old",
                "The embedded BigQuery that runs is of an older version, without the Storage Write API.",
                hint="tidemill local stop, then tidemill local start.",
            )
        return grpc.insecure_channel(health["storage"], _OPTIONS)

    def metadata(self, about: str, value: str) -> tuple[str, list[tuple[str, str]]]:
        """The access token that a call is made with, and its metadata. Fetches a token if there is none that is good.

        `about`, `value`: by which Google routes the call to the table's region ("Storage Write API": best practices).
        """
        headers: dict[str, str] = {}
        credentials = self._client.credentials()
        with self._guard:
            credentials.before_request(Request(), "POST", self._client.endpoint, headers)
            token = str(credentials.token)
            if self._renewing:
                self._renewing, self._new = False, token
        made = [("x-goog-request-params", f"{about}={value}"), ("x-goog-api-client", USER_AGENT)]
        if self._client.is_embedded:  # at Google's, the channel does it
            made.append(("authorization", headers["authorization"]))
        return token, made

    def accepted(self, token: str) -> None:
        """BigQuery took the token."""
        if self._new == token:
            self._new = ""

    def refused(self, token: str) -> bool:
        """BigQuery did not take the token. Tells whether another is worth a try: not if this one was just fetched."""
        with self._guard:
            credentials: Any = self._client.credentials()
            if credentials.token == token:
                if token == self._new:
                    return False
                credentials.token, self._renewing = None, True
            return True
