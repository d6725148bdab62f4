"""Describes a query in a process of its own: `python describing.py` reads what to describe, and writes what it found.

DuckDB computes what is constant in a query when it looks at it, with no regard to its memory limit, and it cannot be
interrupted there: `repeat('x', 1500000000)`. So the system bounds what this process may take. It knows no event, no
file and no secret, and imports nothing of Tidemill: it is there in a moment.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from typing import Any

_CONFIG: dict[str, Any] = {
    "memory_limit": "256MB",
    "threads": "1",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


def _main() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    limits = {resource.RLIMIT_AS: asked["bytes"], resource.RLIMIT_CPU: asked["seconds"], resource.RLIMIT_CORE: 0}
    for kind, most in limits.items():
        with contextlib.suppress(OSError, ValueError):  # not every system has each
            resource.setrlimit(kind, (most, most))
    import duckdb

    with duckdb.connect(config=_CONFIG) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("ATTACH ':memory:' AS lake")
        columns = ", ".join(f'"{name}" {kind}' for name, kind in asked["columns"])
        connection.execute(f"CREATE TABLE lake.events ({columns})")
        connection.execute("CREATE TEMP VIEW events AS SELECT * FROM lake.events")
        connection.execute("SET enable_external_access = false")
        try:
            found = connection.execute(f"DESCRIBE {asked['sql']}").fetchall()  # names as they are, and lines in errors
            connection.execute(f"DESCRIBE {asked['within']}")
        except duckdb.Error as error:
            json.dump({"error": str(error)}, sys.stdout)
        else:
            json.dump({"columns": [[str(name), str(kind)] for name, kind, *_ in found]}, sys.stdout)


if __name__ == "__main__":
    _main()
