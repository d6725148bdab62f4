"""Which version of a package is taken."""

from __future__ import annotations

import pytest

from tidemill.dbt import versions
from tidemill.errors import ConfigError

KNOWN = ["0.9.0", "1.0.0-rc.1", "1.0.0", "1.2.0", "1.10.0", "2.0.0-beta.2", "2.0.0-beta.10", "not a version", ">1.0.0"]


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ("1.0.0", "1.0.0"),
        ("=1.2.0", "1.2.0"),
        (">=1.0.0", "1.10.0"),
        ([">=1.0.0", "<1.10.0"], "1.2.0"),
        (">=1.0.0,<1.10.0", "1.2.0"),
        (["> 0.9.0", "<= 1.0.0"], "1.0.0"),
        ("<1.0.0", "0.9.0"),
        (">=2.0.0-beta.1", "2.0.0-beta.10"),
        (">=1.0.0-rc.1", "2.0.0-beta.10"),
        ("2.0.0", None),
        ("v1.2.0", "1.2.0"),
    ],
)
def test_the_newest_that_fits_is_taken(wanted: object, taken: str | None) -> None:
    assert versions.newest(KNOWN, versions.wishes(wanted)) == taken


def test_what_comes_before_a_release_is_taken_if_it_is_asked_for() -> None:
    assert versions.newest(KNOWN, versions.wishes(">=1.0.0"), before_releases=True) == "2.0.0-beta.10"


def test_one_that_was_taken_before_stays_while_it_fits() -> None:
    wanted = versions.wishes(">=1.0.0")
    assert versions.newest(KNOWN, wanted, pinned="1.0.0") == "1.0.0"
    assert versions.newest(KNOWN, wanted, pinned="0.9.0") == "1.10.0"
    assert versions.newest(KNOWN, wanted, pinned="1.1.0") == "1.10.0"


@pytest.mark.parametrize("text", ["", "1", "1.2", "latest", "1.0.0 || 2.0.0", "~1.0.0", "1.0.0; rm", None, []])
def test_what_is_no_version_is_refused(text: object) -> None:
    with pytest.raises(ConfigError, match="no version") as caught:
        versions.wishes(text or "")
    assert caught.value.code == "dbt_package"
