"""Bodies of requests."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from tidemill.bigquery.local.answers import Refusal

_MAX_BODY = 64 * 1024 * 1024


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object in a body. Raises Refusal (400, 413)."""
    body = await request.body()
    if len(body) > _MAX_BODY:
        raise Refusal(413, "invalid", "Request Entity Too Large")
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        raise Refusal(400, "parseError", "Parse Error") from None
    if not isinstance(found, dict):
        raise Refusal(400, "parseError", "Parse Error")
    return found
