"""A spreadsheet, and the server that gives tokens to service accounts."""

from __future__ import annotations

import base64
import functools
import json
import re
import time
import urllib.parse
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tests.contract.api import Api, Asked, Reply

ID, EMAIL = "1spreadsheet_of-the-contract", "mill@project.iam.gserviceaccount.com"
_RANGE = re.compile(r"'((?:[^']|'')+)'!(?:(\d+):(\d+)|([A-Z]+)(\d+)(?::([A-Z]+))?)")
_SCOPE = "https://www.googleapis.com/auth/spreadsheets"


@functools.cache
def private_key(number: int) -> rsa.RSAPrivateKey:
    """Made once, for it takes a moment."""
    del number
    return rsa.generate_private_key(65_537, 2048)


def key(number: int = 0) -> str:
    """A service account's key; that of number 0 is good."""
    pem = private_key(number).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return json.dumps({"type": "service_account", "client_email": EMAIL, "private_key": pem.decode()})


class Sheet:
    """One sheet: its cells, and its size."""

    def __init__(self, number: int, header: Sequence[str], rows: int = 100, columns: int = 26) -> None:
        self.id, self.rows, self.columns = number, rows, columns
        self.cells: list[list[Any]] = [list(header)] if header else []

    def set(self, row: int, values: Sequence[Any]) -> bool:
        """Write cells of a row, from 1; null leaves one as it is. False: there are no such cells."""
        if row > self.rows or len(values) > self.columns:
            return False
        while len(self.cells) < row:
            self.cells.append([])
        found = self.cells[row - 1]
        found += [""] * (len(values) - len(found))
        for index, value in enumerate(values):
            if value is not None:
                found[index] = value
        return True

    def dicts(self) -> list[dict[str, Any]]:
        """Rows by the names of columns, without those that are empty."""
        if not self.cells:
            return []
        head = self.cells[0]
        return [
            dict(zip(head, [*row, *[""] * len(head)], strict=False)) for row in self.cells[1:] if {*row} - {"", None}
        ]


class GoogleSheetsApi(Api):
    """See the module. It refuses no row that passes our checks; `most_cells`: of the spreadsheet."""

    destination = "google_sheets"

    def __init__(self) -> None:
        super().__init__()
        self.sheets = {
            "people": Sheet(0, ["id", "email"]),
            "it's a log": Sheet(7, ["email", "tidemill_id"]),
        }
        self.most_cells = 10_000_000
        self.tokens: set[str] = set()

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {"key": key(0 if good else 1), "spreadsheet": ID, "endpoint": self.url}

    def fields(self, action: str, number: int) -> dict[str, Any]:
        """See Api."""
        columns = {"email": f"p{number}@example.com"}
        if action == "append":
            return {"sheet": "it's a log", "columns": columns, "identity": "tidemill_id"}
        return {"sheet": "people", "key": {"id": number}, "columns": columns}

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:  # noqa: ARG002
        """See Api."""
        return None

    def mark(self, action: str, number: int) -> Any:  # noqa: ARG002
        """See Api."""
        return f"p{number}@example.com"

    def taken(self, action: str) -> Sequence[Any]:
        """See Api."""
        return [row["email"] for row in self.sheets["it's a log" if action == "append" else "people"].dicts()]

    def forgets(self, action: str) -> bool:
        """See Api."""
        return action == "upsert"

    def delivers(self, asked: Asked) -> bool:
        """See Api."""
        return asked.method == "POST" and asked.path != "/token"

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        return len(asked.json()["values"]) if asked.path.endswith(":append") else None

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if asked.path == "/token":
            return self._token(asked)
        if asked.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return _refused(401, "Request had invalid authentication credentials.")
        path = urllib.parse.unquote(asked.path).removeprefix(f"/v4/spreadsheets/{ID}")
        if path == urllib.parse.unquote(asked.path):
            return _refused(404, "Requested entity was not found.")
        try:
            if path == "/values:batchGet":
                return self._get(asked)
            if path == "/values:batchUpdate":
                return self._update(asked.json())
            if path.endswith(":append"):
                return self._append(path.removeprefix("/values/").removesuffix(":append"), asked)
            return self._batch(asked.json()["requests"]) if path == ":batchUpdate" else self._told()
        except KeyError as error:
            return _refused(400, f"Unable to parse range: {error.args[0]}")

    def _token(self, asked: Asked) -> Reply:
        given = dict(urllib.parse.parse_qsl(asked.body.decode()))
        signed, _, signature = given["assertion"].rpartition(".")
        said = json.loads(_decoded(signed.partition(".")[2]))
        try:
            private_key(0).public_key().verify(
                _decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return Reply(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        good = said["aud"] == "https://oauth2.googleapis.com/token" and said["scope"] == _SCOPE and said["iss"] == EMAIL
        if not good or not said["iat"] <= time.time() < said["exp"] <= said["iat"] + 3_600:
            return Reply(400, {"error": "invalid_grant", "error_description": "Invalid JWT."})
        token = f"token-{len(self.tokens)}"
        self.tokens.add(token)
        return Reply(200, {"access_token": token, "expires_in": 3_599, "token_type": "Bearer"})

    def _get(self, asked: Asked) -> Reply:
        found = []
        for place in asked.lists["ranges"]:
            sheet, match = self._place(place)
            if match[2]:
                values = [sheet.cells[int(match[2]) - 1]] if len(sheet.cells) >= int(match[2]) else []
            else:
                index, first = _index(match[4]), int(match[5])
                values = [row[index : index + 1] for row in sheet.cells[first - 1 :]]
                while values and values[-1] in ([], [""]):
                    values.pop()
            found.append({"range": place, "values": values} if values else {"range": place})
        return Reply(200, {"valueRanges": found})

    def _update(self, said: Any) -> Reply:
        assert said["valueInputOption"] == "RAW"
        places = [(self._place(one["range"]), one["values"][0]) for one in said["data"]]
        for (sheet, match), values in places:
            if int(match[5]) > sheet.rows or len(values) > sheet.columns:
                return _refused(400, f"Range ({match[0]}) exceeds grid limits. Max rows: {sheet.rows}")
        for (sheet, match), values in places:
            sheet.set(int(match[5]), values)
        return Reply(200, {"totalUpdatedRows": len(places)})

    def _append(self, place: str, asked: Asked) -> Reply:
        assert asked.query == {"valueInputOption": "RAW", "insertDataOption": "INSERT_ROWS"}
        sheet, values = self._place(place)[0], asked.json()["values"]
        if self._cells() + len(values) * sheet.columns > self.most_cells:
            return _refused(
                400,
                "This action would increase the number of cells in the workbook above the limit of 10000000 cells.",
            )
        sheet.rows += len(values)
        for row in values:
            sheet.set(len(sheet.cells) + 1, row)
        return Reply(200, {"updates": {"updatedRows": len(values)}})

    def _batch(self, requests: list[Any]) -> Reply:
        by_id = {sheet.id: sheet for sheet in self.sheets.values()}
        for request in requests:
            ((kind, said),) = request.items()
            if kind == "appendDimension":
                sheet = by_id[said["sheetId"]]
                sheet.rows += said["length"] if said["dimension"] == "ROWS" else 0
                sheet.columns += said["length"] if said["dimension"] == "COLUMNS" else 0
                continue
            assert kind == "deleteDimension"
            sheet, first, last = by_id[said["range"]["sheetId"]], said["range"]["startIndex"], said["range"]["endIndex"]
            if sheet.rows - (last - first) < 2:
                return _refused(400, "Sorry, it is not possible to delete all non-frozen rows.")
            del sheet.cells[first:last]
            sheet.rows -= last - first
        return Reply(200, {"replies": [{} for _ in requests]})

    def _told(self) -> Reply:
        sheets = [
            {
                "properties": {
                    "sheetId": sheet.id,
                    "title": title,
                    "gridProperties": {"rowCount": sheet.rows, "columnCount": sheet.columns},
                }
            }
            for title, sheet in self.sheets.items()
        ]
        return Reply(200, {"properties": {"title": "Mill"}, "sheets": sheets})

    def _cells(self) -> int:
        return sum(sheet.rows * sheet.columns for sheet in self.sheets.values())

    def _place(self, place: str) -> tuple[Sheet, re.Match[str]]:
        match = _RANGE.fullmatch(place)
        if match is None or (name := match[1].replace("''", "'")) not in self.sheets:
            raise KeyError(place)
        return self.sheets[name], match


def _index(letters: str) -> int:
    found = 0
    for letter in letters:
        found = found * 26 + ord(letter) - 64
    return found - 1


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _refused(status: int, said: str) -> Reply:
    return Reply(status, {"error": {"code": status, "message": said, "status": "NO"}})
