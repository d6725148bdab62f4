"""Whose rows an import takes, as `tidemill import create` is told it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tidemill.cli import imports_view
from tidemill.cli.model_source import rows_of, size_of

if TYPE_CHECKING:
    import datetime as dt

_ROWS = ("key", "sql", "sql_file", "table")
_GA4 = ("since", "no_intraday")
#: All that says something of a source model that is made for the import.
_OWN = ("connection", "ga4", *_ROWS, *_GA4, "max_bytes_billed")


def of(given: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, dt.date | None, bool] | None]:
    """Fields of the source model that is made for an import; and of an export of Google Analytics 4 its dataset, the
    first day, and whether tables of days that are not over are read.

    Raises
    ------
    ConfigError
        Options are given that do not belong together, or no key.
    """
    from tidemill.errors import ConfigError

    if given["model"] is not None:
        hint = "Leave it out: the model says it. A limit for the import: tidemill import edit NAME --max-bytes-billed"
        _assert_none(given, _OWN, "Beside --model there is no {}.", hint)
        return {}, None
    limit = {"max_bytes_billed": size_of(given["max_bytes_billed"])}
    if given["ga4"] is not None:
        hint = "Leave it out: all rows of the export are read, and their key is made."
        _assert_none(given, _ROWS, "Beside --ga4 there is no {}.", hint)
        return limit, (given["ga4"], imports_view.day(given["since"]), not given["no_intraday"])
    hint = "Leave it out, or name the export: --ga4 analytics_123456"
    _assert_none(given, _GA4, "Without --ga4 there is no {}.", hint)
    if not given["key"]:
        hint = "Name the columns by which a row is known: --key id; repeat it, if several are needed."
        raise ConfigError("model_key", "No key is named.", hint=hint)
    rows = rows_of(given["sql"], given["sql_file"], given["table"])
    return {**rows, "key": tuple(given["key"]), **limit}, None


def _assert_none(given: Mapping[str, Any], fields: Iterable[str], message: str, hint: str) -> None:
    from tidemill.errors import ConfigError

    if named := [f"--{field.replace('_', '-')}" for field in fields if given[field] not in (None, False, [], ())]:
        raise ConfigError("import_source", message.format(" and no ".join(named)), hint=hint)
