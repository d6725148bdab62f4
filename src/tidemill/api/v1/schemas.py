"""Fields of requests, described and bounded as the specs say that the command line and the forms use, too."""

from __future__ import annotations

import urllib.parse
from typing import Annotated, Any

import pydantic
from fastapi import Path
from pydantic import Field

_BOUNDS = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern")
#: A name in an address: what cannot be one is refused before anybody looks for it.
NAME_PATTERN = r"^[^\x00-\x1f]+$"
#: A text to look for. What cannot be stored is refused before an answer begins that is sent as it is read: once it has,
#: nothing can be said of it any more.
STORABLE = r"^[^\x00]*$"
Name = Annotated[str, Path(min_length=1, max_length=100, pattern=NAME_PATTERN, description="Its name.")]
Id = Annotated[
    str, Path(min_length=4, max_length=36, pattern=r"^[0-9A-Fa-f-]+$", description="Its id, or the beginning of it.")
]


def of(spec: type[pydantic.BaseModel], name: str, default: Any = ..., **more: Any) -> Any:
    """A field of a request that is one of a spec. Without a default it must be given. `more`: as of pydantic's."""
    field = spec.model_fields[name]
    bounds = {
        bound: found
        for part in field.metadata
        for bound in _BOUNDS
        if (found := getattr(part, bound, None)) is not None
    }
    return Field(default, **{"description": field.description, **bounds, **more})


def address(*parts: str) -> str:
    """A path at this server, of names."""
    return "/api/v1/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)
