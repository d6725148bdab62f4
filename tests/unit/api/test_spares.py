"""Forked processes that wait: who waits for their end, however many do."""

from __future__ import annotations

import concurrent.futures
import io
import os
import signal
import time

from tidemill.api.spares import Spare


def test_all_who_wait_are_told_of_the_end() -> None:
    for _ in range(20):
        pid = os.posix_spawn("/bin/sleep", ["sleep", "600"], os.environ)
        spare = Spare(pid, io.BytesIO(), io.BytesIO())
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = [pool.submit(spare.wait, timeout) for timeout in (None, 60.0, 60.0, None)]
            time.sleep(0.01)  # some wait by now, some may not: it is the same
            os.kill(pid, signal.SIGTERM)
            assert {each.result(60) for each in waiting} == {-signal.SIGTERM}
        assert spare.poll() == -signal.SIGTERM
