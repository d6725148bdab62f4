"""An event without an id gets one from its content and place."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from tidemill.events.formats.event import derive_uuid

PLACES = st.tuples(
    st.integers(0, 2**31), st.binary(max_size=50), st.integers(1, 10**9), st.integers(0, 10**6), st.text(max_size=8)
)


@given(PLACES, PLACES, st.booleans())
def test_another_place_is_another_event(
    one: tuple[int, bytes, int, int, str], other: tuple[int, bytes, int, int, str], has_time: bool
) -> None:
    same = one[:4] == other[:4] and (has_time or one[4] == other[4])
    assert (derive_uuid(*one, has_time=has_time) == derive_uuid(*other, has_time=has_time)) == same


@given(PLACES, st.text(max_size=8))
def test_the_file_counts_only_for_events_without_a_time(place: tuple[int, bytes, int, int, str], file: str) -> None:
    moved = (*place[:4], file)
    assert derive_uuid(*place, has_time=True) == derive_uuid(*moved, has_time=True)
    if file != place[4]:
        assert derive_uuid(*place, has_time=False) != derive_uuid(*moved, has_time=False)


@given(PLACES, st.booleans())
def test_it_is_a_uuid_of_version_8(place: tuple[int, bytes, int, int, str], has_time: bool) -> None:
    made = uuid.UUID(derive_uuid(*place, has_time=has_time))
    assert (made.version, made.variant) == (8, uuid.RFC_4122)
    assert str(made) == derive_uuid(*place, has_time=has_time)


def test_it_does_not_change_from_one_version_to_the_next() -> None:
    made = derive_uuid(1, b'{"event":"a"}', 3, 0, "key", has_time=True)
    assert made == "ce92c77a-96fc-8eef-ac82-043ec9b1dcc2"
