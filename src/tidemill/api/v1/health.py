"""How the installation is: what `tidemill doctor` tells."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from fastapi import APIRouter, Depends
from pydantic import Field

from tidemill.access.permissions import Permission
from tidemill.api.v1.access import Caller, caller
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.turns import SLOWLY

router = APIRouter(prefix="/health", tags=["health"])
_Reader = Annotated[Caller, Depends(caller(Permission.HEALTH_READ))]


class CheckedAnswer(pydantic.BaseModel, from_attributes=True):
    """How one part is."""

    name: str
    status: Literal["ok", "warning", "wrong"]
    detail: str
    hint: str = Field(description="What to do.")


class HealthAnswer(pydantic.BaseModel):
    """How the installation is."""

    status: Literal["ok", "warning", "wrong"] = Field(description="That of the worst part.")
    checks: list[CheckedAnswer]


@router.get("", responses=problems_of(), dependencies=[SLOWLY])
def examine(by: _Reader) -> HealthAnswer:
    """Look at every part. One that fails does not hide the others."""
    checks = [CheckedAnswer.model_validate(check) for check in by.app.health.examine()]
    order: list[Literal["ok", "warning", "wrong"]] = ["ok", "warning", "wrong"]
    worst = max((order.index(check.status) for check in checks), default=0)
    return HealthAnswer(status=order[worst], checks=checks)
