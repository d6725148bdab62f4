"""Opens DuckDB as we use it: extensions from their wheels, never the network; bounded memory; spills at home."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import Cancelled, ConfigError, UnavailableError, without_passwords
from tidemill.settings import private_folder

if TYPE_CHECKING:
    import duckdb

    from tidemill.settings import Settings


_LOOKS_EVERY_SECONDS = 0.5
_NO_ROOM = re.compile("No space left|Disk quota exceeded|File too large|Read-only file system|Input/output error")
_NO_DATABASE = re.compile(
    "onnection to server|onnection refused|erminating connection|closed the connection|no connection to the server"
    '|urrent transaction is aborted|Failed to execute query "(COMMIT|ROLLBACK)'
)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

#: Codes of errors. BROKEN: this DuckDB answers nothing any more, and another one has to be opened.
OUT_OF_MEMORY, BROKEN = "out_of_memory", "event_store_broken"


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """What DuckDB cannot do for want of disk, memory or the catalog's PostgreSQL is raised as an UnavailableError.

    So is an error within DuckDB, after which it answers nothing: it meets some when PostgreSQL dies while several
    threads ask. Its other errors are bugs of ours, and are left as they are.
    """
    import duckdb  # 60 ms

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise UnavailableError(
            OUT_OF_MEMORY,
            "The event store needs more memory than it may use.",
            hint="Let it use more, in MB: TIDEMILL_DUCKDB_MEMORY_MB=1000",
            raw=str(error),
        ) from None
    except (duckdb.FatalException, duckdb.InternalException) as error:
        raise UnavailableError(
            BROKEN,
            "DuckDB, which reads and writes the event store, met an error of its own.",
            hint="Run the command again: it goes on where it stopped. tidemill doctor looks at the database.",
            raw=without_passwords(str(error)),
        ) from None
    except (duckdb.Error, OSError) as error:
        text = str(error)
        if no_room := _NO_ROOM.search(text):
            raise UnavailableError(
                "disk_full",
                f"The event store could not write: {no_room[0]}. Nothing is half done.",
                hint="Make room on the disk, then run the command again: it goes on where it stopped.",
                raw=text,
            ) from None
        if isinstance(error, duckdb.Error) and _NO_DATABASE.search(text):
            raise UnavailableError(
                "database_unavailable",
                "The database of the event store's catalog does not answer.",
                hint="Run the command again: it goes on where it stopped. tidemill doctor looks at the database.",
                raw=text,
            ) from None
        if without_passwords(text) != text:  # a bug is shown, with all its text
            raise type(error)(without_passwords(text)) from None
        raise


@contextlib.contextmanager
def interruptible(cursor: duckdb.DuckDBPyConnection, cancelled: Callable[[], bool]) -> Iterator[None]:
    """For the time of the block, what the cursor executes ends soon after `cancelled` says so; it raises Cancelled."""
    import duckdb  # 60 ms

    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOKS_EVERY_SECONDS):
            if cancelled():
                cursor.interrupt()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except duckdb.InterruptException:
        raise Cancelled from None
    finally:
        over.set()
        watcher.join()


def extension_file(name: str) -> Path:
    """The file of a DuckDB extension inside its wheel, for the DuckDB that is installed.

    Raises
    ------
    ConfigError
        If the wheel is missing or was made for another DuckDB.
    """
    import duckdb  # 60 ms

    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    version, wheel = duckdb.__version__, f"duckdb-extension-{name.replace('_', '-')}"
    hint = f"pip install 'duckdb=={version}' '{wheel}=={version}'"
    if spec is None or spec.origin is None:
        raise ConfigError("duckdb_extension_missing", f"The DuckDB extension {name} is not installed.", hint=hint)
    folder = Path(spec.origin).parent / "extensions" / f"v{version}"
    path = folder / f"{name}.duckdb_extension"
    if not path.exists():
        raise ConfigError(
            "duckdb_extension_version", f"The DuckDB extension {name} was made for another DuckDB.", hint=hint
        )
    return path


def _keep_memory() -> None:
    """Have glibc, where it is the system's, keep memory that is free, up to 64 MB in a place (mallopt(3)).

    By itself it gives back each large piece at once, and a stream asks for it again with every batch: half of the time
    that the system takes for a stream.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        libc.mallopt(_M_TRIM_THRESHOLD, 64 << 20)


def literal(text: str) -> str:
    """`text` as a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def connect(settings: Settings, extensions: Sequence[str] = ()) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory with DuckLake and PostgreSQL support, and more extensions if need be, that never goes over its
    memory, or onto the network by itself."""
    import duckdb  # 60 ms
    import pyarrow as pa  # 50 ms

    # Arrow's own allocator gives memory back to the system and asks for it again with every batch.
    pa.set_memory_pool(pa.system_memory_pool())
    _keep_memory()
    spill = private_folder(settings.spill_path)
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{settings.duckdb_memory_mb}MB",
        "temp_directory": str(spill),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        # Their wheels are trusted as all the code beside them is; to compute the signatures takes 0.2 s each time.
        "allow_unsigned_extensions": True,
        "preserve_insertion_order": False,
        "enable_external_file_cache": False,  # files are read once, and it would grow up to the limit
        "python_enable_replacements": False,  # a table's name must not mean a variable of ours
    }
    if settings.duckdb_threads:
        config["threads"] = settings.duckdb_threads
    connection = duckdb.connect(":memory:", config=config)
    for name in ("icu", "postgres_scanner", "ducklake", *extensions):
        connection.execute(f"LOAD {literal(str(extension_file(name)))}")
    connection.execute("SET allow_unsigned_extensions = false")  # for good: it cannot be had again
    connection.execute("SET TimeZone = 'UTC'")
    return connection
