"""What a user says of a key; validated here."""

from __future__ import annotations

import pydantic
from pydantic import Field

NAME_RULE = r"^[A-Za-z0-9][A-Za-z0-9_.\- ]{0,99}$"


class KeySpec(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A key by which SDKs may send events of one team, and do nothing else."""

    name: str = Field(pattern=NAME_RULE, description="Name of the key, by which it is revoked.")
    team_id: int = Field(ge=0, le=2**63 - 1, description="Team (project) of all events that are sent by it.")
    events_per_second: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="How many events it may send; None: as many as come."
    )
