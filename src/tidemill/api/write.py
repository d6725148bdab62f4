"""The writer of a server, as a process: ``python -m tidemill.api.write SOCKET``."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tidemill.api import child, folders
from tidemill.api.child import Child
from tidemill.settings import current


def main() -> None:
    """Entry point of the process."""
    from tidemill.serving import capture_writer

    child.enter()
    path = Path(sys.argv[1])
    path.unlink(missing_ok=True)  # of a writer that was killed: the same for all writers of a server
    with child.told(), capture_writer(current(), path) as writer:
        threading.Thread(target=writer.run, daemon=True).start()
        child.ready()


@contextlib.contextmanager
def writing() -> Iterator[Path]:
    """A writer, for the time of the block. Gives the socket where it answers."""
    with folders.folder() as folder:
        path = folder / "writer"
        writer = Child("writer", "tidemill.api.write", [str(path)])
        writer.start()
        try:
            yield path
        finally:
            writer.stop()


if __name__ == "__main__":
    main()
