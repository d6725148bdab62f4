"""What is sent to the writer is kept by it, and what came of it is told."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tidemill.capture.keeper import Bundle, Kept, Revoked
from tidemill.capture.writer import RemoteKeeper, Writer, WriterBug
from tidemill.errors import UnavailableError

KEY = uuid.uuid4()


@dataclasses.dataclass
class Store:
    bundles: list[Bundle] = dataclasses.field(default_factory=list)
    error: Exception | None = None
    may: threading.Event = dataclasses.field(default_factory=threading.Event)
    begun: threading.Event = dataclasses.field(default_factory=threading.Event)

    def keep(self, bundle: Bundle) -> Kept:
        self.begun.set()
        assert self.may.wait(60)
        if self.error is not None:
            raise self.error
        self.bundles.append(bundle)
        return Kept(sum(table.num_rows for table in bundle.tables), 1, 0.5)

    def look(self) -> None:
        if self.error is not None:
            raise self.error

    def close(self) -> None: ...


@contextlib.contextmanager
def writing(folder: Path, store: Store) -> Iterator[RemoteKeeper]:
    writer = Writer(folder / "w", store)
    thread = threading.Thread(target=writer.run)
    thread.start()
    remote = RemoteKeeper(folder / "w")
    try:
        yield remote
    finally:
        store.may.set()
        remote.close()
        writer.stop()
        thread.join()


def store(error: Exception | None = None) -> Store:
    made = Store(error=error)
    made.may.set()
    return made


BUNDLE = Bundle(
    frozenset({KEY}),
    [pa.record_batch({"event": ["a", "ä\0"], "n": [1, None]}), pa.record_batch({"event": ["b"], "n": [2]})],
    [{"code": "x", "raw": b"\xff\0", "whole": True}],
)


def test_a_bundle_is_kept_as_it_is(tmp_path: Path) -> None:
    kept = store()
    with writing(tmp_path, kept) as remote:
        assert remote.keep(BUNDLE) == Kept(3, 1, 0.5)
        assert remote.keep(Bundle(frozenset(), [], [])) == Kept(0, 1, 0.5)
        remote.look()
    first, empty = kept.bundles
    assert (first.keys, list(first.refused)) == (BUNDLE.keys, BUNDLE.refused)
    assert list(first.tables) == BUNDLE.tables
    assert (empty.keys, list(empty.tables)) == (frozenset(), [])


@pytest.mark.parametrize("_", range(2))
def test_errors_are_told_and_the_next_is_kept(tmp_path: Path, _: int) -> None:
    kept = store(Revoked([KEY]))
    with writing(tmp_path, kept) as remote:
        with pytest.raises(Revoked) as revoked:
            remote.keep(BUNDLE)
        assert revoked.value.keys == {KEY}
        kept.error = UnavailableError("disk_full", "No room.", raw="said")
        for ask in (lambda: remote.keep(BUNDLE), remote.look):
            with pytest.raises(UnavailableError) as caught:
                ask()
            assert (caught.value.code, caught.value.message) == ("disk_full", "No room.")
        kept.error = ValueError("a bug")
        with pytest.raises(WriterBug):
            remote.keep(BUNDLE)
        kept.error = None
        assert remote.keep(BUNDLE).rows == 3


def test_a_writer_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    remote = RemoteKeeper(tmp_path / "w")
    with pytest.raises(UnavailableError, match="writer"):
        remote.keep(BUNDLE)
    kept = store()
    with writing(tmp_path, kept):
        assert remote.keep(BUNDLE).rows == 3
    (tmp_path / "w").unlink()
    with writing(tmp_path, kept):  # another one: the connection to the first is not good any more, and nobody notices
        assert remote.keep(BUNDLE).rows == 3
    (tmp_path / "w").unlink()
    with pytest.raises(UnavailableError, match="writer"):
        remote.keep(BUNDLE)
    remote.close()


def test_a_stop_waits_for_what_has_begun(tmp_path: Path) -> None:
    slow = Store()
    outcome: list[Kept] = []
    writer = Writer(tmp_path / "w", slow)
    running = threading.Thread(target=writer.run)
    running.start()
    remote = RemoteKeeper(tmp_path / "w")
    asking = threading.Thread(target=lambda: outcome.append(remote.keep(BUNDLE)))
    asking.start()
    assert slow.begun.wait(60)
    stopping = threading.Thread(target=writer.stop)
    stopping.start()
    assert stopping.is_alive()
    slow.may.set()
    for thread in (stopping, asking, running):
        thread.join(60)
    assert outcome == [Kept(3, 1, 0.5)]
    remote.close()
