"""How workers stand, as metrics tell it: those that live, those that are silent, and those that are gone."""

from __future__ import annotations

import psycopg

from tidemill.engine import liveness
from tidemill.engine.liveness import Liveness
from tidemill.store.postgres import Postgres


def test_workers_are_counted_by_how_they_stand(postgres: Postgres) -> None:
    def counts() -> tuple[int, int, int]:
        found = liveness.standing(postgres.dsn)
        return found["alive"], found["silent"], found["gone"]

    assert counts() == (0, 0, 0)  # none has ever begun
    first, second = Liveness(postgres.dsn), Liveness(postgres.dsn)
    first.enter()
    second.enter()
    assert counts() == (2, 0, 0)
    with psycopg.connect(postgres.dsn, autocommit=True) as session:
        ago = "UPDATE tidemill_engine.workers SET seen_at = now() - interval '2 minutes' WHERE id = %s"
        session.execute(ago, [second.worker])
        assert counts() == (1, 1, 0)
        session.execute("INSERT INTO tidemill_engine.workers (id, host, pid) VALUES ('killed', 'h', 1)")
        assert counts() == (1, 1, 1)
    first.leave()
    second.leave()
