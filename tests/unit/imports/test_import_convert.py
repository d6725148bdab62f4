"""Events that are made of rows."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from tidemill.destinations.port import Op
from tidemill.errors import ConfigError
from tidemill.imports import convert, ids
from tidemill.imports.made import Made, Rows, Source
from tidemill.imports.spec import ImportSpec, Kind, Property, TimeFormat, Type

SOURCE = Source(uuid.UUID(int=7), "Shop", 3)
MIRROR = Source(SOURCE.id, SOURCE.name, SOURCE.run, mirrors=True)
ORIGIN = {"$import_id": str(SOURCE.id), "$import": "Shop", "$import_run": 3}
SECOND = 1_000_000
NOW = int(dt.datetime(2026, 6, 1, tzinfo=dt.UTC).timestamp()) * SECOND


def rows(ops: Sequence[Op] | None = None, since: int = 3, **columns: Sequence[Any]) -> Rows:
    count = len(next(iter(columns.values())))
    keys = [f"k{at}" for at in range(count)]
    hashes = [f"{since}:{json.dumps([columns[name][at] for name in sorted(columns)])}" for at in range(count)]
    return Rows(keys, hashes, ops or [Op.ADDED] * count, columns, NOW)


def people(*properties: Property, **more: Any) -> ImportSpec:
    return ImportSpec(kind=Kind.PEOPLE, identity="id", properties=properties, **more)


def events(*properties: Property, **more: Any) -> ImportSpec:
    named = {} if "event_column" in more else {"event": "Order"}
    return ImportSpec(kind=Kind.EVENTS, identity="id", properties=properties, **(named | more))


def kept(column: str, name: str | None = None, kind: Type = Type.AUTO) -> Property:
    return Property(column=column, name=name or column, type=kind)


def properties(made: Made, column: str = "properties") -> list[Any]:
    return [json.loads(one) for one in made.events[column]]


def codes(made: Made) -> dict[int, str]:
    return {at: why.code for at, why in made.refused.items()}


def test_a_row_sets_the_properties_of_a_person_and_removes_those_that_are_null() -> None:
    spec = people(kept("plan"), kept("n", kind=Type.INTEGER), team_id=5)
    made = convert.made(spec, SOURCE, rows(id=["a", 12], plan=["pro", None], n=["3", None]))
    assert made.positions == [0, 1]
    assert made.events["event"] == ["$set", "$set"]
    assert made.events["distinct_id"] == ["a", "12"]
    assert made.events["kind"] == ["import"] * 2
    assert made.events["team_id"] == [5, 5]
    assert made.events["timestamp"] == [NOW, NOW]
    assert properties(made, "set") == [{"plan": "pro", "n": 3}, {}]
    assert properties(made) == [ORIGIN, ORIGIN | {"$unset": ["plan", "n"]}]


def test_a_person_who_goes_back_to_an_older_version_is_set_again() -> None:
    spec = people(kept("plan"))
    ids_of = [
        convert.made(spec, SOURCE, rows(since=since, id=["a"], plan=[plan])).events["uuid"][0]
        for since, plan in [(1, "free"), (2, "pro"), (3, "free")]
    ]
    assert len(set(ids_of)) == 3


def test_people_whose_rows_went_away_are_named() -> None:
    ops = [Op.UPDATED, Op.DELETED, Op.DELETED, Op.ADDED]
    made = convert.made(people(kept("plan")), MIRROR, rows(ops, id=["a", "b", "n/a", ""], plan=["x", None, None, "y"]))
    assert made.positions == [0]
    assert made.deleted == [(1, "b")]
    assert codes(made) == {2: "identity_unknown", 3: "identity_refused"}
    only_keys = convert.made(people(kept("plan")), MIRROR, rows([Op.DELETED], key=["1"]))
    assert (only_keys.positions, codes(only_keys)) == ([], {0: "identity_unknown"})


def test_an_event_has_the_name_the_time_and_the_id_of_its_columns() -> None:
    spec = events(
        kept("total", "Total", Type.FLOAT),
        kept("note"),
        event_column="name",
        time="at",
        time_format=TimeFormat.SECONDS,
        insert_id="order",
    )
    given = rows(
        id=["a", "b"],
        name=["Paid", "Sent"],
        at=[1_700_000_000, "1700000001"],
        order=["0190B8F0-0000-7000-8000-00000000000A", 17],
        total=["1.50", 2],
        note=[None, "x"],
    )
    made = convert.made(spec, SOURCE, given)
    assert made.events["event"] == ["Paid", "Sent"]
    assert made.events["timestamp"] == [1_700_000_000 * SECOND, 1_700_000_001 * SECOND]
    assert made.events["uuid"] == ["0190b8f0-0000-7000-8000-00000000000a", ids.inserted(1)("17")]
    assert properties(made) == [{"Total": 1.5} | ORIGIN, {"Total": 2.0, "note": "x"} | ORIGIN]
    assert "set" not in made.events


def test_an_event_without_these_columns_is_of_the_runs_time_and_known_by_its_rows_key() -> None:
    made = convert.made(events(), SOURCE, rows(id=["a"]))
    assert made.events["timestamp"] == [NOW]
    assert made.events["uuid"] == [str(uuid.uuid5(SOURCE.id, "k0"))]
    assert properties(made) == [ORIGIN]
    later = Source(SOURCE.id, "Renamed", 4)
    assert convert.made(events(), later, rows(since=4, id=["a"])).events["uuid"] == made.events["uuid"]


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("id", "undefined", "identity_refused"),
        ("id", None, "identity_refused"),
        ("name", None, "event_name_refused"),
        ("name", "$identify", "event_name_refused"),
        ("at", None, "time_missing"),
        ("at", "soon", "time_refused"),
        ("at", "1970-12-31T23:59:59Z", "time_refused"),
        ("at", "2026-06-02T00:00:01Z", "time_refused"),
        ("order", None, "insert_id_missing"),
        ("order", " ", "insert_id_missing"),
        ("n", "many", "property_type"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_and_the_others_are_not(column: str, value: Any, code: str) -> None:
    spec = events(kept("n", kind=Type.INTEGER), event_column="name", time="at", insert_id="order")
    columns = {"id": "a", "name": "Paid", "at": "2026-06-02", "order": "x", "n": 1}
    given: dict[str, Any] = {name: [one, one, one] for name, one in columns.items()}
    given[column] = [given[column][0], value, given[column][0]]
    given["order"] = ["o0", given["order"][1], "o2"]
    made = convert.made(spec, SOURCE, rows(**given))
    assert made.positions == [0, 2]
    assert codes(made) == {1: code}
    assert made.refused[1].column == column
    assert made.refused[1].message.startswith(f"{column}: {json.dumps(value)} is not ")
    assert made.events["uuid"] == [ids.inserted(1)(one) for one in ("o0", "o2")]


def test_the_first_thing_that_is_wrong_is_told() -> None:
    spec = events(kept("n", kind=Type.INTEGER), kept("m", kind=Type.INTEGER), time="at")
    made = convert.made(
        spec, SOURCE, rows(id=["a", "a", ""], at=["2026-01-01", "x", "x"], n=[1, "x", "x"], m=["x"] * 3)
    )
    assert [made.refused[at].column for at in range(3)] == ["m", "at", "id"]


def test_a_mirrored_event_is_one_of_its_row_and_a_row_that_goes_leaves_a_tombstone() -> None:
    spec = events(kept("n"), insert_id="order")
    row = str(uuid.uuid5(SOURCE.id, "k0"))
    versions = [
        convert.made(spec, MIRROR, rows([op], since=since, id=["a"], n=[n], order=["o"]))
        for op, since, n in [(Op.ADDED, 1, 1), (Op.UPDATED, 2, 5), (Op.UPDATED, 3, 1), (Op.DELETED, 4, None)]
    ]
    assert len({made.events["uuid"][0] for made in versions}) == 4
    assert [properties(made)[0]["$import_row"] for made in versions] == [row] * 4
    assert [made.events["event"] for made in versions] == [["Order"], ["Order"], ["Order"], ["$deleted"]]
    assert properties(versions[0]) == [{"n": 1, "$import_row": row} | ORIGIN]
    assert versions[3].events["distinct_id"] == ["a"]
    assert properties(versions[3])[0]["$process_person_profile"] is False


def test_a_tombstone_of_a_row_that_does_not_say_whose_it_was() -> None:
    ops = [Op.DELETED, Op.ADDED, Op.DELETED]
    without_id = convert.made(events(insert_id="order"), MIRROR, rows(id=["a"], order=[None]))
    assert without_id.positions == [0], "it is known by its row"
    made = convert.made(events(kept("n")), MIRROR, rows(ops, id=[None, "a", "b"], n=[None, 1, None]))
    assert sorted(made.positions) == [0, 1, 2]
    found = dict(zip(made.positions, zip(made.events["event"], made.events["distinct_id"], strict=True), strict=True))
    assert found == {0: ("$deleted", "$import"), 1: ("Order", "a"), 2: ("$deleted", "b")}
    only_keys = convert.made(events(kept("n")), MIRROR, rows([Op.DELETED], order=["1"]))
    assert only_keys.events["distinct_id"] == ["$import"]


def test_a_deletion_names_a_person() -> None:
    spec = ImportSpec(kind=Kind.DELETIONS, identity="id")
    made = convert.made(spec, SOURCE, rows([Op.ADDED, Op.ADDED, Op.DELETED], id=["a", None, "c"]))
    assert made.events == {"distinct_id": ["a"]}
    assert made.positions == [0]
    assert codes(made) == {1: "identity_refused", 2: "deletion_taken_back"}


def test_tidemills_own_ids_hold_distinct_ids_by_now() -> None:
    spec = ImportSpec(kind=Kind.PEOPLE, person_id="person", properties=(kept("plan"),))
    assert convert.made(spec, SOURCE, rows(person=["a"], plan=["x"])).events["distinct_id"] == ["a"]


def test_members_are_properties_of_their_own_and_a_column_of_that_name_counts() -> None:
    spec = events(kept("params", "*", Type.KEY_VALUES), kept("more", "more.*", Type.JSON), kept("page"), kept("n"))
    parameters = [
        {"key": "page", "value": {"string_value": "/old"}},
        {"key": "$import_id", "value": {"string_value": "another"}},
        {"key": "x", "value": {"int_value": 4}},
        {"key": "none", "value": {"int_value": None}},
    ]
    given = rows(
        id=["a", "b"], params=[parameters, None], more=['{"x": {"y": null}}', None], page=["/new", "/b"], n=[None] * 2
    )
    made = convert.made(spec, SOURCE, given)
    assert properties(made) == [{"page": "/new", "x": 4, "more.x": {"y": None}} | ORIGIN, {"page": "/b"} | ORIGIN]


def test_members_of_a_person_that_are_null_are_removed() -> None:
    spec = people(kept("traits", "*", Type.JSON), kept("plan"))
    given = rows(id=["a", "b"], traits=['{"city": null, "age": 5, "plan": "old"}', "{}"], plan=[None, "x"])
    made = convert.made(spec, SOURCE, given)
    assert properties(made, "set") == [{"age": 5}, {"plan": "x"}]
    assert [one.get("$unset") for one in properties(made)] == [["city", "plan"], None]


def test_a_field_of_a_struct_is_read_by_its_path_unless_a_column_has_that_name() -> None:
    spec = events(kept("address.city"), kept("a.b"), kept("x.y.z"))
    given: dict[str, Any] = {"id": ["a", "b"], "address": [{"city": "Linz"}, None], "a": [{"b": 1}] * 2, "a.b": [2, 3]}
    given["x.y"] = [{"z": 1}, {}]
    made = convert.made(spec, SOURCE, rows(**given))
    assert properties(made) == [{"address.city": "Linz", "a.b": 2, "x.y.z": 1} | ORIGIN, {"a.b": 3} | ORIGIN]


@pytest.mark.parametrize("name", ["gone", "id.gone.deep"])
def test_a_column_that_vanished_is_no_null(name: str) -> None:
    if name == "gone":
        with pytest.raises(ConfigError, match="no column 'gone'"):
            convert.made(events(kept(name)), SOURCE, rows(id=["a"]))
    else:
        assert properties(convert.made(events(kept(name)), SOURCE, rows(id=["a"]))) == [ORIGIN]


@pytest.mark.parametrize("kind", ["plain", "spread"])
def test_texts_that_no_database_takes_are_mended_and_json_that_is_too_deep_is_refused(kind: str) -> None:
    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    values = [
        "a\0b",
        "\ud800",
        [{"\udfff": "\0"}],
        nested(499),
        nested(500),
        nested(3000),
        r"\u0000 as it was",
        "{" * 900,
    ]
    spec = events(kept("v", "v" if kind == "plain" else "v.*"))
    made = convert.made(spec, SOURCE, _rows_of([value if kind == "plain" else {"m": value} for value in values]))
    name = "v" if kind == "plain" else "v.m"
    stored = dict(zip(made.positions, (one[name] for one in properties(made)), strict=True))
    assert codes(made) == {4: "property_type", 5: "property_type"}
    assert 3 in stored
    assert {at: stored[at] for at in (0, 1, 2, 6, 7)} == {
        0: "a\ufffdb",
        1: "\ufffd",
        2: [{"\ufffd": "\ufffd"}],
        6: r"\u0000 as it was",
        7: "{" * 900,
    }


def _rows_of(values: Sequence[Any]) -> Rows:
    count = len(values)
    return Rows(
        [f"k{at}" for at in range(count)], ["h"] * count, [Op.ADDED] * count, {"id": ["a"] * count, "v": values}, NOW
    )


def test_json_in_a_text_that_is_too_deep_is_refused() -> None:
    values = ["[" * levels + "]" * levels for levels in (499, 500, 501, 5000)]
    made = convert.made(events(kept("v", kind=Type.JSON)), SOURCE, _rows_of(values))
    assert made.positions == [0]
    assert set(codes(made).values()) == {"property_type"}


def test_numbers_that_are_none_never_reach_json() -> None:
    values = [float("nan"), float("inf"), {"a": [float("-inf")]}]
    made = convert.made(events(kept("v")), SOURCE, _rows_of(values))
    assert properties(made) == [ORIGIN, ORIGIN, {"v": {"a": [None]}} | ORIGIN]


def test_a_property_may_be_called_anything_but_what_tells_where_it_came_from() -> None:
    names = ['say "hi"', "back\\slash", "é\n", "\0"]
    spec = people(*(kept("v", name) for name in names))
    made = convert.made(spec, SOURCE, _rows_of([1, None]))
    clean = [*names[:3], "\ufffd"]
    assert properties(made, "set") == [dict.fromkeys(clean, 1), {}]
    assert properties(made)[1]["$unset"] == clean
    with pytest.raises(ConfigError, match=r"\$import_row"):
        convert.made(events(kept("v", "$import_row")), SOURCE, _rows_of([1]))


def test_events_may_not_all_have_a_name_that_is_reserved() -> None:
    with pytest.raises(ConfigError) as refused:
        convert.made(ImportSpec(kind=Kind.EVENTS, identity="id", event="$identify"), SOURCE, rows(id=["a"]))
    assert refused.value.code == "event_name_refused"


def test_an_event_of_a_session_belongs_to_it() -> None:
    session = "0190b8f0-0000-7000-8000-00000000000a"
    spec = events(kept("v", "$session_id"))
    assert convert.made(spec, SOURCE, _rows_of([session, "none", None])).events["session_id"] == [session, None, None]
    spread = convert.made(events(kept("v", "*")), SOURCE, _rows_of([{"$session_id": session}]))
    assert spread.events["session_id"] == [session]


def test_nothing_is_made_of_nothing() -> None:
    made = convert.made(events(), SOURCE, Rows([], [], [], {}, NOW))
    assert (made.positions, made.refused, made.deleted) == ([], {}, [])
