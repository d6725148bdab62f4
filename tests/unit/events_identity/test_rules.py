"""Who is who, by the rules one by one: PostHog's, and those of Amplitude's devices, numbers and operations."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tidemill.events.identity import rules
from tidemill.events.identity.people import Action, People, Person


def people_of(*events: Action) -> People:
    found = People([], [])
    for event in events:
        found.apply(event)
    return found


def event(name: str, distinct_id: str, **more: Any) -> Action:
    return Action(1, f"{name}-{distinct_id}", name, distinct_id, 0, **more)


def person(people: People, distinct_id: str) -> Person | None:
    link = people.links.get((1, distinct_id))
    return people.persons[1, link.person_id] if link and link.person_id else None


def test_set_once_keeps_set_replaces_and_unset_removes_in_this_order() -> None:
    people = people_of(
        event("hit", "a", set={"x": b"1"}, set_once={"x": b"0", "y": b"2"}),
        event("hit", "a", set_once={"x": b"9", "z": b"3"}, set={"y": b"4"}, unset=("x", "none")),
    )
    found = person(people, "a")
    assert found is not None
    assert found.properties == {"y": b"4", "z": b"3"}
    assert found.version == 1


def test_the_target_wins_and_the_older_time_and_all_ids_move() -> None:
    people = people_of(
        dataclasses.replace(event("hit", "old", set={"plan": b"1", "city": b"2"}), timestamp=5),
        dataclasses.replace(event("hit", "user", set={"plan": b"3"}), timestamp=7),
        event("$identify", "user", merged="old"),
    )
    found = person(people, "user")
    assert found is not None
    assert found is person(people, "old")
    assert (found.properties, found.created_at, found.identified) == ({"plan": b"3", "city": b"2"}, 5, True)
    assert people.links[1, "old"].version == 1


#: Of the first, case does not count. PostHog's ingestion; written out here, not derived.
NOBODY = [
    "anonymous",
    "guest",
    "distinctid",
    "distinct_id",
    "id",
    "not_authenticated",
    "email",
    "undefined",
    "true",
    "false",
]
NOBODY += [name.upper() for name in NOBODY] + ["[object Object]", "NaN", "None", "none", "null", "0"]
NOBODY += ["", "  ", "'None'", '"undefined"', "Email", "'GUEST'"]


@pytest.mark.parametrize("name", NOBODY)
def test_an_id_that_stands_for_nobody_is_not_merged(name: str) -> None:
    people = people_of(event("hit", "a"), event("$identify", "a", merged=name))
    assert [warning.code for warning in people.warnings] == ["merge_with_nobody"]
    assert person(people, name) is None


@pytest.mark.parametrize(("of_user", "of_other"), [(0, 3), (3, 0), (2, 2)])
def test_after_a_merge_the_version_is_the_next_after_the_greater(of_user: int, of_other: int) -> None:
    changes = [event("$set", "user", set={"n": str(n).encode()}) for n in range(of_user + 1)]
    changes += [event("$set", "other", set={"n": str(n).encode()}) for n in range(of_other + 1)]
    people = people_of(*changes)
    gone, stays = person(people, "other"), person(people, "user")
    assert gone
    assert stays
    assert (stays.version, gone.version) == (of_user, of_other)
    people.apply(event("$identify", "user", merged="other"))
    assert stays.version == max(of_user, of_other) + 1
    assert (gone.deleted, gone.version) == (True, of_other + 1)


@pytest.mark.parametrize("name", ["NULL", "nan", "Anna", "'x", "00"])
def test_an_id_that_only_looks_like_one_is(name: str) -> None:
    assert not people_of(event("$identify", "a", merged=name)).warnings


def test_an_identified_person_is_absorbed_only_dangerously() -> None:
    first = (event("$identify", "a", merged="x"), event("$identify", "b", merged="y"))
    refused = people_of(*first, event("$create_alias", "a", merged="b"))
    assert person(refused, "a") is not person(refused, "b")
    assert [(w.code, w.distinct_id, w.other) for w in refused.warnings] == [("merge_of_identified", "a", "b")]
    forced = people_of(*first, event("$merge_dangerously", "a", merged="b"))
    assert len({id(person(forced, name)) for name in "abxy"}) == 1


def test_an_id_without_a_person_gets_one_later_and_says_so_by_its_version() -> None:
    people = people_of(dataclasses.replace(event("hit", "a", set={"x": b"1"}), personless=True))
    assert person(people, "a") is None
    people.apply(event("$identify", "user", merged="a"))
    assert (people.links[1, "a"].version, people.links[1, "user"].version) == (1, 0)


def test_what_sdks_send_by_themselves_is_no_reason_to_write() -> None:
    people = people_of(
        event("hit", "a", set={"plan": b"1"}), event("hit", "a", set={"$browser": b"2", "$geoip_x": b"3"})
    )
    found = person(people, "a")
    assert found is not None
    assert (found.version, found.properties) == (0, {"plan": b"1"})
    people.apply(event("$set", "a", set={"$browser": b"2"}))
    assert (found.version, found.properties) == (1, {"plan": b"1", "$browser": b"2"})


def test_properties_that_would_be_too_large_are_refused_and_said_so() -> None:
    large = b'"' + b"x" * rules.MAX_PROPERTIES + b'"'
    people = people_of(event("hit", "a", set={"plan": b"1"}), event("$set", "a", set={"text": large}))
    found = person(people, "a")
    assert found is not None
    assert found.properties == {"plan": b"1"}
    assert [warning.code for warning in people.warnings] == ["person_too_large"]


def amplitude(user: str | None, device: str, number: int) -> Action:
    more: dict[str, Any] = {"merged": device, "quiet": True, "device": device, "place": (1, number)}
    return event("hit", user or device, **more)


def test_amplitude_ids_by_the_rows_of_its_own_page() -> None:
    """Amplitude, "Track unique users": each step with the id that its event has."""
    steps = [
        ("joe", "X", 1),
        (None, "X", 1),  # of the one who was last seen on the device
        ("joe", "Y", 1),
        ("jane", "Y", 2),  # another user of it is somebody else
        (None, "Y", 2),
        (None, "G", 3),
        (None, "G", 3),
        ("john", "G", 3),  # takes over what nobody has yet
        ("david", "W", 4),
        (None, "Z", 5),
        ("david", "Z", 4),  # 5 is merged into 4
        (None, "Z", 4),
    ]
    people, found = People([], []), []
    for number, (user, device, _) in enumerate(steps):
        action = amplitude(user, device, number)
        people.apply(action)
        found.append(people.links[1, action.distinct_id].number)
    assert found == [number for *_, number in steps]
    assert [(merge.number, merge.into) for merge in people.merges] == [(5, 4)]


def test_a_device_that_stands_for_nobody_has_no_user() -> None:
    people = people_of(amplitude("ana", "anonymous", 0), amplitude(None, "anonymous", 1))
    assert not people.switches
    assert person(people, "anonymous") is not person(people, "ana")


def test_somebody_who_comes_again_after_a_deletion_has_a_new_number() -> None:
    people = people_of(event("hit", "a"), event("hit", "b"), event("$identify", "b", merged="a"))
    assert people.delete(1, "a")
    people.apply(event("hit", "a"))
    found = person(people, "a")
    assert found is not None
    assert found.number == 3
    assert (people.links[1, "a"].number, people.links[1, "b"].number) == (3, 2)
    assert [(merge.number, merge.into) for merge in people.merges] == [(1, 2)]
    people.apply(event("$identify", "c", merged="a"))
    assert people.links[1, "a"].number == people.links[1, "c"].number == 3
    people.apply(event("$identify", "c", merged="b"))  # whom nobody has seen since
    assert people.links[1, "b"].number == 3
    assert len(people.merges) == 1


@pytest.mark.parametrize(
    ("operations", "before", "after"),
    [
        ({"$add": {"n": b"2"}}, {}, {"n": b"2"}),
        ({"$add": {"n": b"-0.1"}}, {"n": b"0.3"}, {"n": b"0.2"}),
        ({"$add": {"n": b"1"}}, {"n": b"12345678901234567890"}, {"n": b"12345678901234567891"}),
        ({"$append": {"x": b'"b"'}}, {"x": b'"a"'}, {"x": b'["a","b"]'}),
        ({"$append": {"x": b"[2,1.50]"}}, {"x": b"[1]"}, {"x": b"[1,2,1.50]"}),
        ({"$prepend": {"x": b"[2]"}}, {"x": b"[1]"}, {"x": b"[2,1]"}),
        ({"$append": {"x": b"1"}}, {}, {"x": b"[1]"}),
        ({"$preInsert": {"x": b"[2,1,3,3]"}}, {"x": b"[1]"}, {"x": b"[2,3,1]"}),
        ({"$postInsert": {"x": b'{"a":1,"b":2}'}}, {"x": b'[{"b":2,"a":1}]'}, {"x": b'[{"b":2,"a":1}]'}),
        ({"$remove": {"x": b"1"}}, {"x": b"[1,2,1]"}, {"x": b"[2]"}),
        ({"$remove": {"x": b"1"}}, {}, {}),
    ],
)
def test_operations_of_amplitude(
    operations: dict[str, dict[str, bytes]], before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    people = people_of(event("$set", "a", set={"k": b"1", **before}), event("$identify", "a", operations=operations))
    found = person(people, "a")
    assert found is not None
    assert found.properties == {"k": b"1", **after}
    assert not people.warnings


@pytest.mark.parametrize(("operand", "now"), [(b'"1"', b"1"), (b"1", b'"a"'), (b"1e999", b"1"), (b"null", b"1")])
def test_an_operation_that_does_not_fit_is_refused_and_said_so(operand: bytes, now: bytes) -> None:
    asked = {"$add": {"n": operand}, "$append": {"x": b"1"}}
    people = people_of(event("$set", "a", set={"n": now}), event("$identify", "a", operations=asked))
    found = person(people, "a")
    assert found is not None
    assert found.properties == {"n": now, "x": b"[1]"}
    assert [(warning.code, warning.other) for warning in people.warnings] == [("operation_refused", "n")]


def test_all_properties_can_be_cleared_at_once() -> None:
    people = people_of(event("$set", "a", set={"x": b"1", "y": b"2"}), event("$identify", "a", clear=True))
    found = person(people, "a")
    assert found is not None
    assert (found.properties, found.version) == ({}, 1)
