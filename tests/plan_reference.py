"""What a plan should say and a commit should leave, in plain dictionaries: the rules, and nothing of SQL."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tidemill.destinations.port import Op
from tidemill.reverse_etl.plan.port import Counts, PlanRow, Unacknowledged

Version = tuple[Any, ...]


@dataclasses.dataclass
class Remembered:
    """Of a row."""

    acknowledged: Version | None = None
    failed: tuple[Version, Op] | None = None
    since: int = 0
    tries: int = 0
    unsure: bool = False
    dropped: bool = False


@dataclasses.dataclass(frozen=True)
class Change:
    """What is to be done with a row. `delivered`: it leaves the warehouse."""

    op: Op
    version: Version
    since: int
    delivered: bool


@dataclasses.dataclass
class Reference:
    """The state of one sync."""

    rows: dict[str, Remembered] = dataclasses.field(default_factory=dict)

    def plan(
        self,
        model: Sequence[tuple[str | None, Version]],
        number: int,
        delivers: Iterable[Op],
    ) -> tuple[Counts, dict[str, Change]]:
        """Of a model: keys and versions of its rows."""
        times = collections.Counter(key for key, _ in model if key is not None)
        versions = {key: version for key, version in model if key is not None}
        found: collections.Counter[str] = collections.Counter()
        changes: dict[str, Change] = {}
        found["invalid_null"] = sum(key is None for key, _ in model)
        for key in {*versions, *self.rows}:
            known = self.rows.get(key)
            if times[key] > 1:
                found["invalid_duplicate"] += times[key]
                continue
            kind = self._kind(known, versions.get(key))
            if not isinstance(kind, Op):
                found[kind] += 1
                if kind == "forgotten":
                    changes[key] = Change(Op.DELETED, (), number, delivered=False)
                continue
            found[kind.value] += 1
            version = versions.get(key) or (known.acknowledged if known else None) or (known.failed or ((), 0))[0]  # type: ignore[union-attr]
            tried = known is not None and known.failed is not None
            same = tried and known.failed == (version, kind)  # type: ignore[union-attr]
            delivered = kind in set(delivers)
            found["retried"] += tried and delivered
            if kind is not Op.ADDED:
                found[f"retried_{kind.value}"] += tried and delivered
            changes[key] = Change(kind, version, known.since if same and known else number, delivered)
        del found["forgotten"]
        return Counts(**found), changes

    def plan_by_cursor(
        self,
        model: Sequence[tuple[str | None, Version, int | None]],
        number: int,
        delivers: Iterable[Op],
        position: int | None,
        latest: int | None = None,
        overlap: int = 0,
    ) -> tuple[Counts, dict[str, Change], int | None]:
        """Of a model whose rows have a cursor, too; and how far that is then. `latest`: what is greater is in the
        future; `overlap`: so far it is looked back."""
        tried = {key for key, known in self.rows.items() if known.failed}
        future = {row[0] for row in model if None not in (row[2], latest) and row[2] > latest}  # type: ignore[operator]
        model = [
            (key, version, None if None not in (seen, latest) and seen > latest else seen)  # type: ignore[operator]
            for key, version, seen in model
        ]
        looked = [
            row
            for row in model
            if None in (row[0], row[2], position) or row[0] in tried or row[2] >= position - overlap  # type: ignore[operator]
        ]
        times = collections.Counter(key for key, _, _ in looked)
        bad = {key for key, _, seen in looked if key is not None and seen is None and times[key] == 1}
        future &= bad
        known = {key: self.rows[key] for key, _, _ in looked if key in self.rows and key not in bad}
        rows = [(key, version) for key, version, _ in looked if key not in bad]
        counts, changes = Reference(known).plan(rows, number, delivers)
        seen_of = [(times[key], seen) for key, _, seen in looked if key is not None and seen is not None]
        upto = max((seen for count, seen in seen_of if count == 1), default=None)
        if upto is not None:
            upto = min([upto, *(seen for count, seen in seen_of if count > 1)])
        upto = max((one for one in (upto, position) if one is not None), default=None)
        counts = dataclasses.replace(counts, invalid_cursor=len(bad - future), invalid_future=len(future))
        return counts, changes, upto

    @staticmethod
    def _kind(known: Remembered | None, version: Version | None) -> Op | str:
        if version is None:
            assert known is not None
            if known.dropped and known.failed and known.failed[1] is Op.DELETED:
                return "dropped"
            return Op.DELETED if known.acknowledged is not None or known.unsure else "forgotten"
        if known is None:
            return Op.ADDED
        if known.acknowledged is not None and known.acknowledged == version and not known.unsure:
            return "unchanged"
        if known.dropped and known.failed and known.failed[0] == version and known.failed[1] is not Op.DELETED:
            return "dropped"
        return Op.ADDED if known.acknowledged is None else Op.UPDATED

    def commit(self, changes: Mapping[str, Change], left: Iterable[Unacknowledged], sent: Iterable[PlanRow]) -> None:
        """`sent`: rows of the pieces that were gone through."""
        gone_through = {row.key for row in sent}
        not_taken = {one.key: one for one in left}
        for key, change in changes.items():
            if change.delivered and key not in gone_through:
                continue
            failure = not_taken.get(key) if change.delivered else None
            if failure is None:
                if change.op is Op.DELETED:
                    self.rows.pop(key, None)
                else:
                    self.rows[key] = Remembered(acknowledged=change.version)
            elif failure.status != "unsent":
                self._failed(self.rows.setdefault(key, Remembered()), change, failure)

    @staticmethod
    def _failed(known: Remembered, change: Change, failure: Unacknowledged) -> None:
        again = known.failed == (change.version, change.op)
        known.tries = known.tries + 1 if again else 1
        known.failed, known.since, known.dropped = (change.version, change.op), change.since, False
        known.unsure = known.unsure or failure.unsure

    def resend(self) -> None:
        """All rows count as changed."""
        for known in self.rows.values():
            known.dropped = False
            if known.acknowledged is not None:
                known.acknowledged = ("resent",)

    def adopt(self, keys: Iterable[str]) -> int:
        """What was not taken was brought otherwise."""
        found = [(key, known.failed) for key in set(keys) if (known := self.rows.get(key)) and known.failed]
        brought = {key: version for key, (version, op) in found if op is not Op.DELETED}
        self.rows |= {key: Remembered(acknowledged=version) for key, version in brought.items()}
        return len(brought)

    def drop(self, keys: Iterable[str]) -> int:
        """Give up what was not taken."""
        found = [known for key in set(keys) if (known := self.rows.get(key)) and known.failed and not known.dropped]
        for known in found:
            known.dropped = True
        return len(found)
