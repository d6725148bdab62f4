"""Sessions: computed from the events of those that changed, whatever the age of the event that changed them.

A session changes with each commit that brings events of it; its version is the last such commit. A row of changes
(after, upto] holds the session as it was when `upto` was committed, so computed again it is the same.

Rules, PostHog's (its raw_sessions_v3): what a session began with is said by its first page or screen that says it, else
by its first event that does; what it ended with, by the last one. Of events at the same time the one that was committed
first is the first.
"""

from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING

from tidemill.events import duck, ledger
from tidemill.events.ledger import Commit
from tidemill.events.sources.channel import channel_type
from tidemill.events.sources.source import Selection, conditions, moment, number_of

if TYPE_CHECKING:
    import duckdb

    from tidemill.events.lake import Lake

#: Microseconds, more than lie between any two times: puts pages and screens before all other events.
_APART = 10**18
#: A session of less time and one page is a bounce: the default of PostHog's web analytics.
_BOUNCE_SECONDS = 10
_NAMES = (
    *("utm_source", "utm_campaign", "utm_medium", "utm_term", "utm_content", "gclid", "fbclid", "gad_source", "gclsrc"),
    *("dclid", "gbraid", "wbraid", "msclkid", "twclid", "li_fat_id", "mc_cid", "igshid", "ttclid", "_kx", "irclid"),
)
#: Properties that count, by their names here.
_PROPERTIES = {
    "current_url": "$current_url",
    "referring_domain": "$referring_domain",
    "external_click_url": "$external_click_url",
    "lcp": "$web_vitals_LCP_value",
    **{name: name for name in _NAMES},
}
#: Bytes of a row besides its texts; a guess that cuts chunks.
_ROW_BYTES = 600
_COMPRESSION = 0.3  # measured over sessions of a web shop


#: Events in a piece: twenty thousand sessions of the usual length, or so.
PIECE = 400_000
#: Ids that are looked at, for each piece, to cut the range of ids into pieces.
_SAMPLE = 200


class SessionSource:
    """See the module; the methods are those of source.Source."""

    timed = repeatable = True
    ordered = direct = False

    def __init__(self, lake: Lake, piece: int = PIECE) -> None:
        """`piece`: sessions of so many events, about, are summed up at once."""
        self._lake, self._piece = lake, piece

    def catch_up(self) -> int:
        """The newest snapshot."""
        return self.position()

    def position(self) -> int:
        """The newest snapshot."""
        return self._lake.position()

    def until(self, moment: dt.datetime, after: int) -> int:
        """The last snapshot of that time."""
        return self._lake.position_at(moment, after)

    def changes(self, after: int, upto: int, fold: float = 0) -> list[Commit]:
        """The snapshots that brought events of sessions, each with the sessions that it changed last."""
        events = self._events(Selection(after, upto))
        last = f"SELECT max(snapshot_id) AS change FROM ({events}) GROUP BY team_id, session_id"
        summed = f"""
            SELECT change, count(*) AS rows, count(*) * {2 * _ROW_BYTES} AS bytes,
                any_value(committed_at) AS committed_at, NULL::TIMESTAMPTZ AS first_time, NULL::TIMESTAMPTZ AS last_time
            FROM ({last}) JOIN lake.commits ON snapshot_id = change GROUP BY change
            """
        with self._lake.cursor() as cursor:
            return ledger.folded(cursor, summed, fold)

    def count(self, selection: Selection) -> int:
        """How many sessions changed."""
        with self._lake.cursor() as cursor:
            found = cursor.execute(f"SELECT count(*) FROM ({self._changed(selection)})").fetchall()
        return int(found[0][0])

    def keys(self, selection: Selection) -> str:
        """Team and id."""
        return f"SELECT team_id AS row_team, session_id AS row_id FROM ({self._changed(selection)})"

    def rows(self, selection: Selection, handed_at: dt.datetime) -> str:
        """The sessions that changed, as of the last change."""
        return self._between(selection, handed_at, *self._ends(selection))

    def pieces(self, selection: Selection, handed_at: dt.datetime) -> list[str]:
        """Ranges of ids: to sum up a session takes some kilobytes until its last event is seen."""
        first, last = self._ends(selection)
        with self._lake.cursor() as cursor:
            number = int(cursor.execute(f"SELECT count(*) FROM ({self._events(selection)})").fetchall()[0][0])
            pieces = -(-number // self._piece)
            if pieces <= 1:
                return [self._between(selection, handed_at, first, last)]
            ids = f"SELECT session_id FROM ({self._events(selection)}) USING SAMPLE {_SAMPLE * pieces} ROWS"
            sample = sorted(name for (name,) in cursor.execute(ids).fetchall())
        # An id begins with the first bound of its piece; none lies before the first, or behind the last.
        bounds = [first, *dict.fromkeys(sample[len(sample) * n // pieces] for n in range(1, pieces)), last]
        return [
            self._between(selection, handed_at, start, end, open_end=number < len(bounds) - 1)
            for number, (start, end) in enumerate(itertools.pairwise(bounds), 1)
        ]

    def _between(
        self, selection: Selection, handed_at: dt.datetime, first: str, last: str, *, open_end: bool = False
    ) -> str:
        """Of sessions whose ids lie from the first to the last, or before that."""
        # The bounds let DuckDB leave out files and row groups: ids begin with the time at which the session began.
        between = f"session_id >= {duck.literal(first)} AND session_id {'<' if open_end else '<='} {duck.literal(last)}"
        whole = f"SELECT *, snapshot_id FROM lake.events WHERE snapshot_id <= {selection.upto} AND {between}"
        changed = f"SELECT * FROM ({self._changed(selection)}) WHERE {between}"
        events = f"({whole}) SEMI JOIN ({changed}) USING (team_id, session_id)"
        return _described(_summed(_read(events)), handed_at)

    def gathered(self, cursor: duckdb.DuckDBPyConnection, selection: Selection, handed_at: dt.datetime) -> str:
        """Of several pieces from a table, which DuckDB puts on disk when memory is short."""
        first, *rest = self.pieces(selection, handed_at)
        if not rest:
            return first
        cursor.execute(f"CREATE TEMP TABLE gathered AS {first}")
        for piece in rest:
            cursor.execute(f"INSERT INTO gathered {piece}")
        return "SELECT * FROM gathered"

    def intervals(self, selection: Selection, every: dt.timedelta) -> list[tuple[int, int]]:
        """By the time of the events: a session may be in several."""
        number = number_of(selection, every)
        rows = f"SELECT DISTINCT {number} AS number, team_id, session_id FROM ({self._events(selection)})"
        with self._lake.cursor() as cursor:
            return cursor.execute(f"SELECT number, count(*) FROM ({rows}) GROUP BY 1 ORDER BY 1").fetchall()

    def _ends(self, selection: Selection) -> tuple[str, str]:
        """The first and the last id, which begin with a time."""
        ends = f"SELECT min(session_id), max(session_id) FROM ({self._events(selection)})"
        with self._lake.cursor() as cursor:
            found = cursor.execute(ends).fetchall()
        return found[0] if found[0][0] is not None else ("", "")

    def _events(self, selection: Selection) -> str:
        """The events of sessions among the changes."""
        where = [self._lake.between(selection.after, selection.upto), "session_id IS NOT NULL", *conditions(selection)]
        return f"SELECT team_id, session_id, timestamp, snapshot_id FROM lake.events WHERE {' AND '.join(where)}"

    def _changed(self, selection: Selection) -> str:
        return f"SELECT DISTINCT team_id, session_id FROM ({self._events(selection)})"

    def compression(self) -> float:
        """Guessed."""
        return _COMPRESSION

    def partitions(self, after: int, upto: int, size: str) -> list[tuple[dt.datetime, int]]:
        """Sessions have no time by which their changes are cut: one may begin earlier than was known."""
        return []


def _read(events: str) -> str:
    """What counts of each event. `place` puts them in order; `first` and `last` too, but pages and screens before."""
    paths = ", ".join(duck.literal(f'$."{name}"') for name in _PROPERTIES.values())
    values = ", ".join(f"nullif(found[{index}], '') AS \"{name}\"" for index, name in enumerate(_PROPERTIES, 1))
    # Microseconds, then commit and number in the commit: one number, for one comparison.
    time = "(epoch_us(timestamp)::HUGEINT"
    rest = "18446744073709551616 + snapshot_id::HUGEINT * 4294967296 + n"
    return f"""
        SELECT team_id, session_id, distinct_id, event, timestamp, snapshot_id, is_page, {values},
            {time}) * {rest} AS place,
            {time} + CASE WHEN is_page THEN 0 ELSE {_APART} END) * {rest} AS first,
            {time} - CASE WHEN is_page THEN 0 ELSE {_APART} END) * {rest} AS last
        FROM (SELECT *, event IN ('$pageview', '$screen') AS is_page,
                json_extract_string(properties, [{paths}]) AS found FROM {events})"""


def _summed(events: str) -> str:
    """The events of each session, summed up."""
    entries = ", ".join(f'arg_min("{name}", first) AS "entry_{name}"' for name in ("referring_domain", *_NAMES))
    return f"""
        SELECT team_id, session_id, max(snapshot_id) AS session_version, arg_max(distinct_id, place) AS distinct_id,
            min(timestamp) AS start_timestamp, max(timestamp) AS end_timestamp,
            list_sort(coalesce(list(DISTINCT current_url) FILTER (is_page AND current_url IS NOT NULL), [])) AS urls,
            arg_min(current_url, first) AS entry_current_url, arg_max(current_url, last) AS end_current_url, {entries},
            count(*) FILTER (event = '$pageview') AS pageview_count,
            count(*) FILTER (event = '$autocapture') AS autocapture_count,
            count(*) FILTER (event = '$screen') AS screen_count,
            arg_max(external_click_url, place) AS last_external_click_url,
            arg_min(TRY_CAST(lcp AS DOUBLE), place) FILTER (isfinite(TRY_CAST(lcp AS DOUBLE))) AS vitals_lcp
        FROM ({events}) GROUP BY team_id, session_id"""


def _described(sessions: str, handed_at: dt.datetime) -> str:
    """The columns of the model."""
    urls = {f"{end}_{part}": f"{_URL[part].format(f'{end}_current_url')}" for end in ("entry", "end") for part in _URL}
    parts = ", ".join(f"{text} AS {name}" for name, text in urls.items())
    size = " + ".join(f"coalesce(strlen({name}), 0)" for name in ("distinct_id", "entry_current_url"))
    return f"""
        SELECT *, {channel_type()} AS channel_type, session_duration AS duration,
            CASE WHEN seen > 0 THEN NOT (seen > 1 OR session_duration >= {_BOUNCE_SECONDS}) END AS is_bounce,
            least(seen, 2) AS page_screen_autocapture_count_up_to,
            end_current_url AS exit_current_url, end_pathname AS exit_pathname,
            {moment(handed_at)} AS bq_updated_timestamp, team_id AS row_team, session_id AS row_id
        FROM (SELECT *, {parts}, len(urls) AS num_uniq_urls,
            ({_number("left(replace(session_id, '-', ''), 16)")} * 18446744073709551616::UHUGEINT
                + {_number("right(session_id, 17).replace('-', '')")})::VARCHAR AS session_id_v7,
            date_diff('microsecond', start_timestamp, end_timestamp) // 1000000 AS session_duration,
            pageview_count + screen_count + autocapture_count AS seen,
            {_ROW_BYTES} + {size} + strlen(urls::VARCHAR) AS bytes
            FROM ({sessions}))"""


def _number(digits: str) -> str:
    """The number that 16 hexadecimal digits are."""
    return f"('0x' || {digits})::UBIGINT::UHUGEINT"


#: Parts of a URL; NULL if there is none.
_BEGIN = "^(?:[A-Za-z][A-Za-z0-9+.-]*:)?//"
_URL = {
    "hostname": f"nullif(regexp_extract({{}}, '{_BEGIN}(?:[^/?#@]*@)?(\\[[^/?#\\]]*\\]|[^/?#:\\[\\]]*)', 1), '')",
    "pathname": f"nullif(regexp_extract({{}}, '{_BEGIN}[^/?#]*(/[^?#]*)', 1), '')",
}
