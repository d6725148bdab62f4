"""The real SDKs of Node.js, unchanged, send through a server that is killed meanwhile: each event is there once."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.capture_server import LIMIT_SECONDS, CaptureServer, until
from tests.sdks.known import calls, check
from tests.sdks.node_senders import NODE

COUNT = 300


def said(process: subprocess.Popen[str]) -> str:
    """What it told to its end."""
    out, _ = process.communicate(timeout=LIMIT_SECONDS)
    return out


def test_what_each_sdk_sends_is_there_once_though_the_server_is_killed_twice(
    capture: CaptureServer, node_modules: Path, tmp_path: Path
) -> None:
    known, teams = calls(COUNT), dict(enumerate(NODE, 1))
    running = [
        script.start(tmp_path, node_modules, capture.url, capture.key(team), known) for team, script in teams.items()
    ]
    for sent, kill in ((20, capture.kill_while_events_wait), (COUNT // 3, capture.kill_at_next_commit)):

        def all_have_sent(sent: int = sent) -> bool:
            assert all(process.poll() in {None, 0} for process in running)
            return all(capture.counts().get(team, 0) >= sent for team in teams)

        until(all_have_sent, "all are sending")
        kill()
        assert sum(capture.counts().values()) < len(teams) * COUNT, "it was killed in the middle"
        capture.start()
    assert [said(process) for process in running] == [""] * len(teams)
    for team, script in teams.items():
        check(capture, team, map(script.expected, known), script.reading)
    assert capture.counts() == dict.fromkeys(teams, COUNT)


def test_a_wrong_key_is_told_by_each_sdk_and_nothing_arrives(
    capture: CaptureServer, node_modules: Path, tmp_path: Path
) -> None:
    running = [script.start(tmp_path, node_modules, capture.url, "tm_" + "0" * 40, calls(10)) for script in NODE]
    posthog, segment, amplitude = (said(process) for process in running)
    assert "401" in posthog
    assert segment.count("[401] Unauthorized") == 10
    assert amplitude.count("400 Invalid API key") == 10
    assert capture.counts() == {}
