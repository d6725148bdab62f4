"""The bound: uvicorn and Starlette, which read a request, unpack and parse it, and throw it away."""

from __future__ import annotations

import gzip

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


class Event(msgspec.Struct, gc=False):
    event: str
    distinct_id: str
    uuid: str | None = None
    timestamp: str | None = None
    properties: msgspec.Raw = msgspec.Raw(b"{}")


class Body(msgspec.Struct, gc=False):
    api_key: str
    batch: list[Event]


class Single(Event, gc=False):
    api_key: str = ""


_BATCH, _SINGLE = msgspec.json.Decoder(Body), msgspec.json.Decoder(Single)


async def batch(request: Request) -> JSONResponse:
    body = await request.body()
    if body[:2] == b"\x1f\x8b":
        body = gzip.decompress(body)
    assert _BATCH.decode(body).batch
    return JSONResponse({"status": "Ok"})


async def single(request: Request) -> JSONResponse:
    assert _SINGLE.decode(await request.body()).event
    return JSONResponse({"status": "Ok"})


async def ready(_: Request) -> JSONResponse:
    return JSONResponse({})


application = Starlette(
    routes=[
        Route("/ready", ready),
        Route("/batch/", batch, methods=["POST"]),
        Route("/capture/", single, methods=["POST"]),
    ]
)
