"""Checks SQL text with Google's own analyzer: syntax, names, types and functions.

The analyzer is compiled from WebAssembly, which takes some 20 seconds: once, and what comes of it is kept beside the
installed packages.
"""

from __future__ import annotations

import fcntl
import functools
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KEPT = Path(sys.prefix) / "zetasql"


@functools.cache
def _options() -> Any:
    from wasmtime import Config
    from zetasql import types
    from zetasql.core import wasm_client

    _KEPT.mkdir(exist_ok=True)
    said = _KEPT / "cache.toml"

    def keeping() -> Config:
        config = Config()
        config.cache = str(said)
        return config

    wasm_client.Config = keeping
    with (_KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # or each process of the tests would compile it at the same time
        said.write_text(f"[cache]\ndirectory = {json.dumps(str(_KEPT / 'compiled'))}\n")
        return types.LanguageOptions.maximum_features()


def analyze(sql: str, tables: Mapping[str, Mapping[str, str]]) -> Any:
    """The resolved statement.

    `tables` are named as the SQL names them, without the backticks, each with its columns: name to GoogleSQL type.

    Raises
    ------
    AssertionError
        With the analyzer's message and the statement, if that is not valid.
    """
    from zetasql import api, core, types

    options = _options()
    functions = types.ZetaSQLBuiltinFunctionOptions(language_options=options)
    catalog = api.CatalogBuilder("bigquery").with_builtin_functions(functions)
    for name, columns in tables.items():
        table = api.TableBuilder(name)
        for column, kind in columns.items():
            element = kind.removeprefix("ARRAY<").removesuffix(">")
            simple = getattr(types.TypeKind, f"TYPE_{ {'FLOAT64': 'DOUBLE'}.get(element, element) }")
            array = api.TypeFactory.create_array_type(api.TypeFactory.create_simple_type(simple))
            table.add_column(column, array if element != kind else simple)
        catalog.add_table(table.build())
    analyzer = api.Analyzer(types.AnalyzerOptions(language_options=options), catalog.build())
    try:
        return analyzer.analyze_statement(sql)
    except core.exceptions.ServerError as error:
        raise AssertionError(f"{error}\n{sql}") from None
