"""The API of each destination, for the tests that all pass: the modules of `apis`."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from tests.contract.api import Tool


def _found() -> dict[str, type[Tool]]:
    found: dict[str, type[Tool]] = {}
    for path in sorted((Path(__file__).parent / "apis").glob("*.py")):
        module = importlib.import_module(f"tests.contract.apis.{path.stem}")
        for _, made in inspect.getmembers(module, inspect.isclass):
            if issubclass(made, Tool) and made.__module__ == module.__name__ and not inspect.isabstract(made):
                found[made.destination] = made
    return found


APIS = _found()
