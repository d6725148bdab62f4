"""ETags: they change with what is answered, and say when a client has it, or has not seen what it wants to change."""

from __future__ import annotations

import pydantic
import pytest

from tidemill.api.v1 import tags
from tidemill.api.v1.problems import ProblemError


class Made(pydantic.BaseModel):
    name: str
    size: int = 1


def test_a_tag_is_that_of_the_content() -> None:
    assert tags.tag(Made(name="a")) == tags.tag(Made(name="a", size=1))
    assert len({tags.tag(Made(name=name, size=size)) for name in "ab" for size in (1, 2)}) == 4


@pytest.mark.parametrize("given", ["{tag}", '"x", {tag}', "*"])
def test_who_has_seen_it_may_change_it(given: str) -> None:
    made = Made(name="a")
    tags.IfMatch(given.replace("{tag}", tags.tag(made))).check(made)


@pytest.mark.parametrize(
    ("given", "status"),
    [(None, 428), ('"x"', 412), ("W/{tag}", 412), ("", 412)],
    ids=["none", "other", "weak", "empty"],
)
def test_who_has_not_may_not(given: str | None, status: int) -> None:
    made = Made(name="a")
    with pytest.raises(ProblemError) as error:
        tags.IfMatch(given.replace("{tag}", tags.tag(made)) if given else given).check(made)
    assert error.value.problem.status == status
