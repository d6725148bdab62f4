"""Every snapshot of a range is in exactly one chunk, and no chunk breaks a limit of BigQuery."""

import datetime as dt
import itertools

from hypothesis import given
from hypothesis import strategies as st

from tidemill.exports import cut
from tidemill.exports.spec import Granularity

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def part(snapshot: int, size: float, days: int = 0) -> cut.Part:
    return cut.Part(snapshot, 10, size, NOON, NOON + dt.timedelta(days=days))


def no_partitions(after: int, upto: int) -> list[tuple[dt.datetime, int]]:
    raise AssertionError(f"asked for the partitions of {after}..{upto}")


@given(
    st.lists(st.tuples(st.integers(1, 5), st.floats(0, 300)), max_size=40),
    st.integers(0, 10),
)
def test_chunks_tile_the_range(steps: list[tuple[int, float]], after: int) -> None:
    snapshots = itertools.accumulate((step for step, _ in steps), initial=after)
    next(snapshots)
    parts = [part(snapshot, size) for snapshot, (_, size) in zip(snapshots, steps, strict=True)]
    chunks = cut.cut(parts, after, 100, Granularity.DAY, no_partitions)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    edges = [(chunk.after, chunk.upto) for chunk in chunks]
    assert all(left[1] == right[0] for left, right in itertools.pairwise(edges))
    if parts:
        assert edges[0][0] == after
        assert edges[-1][1] == parts[-1].snapshot
    for chunk in chunks:
        inside = [p for p in parts if chunk.after < p.snapshot <= chunk.upto]
        assert chunk.rows == sum(p.rows for p in inside)
        assert len(inside) == 1 or sum(p.bytes for p in inside) <= 100


@given(st.integers(3_901, 12_000))
def test_a_chunk_over_too_many_partitions_is_split_by_time(days: int) -> None:
    starts = [NOON.replace(hour=0) + dt.timedelta(days=day) for day in range(days)]
    wide = cut.Part(7, days, 1, starts[0], starts[-1])
    chunks = cut.cut([wide, part(8, 200)], 6, 100, Granularity.DAY, lambda *_: [(s, 1) for s in starts])
    pieces, last = chunks[:-1], chunks[-1]
    assert [c.number for c in chunks] == list(range(len(chunks)))
    assert sum(c.rows for c in pieces) == days
    assert (pieces[0].time_from, pieces[-1].time_to) == (None, None)
    assert all(left.time_to == right.time_from for left, right in itertools.pairwise(pieces))
    for piece in pieces:
        touched = [
            s
            for s in starts
            if (not piece.time_from or s >= piece.time_from) and (not piece.time_to or s < piece.time_to)
        ]
        assert len(touched) <= 4_000
    assert (last.time_from, last.time_to, last.upto) == (None, None, 8)


def test_a_table_without_partitions_is_never_split_by_time() -> None:
    assert len(cut.cut([part(1, 1, days=9_000)], 0, 100, None, no_partitions)) == 1
