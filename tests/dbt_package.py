"""Our dbt package, rendered as dbt would: enough of Jinja's side of dbt to run its models without dbt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

FOLDER = Path(__file__).parent.parent / "dbt_package"
MODELS = FOLDER / "models"


def document(name: str) -> dict[str, Any]:
    """A YAML file of the package."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return found


class Package:
    """The package with some variables. `project`, `dataset`: where models are built."""

    def __init__(self, project: str, dataset: str, variables: Mapping[str, Any]) -> None:
        self.variables = {**document("dbt_project.yml")["vars"]["tidemill"], **variables}
        self._into = (project, dataset)
        self._jinja = SandboxedEnvironment(undefined=StrictUndefined)
        self._jinja.globals |= {
            "var": self._var,
            "ref": self.relation,
            "source": self._source,
            "config": lambda **_: "",
            "target": SimpleNamespace(project=project),
        }
        macros = self._jinja.from_string((FOLDER / "macros" / "since.sql").read_text())
        self._jinja.globals["tidemill"] = macros.module
        listed = document("models/sources.yml")["sources"]
        self._sources = {(one["name"], table["name"]): (one, table) for one in listed for table in one["tables"]}

    def relation(self, name: str) -> str:
        """Where a model is built."""
        return f"`{self._into[0]}.{self._into[1]}.{name}`"

    def models(self) -> list[str]:
        """Names of all, each after those that it is made of."""
        made_of = {
            path.stem: set(re.findall(r"ref\('(\w+)'\)", path.read_text())) for path in sorted(MODELS.glob("*.sql"))
        }
        found: list[str] = []
        while len(found) < len(made_of):
            found += [name for name, others in made_of.items() if name not in found and others <= set(found)]
        return found

    def sql(self, name: str) -> str:
        """The statement of a model."""
        return self._jinja.from_string((MODELS / f"{name}.sql").read_text()).render().strip()

    def whole_sql(self, name: str) -> str:
        """The same, with the models that it is made of within it."""
        text = (MODELS / f"{name}.sql").read_text()
        return self._jinja.from_string(text).render(ref=lambda other: f"(\n{self.whole_sql(other)}\n)").strip()

    def _var(self, name: str, default: Any = None) -> Any:
        return self.variables.get(name, default)

    def _source(self, source: str, table: str) -> str:
        about, found = self._sources[source, table]
        names = about["database"], about["schema"], found.get("identifier", table)
        project, dataset, place = (self._jinja.from_string(name).render() for name in names)
        return f"`{project}.{dataset}.{place}`"
