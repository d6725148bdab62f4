"""Configurations for tests: planned and applied as the command line does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tidemill.app import App
from tidemill.configuration.service import Applied, Configuration, Plan, Text
from tidemill.errors import ConfigError

FILE = "tidemill.yaml"


def given(text: str, folder: Path | None = None) -> list[Text]:
    """A file of that text."""
    return [Text(FILE, text, folder or Path.cwd())]


def planned(app: App, text: str, **options: Any) -> Plan:
    """What would be done."""
    return Configuration(app).plan(given(text), **options)


def said(plan: Plan) -> list[str]:
    """Its steps, in short."""
    return [f"{step.act.value} {step.title}" for step in plan.steps]


def changes(plan: Plan) -> dict[str, tuple[Any, Any]]:
    """What changes, by names of fields."""
    return {field.name: (field.before, field.after) for step in plan.steps for field in step.fields}


def applied(app: App, text: str, *, prune: bool = False, **options: Any) -> Applied:
    """It is done, and nothing fails."""
    found = tried(app, text, prune=prune, **options)
    if found.error is not None:
        raise found.error
    return found


def tried(app: App, text: str, *, prune: bool = False, **options: Any) -> Applied:
    """It is done as far as it can be."""
    configuration = Configuration(app)
    return configuration.apply(configuration.plan(given(text), prune=prune), by="tester", **options)


def exported(app: App) -> str:
    """What the installation says of itself."""
    return Configuration(app).text()


def problems(app: App, text: str, **options: Any) -> list[str]:
    """What is wrong with a file, by line and column."""
    try:
        planned(app, text, **options)
    except ConfigError as error:
        assert error.code == "configuration_invalid"
        return [line.removeprefix(f"{FILE}:") for line in error.message.splitlines()[1:]]
    return []
