"""What is wrong with a configuration: each problem with its place, all of them at once."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Sequence

from tidemill.errors import ConfigError

#: Options of the command line that have other names here; the rest are called as their fields.
_FIELDS = {
    "verify-daily": "verify_days",
    "partition-expiration": "partition_expiration_days",
    "table-expiration": "table_expiration_days",
    "include-event": "include_events",
    "exclude-event": "exclude_events",
    "elements": "elements_on_any_event",
    "team": "team_id",
    "version": "versions",
    "write-back": "write_back_days",
    "from": "sender",
    "map": "mapping",
    "token-file": "token",
    "cloud-token-file": "cloud_token",
}
_OPTION = re.compile(r"--([a-z][a-z-]*[a-z])")
#: So many problems are told; a file of another kind may have as many as it has lines.
_MOST = 50


@dataclasses.dataclass(frozen=True, order=True)
class Position:
    """A place in a file; lines and columns are counted from one."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """Something that must be corrected."""

    at: Position
    said: str

    def __str__(self) -> str:
        return f"{self.at}: {self.said}"


class InvalidError(ConfigError):
    """All that is wrong with a configuration, in order."""

    def __init__(self, found: Sequence[Problem]) -> None:
        lines = [str(one) for one in found[:_MOST]]
        if len(found) > _MOST:
            lines.append(f"and {len(found) - _MOST:,} more")
        self.problems = tuple(found[:_MOST])
        self.title = f"The configuration has {'1 problem' if len(found) == 1 else f'{len(found):,} problems'}."
        super().__init__(
            "configuration_invalid",
            "\n".join([self.title, *lines]),
            hint="Correct the file. What may be written: tidemill export-config --schema",
        )


class Problems:
    """Collects them."""

    def __init__(self) -> None:
        self._found: dict[tuple[Position, str], Problem] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, at: Position, said: str) -> None:
        """One more; the same one counts once."""
        self._found.setdefault((at, said), Problem(at, said))

    def add_error(self, at: Position, error: ConfigError) -> None:
        """What a spec or a service says, in the words of the file."""
        self.add(at, " ".join(filter(None, (in_fields(error.message), in_fields(error.hint)))))

    def settle(self) -> None:
        """Go on if there is none.

        Raises
        ------
        InvalidError
            With all of them, by their places.
        """
        if not self._found:
            return
        raise InvalidError(sorted(self._found.values()))


def in_fields(text: str) -> str:
    """A text that names options of the command line, with the fields that are meant."""
    return _OPTION.sub(lambda found: _FIELDS.get(found[1], found[1].replace("-", "_")), text)


def one_of(names: Iterable[str]) -> str:
    """What is allowed, as a sentence."""
    return f"One of: {', '.join(names)}."


def meant(name: str, known: Sequence[str]) -> str:
    """A guess at what was meant; nothing if nothing is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" Is {near[0]} meant?" if near else ""
