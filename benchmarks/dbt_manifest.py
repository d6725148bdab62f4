"""How long a manifest of 600 models takes to be read, and how much memory: `python benchmarks/dbt_manifest.py`.

The manifest is one that dbt 1.9 wrote, with its models and their tests copied until there are 600: each of 30 columns that
are described, and of some 16 kB of SQL, raw and compiled, as grown projects have them. Each reading is a fresh process, of
which the time and the greatest resident set are taken (Linux). Writes docs/benchmarks-dbt.md.
"""

from __future__ import annotations

import copy
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "tests" / "data" / "dbt" / "v12_manifest_1.9.json.gz"
PAGE = ROOT / "docs" / "benchmarks-dbt.md"
MODELS, COLUMNS, ROUNDS = 600, 30, 7
MOST_SECONDS, MOST_MB = 2.0, 300
SQL = (
    "select {n} as id, customers.first_name, orders.order_date, payments.amount from {{{{ ref('stg_orders') }}}}\n" * 75
)
READ = """
import sys
from pathlib import Path
from tidemill.dbt import manifest
found = manifest.read(Path(sys.argv[1]).read_bytes())
assert len([m for m in found.models.values() if m.keys]) >= 600, len(found.models)
"""
KEPT = """
import sys
from pathlib import Path
from tidemill.dbt import packing
assert len(packing.unpack(Path(sys.argv[1]).read_bytes(), None).models) >= 600
"""
PLAIN = "import json, sys; json.load(open(sys.argv[1], 'rb'))\n"
#: The greatest resident set of a process, in kB. (That of getrusage counts who began it, too.)
SAID = """
from pathlib import Path
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
"""
IMPORTS = "from tidemill.dbt import manifest, packing\n"


def project() -> dict[str, Any]:
    """The manifest."""
    whole: dict[str, Any] = json.loads(gzip.decompress(TEMPLATE.read_bytes()))
    model = next(node for node in whole["nodes"].values() if node["unique_id"].endswith(".customers"))
    tests = [node for node in whole["nodes"].values() if node.get("attached_node") == model["unique_id"]]
    for number in range(MODELS):
        name = f"model_{number:03d}"
        made = copy.deepcopy(model)
        made |= {"unique_id": f"model.shop.{name}", "name": name, "alias": name}
        made["relation_name"] = f"`prod-1`.`marts`.`{name}`"
        made["raw_code"] = made["compiled_code"] = SQL.format(n=number)
        column = next(iter(model["columns"].values()))
        made["columns"] |= {
            f"column_{n}": {**column, "name": f"column_{n}", "description": f"What column {n} of {name} is. " * 2}
            for n in range(COLUMNS - len(made["columns"]))
        }
        whole["nodes"][made["unique_id"]] = made
        for test in tests:
            copied = copy.deepcopy(test)
            copied |= {"unique_id": f"{test['unique_id']}_{name}", "attached_node": made["unique_id"]}
            copied["depends_on"]["nodes"] = [made["unique_id"]]
            whole["nodes"][copied["unique_id"]] = copied
            whole["child_map"].setdefault(made["unique_id"], []).append(copied["unique_id"])
    return whole


def measured(code: str, file: Path) -> tuple[float, float]:
    """Seconds and MB of a fresh process; the median time, and the greatest memory."""
    seconds, memory = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code + SAID, str(file)], check=True, capture_output=True, text=True
        )
        seconds.append(time.perf_counter() - began)
        memory.append(int(done.stdout) * 1.024 / 1000)
    return statistics.median(seconds), max(memory)


def packed(manifest: Path, into: Path) -> None:
    """What is kept of it in the database."""
    from tidemill.dbt import packing

    into.write_bytes(packing.pack(manifest.read_bytes(), None)[0])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        manifest, kept = Path(folder) / "manifest.json", Path(folder) / "kept"
        whole = project()
        manifest.write_text(json.dumps(whole))
        del whole
        packed(manifest, kept)
        nothing, read = measured(IMPORTS, manifest), measured(READ, manifest)
        again, plain = measured(KEPT, kept), measured(PLAIN, manifest)
        size, small = manifest.stat().st_size / 1e6, kept.stat().st_size / 1e3
    verdict = "met" if read[0] < MOST_SECONDS and read[1] < MOST_MB else "**missed**"
    PAGE.write_text(
        f"""# Manifests of dbt, measured

`python benchmarks/dbt_manifest.py`, on {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}. A `manifest.json` of {size:.0f} MB: {MODELS} models of {COLUMNS} described columns each, with their
tests, in the form in which dbt 1.9 writes them. Each row is a fresh process, from its start to its end; the median of {ROUNDS}, and the most memory of any (resident set).

| what | seconds | MB |
|---|---|---|
| Python and what reads manifests, without any | {nothing[0]:.2f} | {nothing[1]:.0f} |
| the manifest is read: models, columns, keys, tests | **{read[0]:.2f}** | **{read[1]:.0f}** |
| it is known already: what is kept of it ({small:.0f} kB) is read | {again[0]:.2f} | {again[1]:.0f} |
| for comparison: `json.load` alone | {plain[0]:.2f} | {plain[1]:.0f} |

The goal was {MOST_SECONDS:.0f} s and {MOST_MB} MB: {verdict}.
"""
    )
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
