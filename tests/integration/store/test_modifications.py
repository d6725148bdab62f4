"""What counts against the quotas of a table: never more than is allowed, whoever asks at once."""

from __future__ import annotations

import concurrent.futures

from tidemill.store.database import Database
from tidemill.store.modifications import Modifications

DAY = 86_400.0


def age(database: Database, seconds: float) -> None:
    """As if that much time had passed."""
    with database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE tidemill.modifications SET modified_at = modified_at - %s * interval '1 second'", (seconds,)
        )


def test_so_many_in_so_many_seconds(database: Database) -> None:
    found = Modifications(database)
    limits = [(3, 10.0), (5, DAY)]
    assert [found.take("t", limits) for _ in range(3)] == [0.0] * 3
    assert 9 < found.take("t", limits) <= 10
    assert found.take("another", limits) == 0
    age(database, 4)
    assert 5 < found.take("t", limits) <= 6
    age(database, 6)
    assert [found.take("t", limits) for _ in range(2)] == [0.0] * 2
    age(database, 10)
    assert DAY - 30 < found.take("t", limits) <= DAY - 20
    assert found.count("t") == 5
    age(database, DAY)
    assert found.count("t") == 0
    assert found.take("t", limits) == 0


def test_who_asks_at_once_gets_no_more_together(database: Database) -> None:
    found = Modifications(database)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        waits = list(threads.map(lambda _: found.take("t", [(20, DAY)]), range(60)))
    assert waits.count(0.0) == 20
    assert found.count("t") == 20
