"""What is sent and answered: configuration. Written by tests/client_writer.py."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from tidemill.client.core import Model, Wanted
from tidemill.client.models.shared import ReasonAnswer


class AppliedAnswer(Model):
    """What was done. It stops at the first that fails; applied again, it goes on there."""

    done: list[NamedAnswer]
    failed: NamedAnswer | None = pydantic.Field(description="The step that was not done.")
    not_done: list[NamedAnswer] = pydantic.Field(description="Those that would have come after it.")
    error: ReasonAnswer | None = pydantic.Field(description="Why it stopped; null: all is done.")


class ApplyWanted(Wanted):
    """A configuration that is to be made true."""

    files: dict[str, Any] = pydantic.Field(
        description="Its files: the text of each, by a name for it. With all else that is sent, "
        "1,048,576 bytes at most."
    )
    secrets: dict[str, Any] | None = pydantic.Field(
        default=None,
        description="Secrets, each by the name to which the files refer: {env: NAME}. What is not "
        "among them stays as it is. No variable and no file of the server is read.",
        repr=False,
    )
    prune: bool = pydantic.Field(
        default=False, description="Delete what the files do not have, of the sections that they have."
    )
    plan: str = pydantic.Field(description="The id of the plan that was looked at.")
    test: bool = pydantic.Field(default=True, description="Test credentials before they are saved.")
    reset: Literal["resend", "leave"] | None = pydantic.Field(
        default=None, description="Where a mapping changes: send all rows again; or leave what was sent as it is."
    )


class ConfigurationWanted(Wanted):
    """A configuration, as it is to be."""

    files: dict[str, Any] = pydantic.Field(
        description="Its files: the text of each, by a name for it. With all else that is sent, "
        "1,048,576 bytes at most."
    )
    secrets: dict[str, Any] | None = pydantic.Field(
        default=None,
        description="Secrets, each by the name to which the files refer: {env: NAME}. What is not "
        "among them stays as it is. No variable and no file of the server is read.",
        repr=False,
    )
    prune: bool = pydantic.Field(
        default=False, description="Delete what the files do not have, of the sections that they have."
    )


class FieldAnswer(Model):
    """A field that changes. Of a secret it is said that it is one."""

    name: str
    before: Any
    after: Any


class NamedAnswer(Model):
    """What is done with a thing."""

    act: str = pydantic.Field(description="create, change or delete.")
    kind: str = pydantic.Field(description="export, sync, source model and so on.")
    name: str


class PlanAnswer(Model):
    """What would be done, in the order in which it is."""

    id: str = pydantic.Field(description="The same steps have the same. It is sent with `apply`.")
    steps: list[PlanStepAnswer]
    counts: PlanCountsAnswer
    resets: list[str] = pydantic.Field(
        description="Syncs and imports that have run, and whose mapping changes: say `reset`."
    )
    scopes: list[str] = pydantic.Field(description="What it takes to apply it.")


class PlanCountsAnswer(Model):
    """How many things are so."""

    create: int
    change: int
    delete: int
    unchanged: int = pydantic.Field(description="They are as the files have them.")
    others: int = pydantic.Field(description="The files do not have them, and they stay.")


class PlanStepAnswer(Model):
    """What would be done with a thing, field by field."""

    act: str = pydantic.Field(description="create, change or delete.")
    kind: str = pydantic.Field(description="export, sync, source model and so on.")
    name: str
    fields: list[FieldAnswer]
