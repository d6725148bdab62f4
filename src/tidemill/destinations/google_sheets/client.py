"""Requests to Google Sheets.

Each request is done as a whole or not at all. Rows are looked up by their keys before each batch, for people insert and
sort rows meanwhile.

Sources: research on reverse ETL, section 3.3 (Google Sheets); Google's documentation, "Sheets API", "Usage limits".
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations import answers
from tidemill.destinations.google_sheets import cells
from tidemill.destinations.google_sheets.signin import Tokens
from tidemill.destinations.port import BatchRefused, Outlet
from tidemill.errors import AccessError, ConfigError, RetryableError
from tidemill.outbound import network
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.google_sheets.config import GoogleSheetsSettings

_GOOGLE = "https://sheets.googleapis.com"
_encoder = msgspec.json.Encoder()
#: What Google allows is counted by the minute; it does not say when to come again.
_BUSY_SECONDS = 15.0


@dataclasses.dataclass(frozen=True)
class Table:
    """What is in a sheet: names of its columns, and by each key the numbers of its rows, from 1."""

    header: list[str]
    rows: dict[tuple[str, ...], list[int]]


@dataclasses.dataclass(frozen=True)
class _Grid:
    id: int
    rows: int
    columns: int


class GoogleSheetsClient:
    """See port.Client. One batch at a time."""

    def __init__(self, settings: GoogleSheetsSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http
        self._tokens = Tokens(settings.key, settings.endpoint, outlet.http)
        self._url = f"{settings.endpoint or _GOOGLE}/v4/spreadsheets/{settings.spreadsheet}"
        self._headers: dict[str, list[str]] = {}

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: GoogleSheetsSettings, outlet: Outlet) -> Iterator[GoogleSheetsClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """See port.Client."""
        found = self._asked("GET", "?fields=properties.title,sheets.properties.title")
        sheets = ", ".join(str(one["properties"]["title"]) for one in found.get("sheets", ()))
        return f"{self._settings.account} reads {found['properties']['title']!r}, with the sheets: {sheets}."

    def table(self, sheet: str, key: Sequence[str], columns: Sequence[str], *, makes: bool) -> Table:
        """What is in a sheet now. `makes`: columns that it lacks are made."""
        header = self._headers.get(sheet) or self._read(sheet, ["1:1"])[0]
        for _ in range(2):
            header = self._completed(sheet, _names(header), [*key, *columns], makes=makes)
            letters = [cells.letters(header.index(name)) for name in key]
            found = self._read(sheet, ["1:1", *(f"{letter}2:{letter}" for letter in letters)])
            if _names(found[0]) == header:
                break
            header = found[0]  # somebody has changed it
        else:
            raise RetryableError("sheet_changes", f"The columns of {sheet} are being changed.", hint="Wait a moment.")
        self._headers[sheet] = header
        rows: dict[tuple[str, ...], list[int]] = {}
        length = max(map(len, found[1:]), default=0)
        padded = [[*column, *[""] * (length - len(column))] for column in found[1:]]
        for number, values in enumerate(zip(*padded, strict=True), start=2):
            rows.setdefault(cells.known_by(values), []).append(number)
        return Table(header, rows)

    def update(self, sheet: str, rows: Sequence[tuple[int, list[Any]]]) -> None:
        """Write cells of rows that are there; null leaves one as it is."""
        data = [{"range": cells.name(sheet, f"A{number}"), "values": [values]} for number, values in rows]
        self._asked("POST", "/values:batchUpdate", {"valueInputOption": "RAW", "data": data})

    def append(self, sheet: str, rows: Sequence[list[Any]]) -> None:
        """Insert rows below the last one."""
        place = urllib.parse.quote(cells.name(sheet, "A1"), safe="")
        how = "valueInputOption=RAW&insertDataOption=INSERT_ROWS"
        self._asked("POST", f"/values/{place}:append?{how}", {"values": rows})

    def delete(self, sheet: str, numbers: Sequence[int]) -> None:
        """Delete rows."""
        grid = self._grid(sheet)
        requests: list[dict[str, Any]] = []
        ranges = cells.ranges(numbers)
        if grid.rows - sum(last - first + 1 for first, last in ranges) < 2:  # a sheet keeps a row below its header
            requests.append(_more(grid, "ROWS", 1))
        for first, last in ranges:
            place = {"sheetId": grid.id, "dimension": "ROWS", "startIndex": first - 1, "endIndex": last}
            requests.append({"deleteDimension": {"range": place}})
        self._asked("POST", ":batchUpdate", {"requests": requests})

    def _completed(self, sheet: str, header: list[str], names: Sequence[str], *, makes: bool) -> list[str]:
        """The header with all columns of these names."""
        named = [name for name in header if name]
        if len(set(named)) < len(named) or (named and not header[0]):
            raise ConfigError(
                "sheet_header",
                f"Row 1 of {sheet} does not begin with a name, or has one twice.",
                hint="Name the columns there, from A on, each once.",
            )
        lacking = [name for name in dict.fromkeys(names) if name not in header]
        if not lacking:
            return header
        if not makes:
            raise ConfigError(
                "sheet_column", f"{sheet} has no column {lacking[0]!r} in row 1.", hint="Write its name there."
            )
        grid, wanted = self._grid(sheet), len(header) + len(lacking)
        if wanted > grid.columns:
            self._asked("POST", ":batchUpdate", {"requests": [_more(grid, "COLUMNS", wanted - grid.columns)]})
        self.update(sheet, [(1, [*[None] * len(header), *lacking])])
        return [*header, *lacking]

    def _read(self, sheet: str, places: Sequence[str]) -> list[list[Any]]:
        """Values of ranges, of one row or one column each."""
        named = [("ranges", cells.name(sheet, place)) for place in places]
        asked = urllib.parse.urlencode([*named, ("valueRenderOption", "UNFORMATTED_VALUE")])
        found = self._asked("GET", f"/values:batchGet?{asked}")
        columns = [one.get("values", []) for one in found["valueRanges"]]
        first = columns[0][0] if columns[0] else []
        return [first, *[[values[0] if values else "" for values in column] for column in columns[1:]]]

    def _grid(self, sheet: str) -> _Grid:
        found = self._asked("GET", "?fields=sheets.properties(sheetId,title,gridProperties(rowCount,columnCount))")
        for one in found.get("sheets", ()):
            told = one["properties"]
            if told["title"] == sheet:
                size = told.get("gridProperties", {})
                return _Grid(told.get("sheetId", 0), size.get("rowCount", 0), size.get("columnCount", 0))
        raise _no_sheet(sheet)

    def _asked(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._answered(method, path, body)
        if answer.status == 401:  # a token may end before its time
            self._tokens.forget()
            answer = self._answered(method, path, body)
        self._checked(answer)
        return answers.told(answer, "Google Sheets", self._settings.secrets)

    def _answered(self, method: str, path: str, body: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self._tokens.token()}"}
        said = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            said = _encoder.encode(body)
        return self._http.request(method, f"{self._url}{path}", headers=headers, body=said)

    def _checked(self, answer: Answer) -> None:
        if answer.good:
            return
        said = _said(answer, self._settings.secrets)
        told = f"Google Sheets answers {answer.status}: {said}."
        if answer.status == 429:
            raise RetryableError(
                "destination_busy", told, hint="It is tried again.", after=answer.after or _BUSY_SECONDS
            )
        if answer.status == 400:
            raise _of_request(said, told)
        answers.checked(
            answer,
            "Google Sheets",
            self._settings.secrets,
            hint=f"Share the spreadsheet with {self._settings.account} as an editor, and enable the Google Sheets API "
            "in its project.",
        )


def _names(header: Sequence[Any]) -> list[str]:
    return [name.strip() if isinstance(name, str) else cells.known_by([name])[0] for name in header]


def _more(grid: _Grid, dimension: str, number: int) -> dict[str, Any]:
    return {"appendDimension": {"sheetId": grid.id, "dimension": dimension, "length": number}}


def _of_request(said: str, told: str) -> Exception:
    """Our error for a request that is refused, by Google's words."""
    if "Unable to parse range" in said:
        return _no_sheet(said.rpartition(": ")[2])
    if "number of cells" in said or "above the limit" in said:
        return ConfigError(
            "sheet_full", told, hint="A spreadsheet holds ten million cells. Delete some, or take another."
        )
    if "exceeds grid limits" in said:
        return RetryableError("sheet_changes", told, hint="Somebody has deleted rows meanwhile. It is tried again.")
    if "protected" in said:
        return AccessError("destination_denied", told, hint="Let the service account edit that range.")
    return BatchRefused("destination_refused", told)


def _no_sheet(sheet: str) -> ConfigError:
    return ConfigError("sheet_unknown", f"The spreadsheet has no sheet {sheet}.", hint="Make it, or correct the name.")


def _said(answer: Answer, secrets: Sequence[str]) -> str:
    found = answer.json()
    error = found.get("error") if isinstance(found, dict) else None
    said = error.get("message") if isinstance(error, dict) else None
    return network.plain(said if isinstance(said, str) else json.dumps(found)[:500], secrets).rstrip(".")
