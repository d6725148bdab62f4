"""The real Python SDKs, unchanged, send through a server that is killed meanwhile: each event is there once."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence

from tests.capture_server import CaptureServer, until
from tests.sdks.known import Call, calls, check
from tests.sdks.python_senders import BATCH, SENDERS, Sender

COUNT = 300


def made(server: CaptureServer) -> dict[int, Sender]:
    """All SDKs, each with the key of a team."""
    return {team: kind(server.url, server.key(team)) for team, kind in enumerate(SENDERS.values(), 1)}


def have_sent(server: CaptureServer, senders: dict[int, Sender], number: int) -> bool:
    """Whether the store has so many events of each."""
    assert {team: sender.errors for team, sender in senders.items()} == {team: [] for team in senders}
    counts = server.counts()
    return all(counts.get(team, 0) >= number for team in senders)


def finish(senders: dict[int, Sender]) -> None:
    """Wait until all have sent what they were given."""
    threads = [threading.Thread(target=sender.finish, daemon=True) for sender in senders.values()]
    for thread in threads:
        thread.start()
    until(lambda: not any(thread.is_alive() for thread in threads), "the SDKs have sent all")


def check_all(server: CaptureServer, senders: dict[int, Sender], known: Sequence[Call]) -> None:
    """No SDK met an error that lasted, and the store has the set of each."""
    for team, sender in senders.items():
        assert (team, sender.errors) == (team, [])
        check(server, team, map(sender.expected, known), sender.reading)
    assert server.counts() == dict.fromkeys(senders, len(known))


def send_and_kill(server: CaptureServer, kills: Sequence[Callable[[], None]]) -> None:
    """Send the set with all SDKs at once, and kill the server in the middle of it, in these ways."""
    known, senders = calls(COUNT), made(server)
    for sender in senders.values():
        sender.send(known)
    for number, kill in enumerate(kills, 1):
        sent = 2 * BATCH + COUNT // 4 * (number - 1)
        until(functools.partial(have_sent, server, senders, sent), "all are sending")
        kill()
        assert sum(server.counts().values()) < len(senders) * COUNT, "it was killed in the middle"
        if server.ended():
            server.start()
    finish(senders)
    check_all(server, senders, known)


def test_what_each_sdk_sends_is_there_once_though_the_server_is_killed_twice(capture: CaptureServer) -> None:
    send_and_kill(capture, [capture.kill_while_events_wait, capture.kill_at_next_commit])


def test_the_same_of_two_workers_of_which_one_is_killed_then_all_then_who_looks_after_them(
    capture_of_two: CaptureServer,
) -> None:
    server = capture_of_two
    ways = server.workers()[0].kill, server.kill, server.kill_first_process
    send_and_kill(server, [functools.partial(server.kill_at_next_commit, way) for way in ways])


def test_a_wrong_key_is_told_by_each_sdk_and_nothing_arrives(capture: CaptureServer) -> None:
    senders = {team: kind(capture.url, "tm_" + "0" * 40) for team, kind in enumerate(SENDERS.values(), 1)}
    for sender in senders.values():
        sender.send(calls(BATCH))
    finish(senders)
    posthog, segment, rudderstack, amplitude = (sender.errors for sender in senders.values())
    assert ["there is no such key" in "".join(told) for told in (posthog, segment, rudderstack)] == [True] * 3
    assert amplitude == ["Invalid API Key"]
    assert capture.counts() == {}
