"""Figures of all exports, or syncs, in the text that Prometheus reads.

It is written out here, and not by a library for counters: of thousands of them that takes a tenth of the time.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

Told = TypeVar("Told")
Number = int | float | None
COUNTER, GAUGE, SUMMARY = "counter", "gauge", "summary"


@dataclasses.dataclass(frozen=True)
class Family(Generic[Told]):
    """A metric of each. `values`: by what comes behind its name, a suffix or a label."""

    name: str
    kind: str
    help: str
    values: Mapping[tuple[str, str], Callable[[Told], Number]]


def seconds(moment: dt.datetime | None) -> float | None:
    """As metrics have times."""
    return round(moment.timestamp(), 3) if moment else None


def labels(**named: str) -> str:
    """What tells one from others."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in named.items())


def written(families: Sequence[Family[Told]], told: Sequence[tuple[str, Told]], **said: str) -> Iterator[str]:
    """All families of all that there are, each with its labels. `said`: what help texts leave open."""
    for family in families:
        yield f"# HELP {family.name} {family.help.format(**said)}\n# TYPE {family.name} {family.kind}\n"
        for (suffix, label), value in family.values.items():
            begin, more = f"{family.name}{suffix}{{", f",{label}}} " if label else "} "
            for marks, one in told:
                number = value(one)
                if number is not None:
                    yield f"{begin}{marks}{more}{number}\n"


def escaped(text: str) -> str:
    """A label's value as it is written."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
