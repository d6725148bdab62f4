"""The real SDKs of Node.js, unchanged, send through a server that is killed meanwhile: each event is there once."""

from __future__ import annotations

import contextlib
import functools
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.capture_server import LIMIT_SECONDS, CaptureServer, until
from tests.sdks.known import Call, calls, check
from tests.sdks.node_senders import NODE

COUNT = 300
TEAMS = dict(enumerate(NODE, 1))


@contextlib.contextmanager
def running(
    folder: Path, modules: Path, url: str, keys: Sequence[str], known: Sequence[Call]
) -> Iterator[list[subprocess.Popen[str]]]:
    """All SDKs, each sending by its key."""
    processes = [script.start(folder, modules, url, key, known) for script, key in zip(NODE, keys, strict=True)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    """What it told to its end."""
    out, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, out
    return out


def have_sent(server: CaptureServer, processes: Sequence[subprocess.Popen[str]], number: int) -> bool:
    """Whether the store has so many events of each."""
    for process in processes:
        if process.poll():
            said(process)
    counts = server.counts()
    return all(counts.get(team, 0) >= number for team in TEAMS)


def test_what_each_sdk_sends_is_there_once_though_the_server_is_killed_twice(
    capture: CaptureServer, node_modules: Path, tmp_path: Path
) -> None:
    known, keys = calls(COUNT), [capture.key(team) for team in TEAMS]
    with running(tmp_path, node_modules, capture.url, keys, known) as processes:
        for sent, kill in ((20, capture.kill_while_events_wait), (COUNT // 3, capture.kill_at_next_commit)):
            until(functools.partial(have_sent, capture, processes, sent), "all are sending")
            kill()
            assert sum(capture.counts().values()) < len(TEAMS) * COUNT, "it was killed in the middle"
            capture.start()
        assert [said(process) for process in processes] == [""] * len(TEAMS)
    for team, script in TEAMS.items():
        check(capture, team, map(script.expected, known), script.reading)
    assert capture.counts() == dict.fromkeys(TEAMS, COUNT)


def test_a_wrong_key_is_told_by_each_sdk_and_nothing_arrives(
    capture: CaptureServer, node_modules: Path, tmp_path: Path
) -> None:
    wrong = ["tm_" + "0" * 40] * len(NODE)
    with running(tmp_path, node_modules, capture.url, wrong, calls(10)) as processes:
        posthog, segment, amplitude = map(said, processes)
    assert "401" in posthog
    assert segment.count("[401] Unauthorized") == 10
    assert amplitude.count("400 Invalid API key") == 10
    assert capture.counts() == {}
