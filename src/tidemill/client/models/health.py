"""What is sent and answered: health. Written by tests/client_writer.py."""

from __future__ import annotations

import pydantic

from tidemill.client.core import Model


class CheckedAnswer(Model):
    """How one part is."""

    name: str
    status: str
    detail: str
    hint: str = pydantic.Field(description="What to do.")


class HealthAnswer(Model):
    """How the installation is."""

    status: str = pydantic.Field(description="That of the worst part.")
    checks: list[CheckedAnswer]
