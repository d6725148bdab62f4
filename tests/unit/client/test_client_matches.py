"""The Python client is what the description of the API says, and needs nothing of the server."""

from __future__ import annotations

import ast
import subprocess
import sys

from tests import client_writer


def test_the_client_is_that_of_the_description() -> None:
    wanted = client_writer.Writer(client_writer.described()).files()
    there = {
        str(path.relative_to(client_writer.FOLDER))
        for path in client_writer.FOLDER.rglob("*.py")
        if path.name != "core.py" and path.parent.name != "client"
    }
    assert there | {"api.py"} == set(wanted), "python -m tests.client_writer"
    for path, text in wanted.items():
        assert (client_writer.FOLDER / path).read_text() == text, f"{path}: python -m tests.client_writer"


def test_nothing_of_the_server_is_imported() -> None:
    said = "import sys, tidemill.client; print([m for m in sys.modules if m.startswith('tidemill')])"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert "tidemill.client.api" in done.stdout
    loaded = [name for name in ast.literal_eval(done.stdout) if not name.startswith("tidemill.client")]
    assert loaded == ["tidemill"]
