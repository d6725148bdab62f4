"""Where sign-in leads to: pages of ours alone."""

from __future__ import annotations

import pytest

from tidemill.web.doors import inside


@pytest.mark.parametrize("wanted", ["/", "/exports/a%2Fb?x=1#runs", "/settings/keys?search=//x"])
def test_pages_of_ours(wanted: str) -> None:
    assert inside(wanted) == wanted


@pytest.mark.parametrize(
    "wanted", ["", "exports", "//evil", "/\\evil", "/a\\b", "https://evil", "javascript:alert(1)", "/a\nb", "///evil"]
)
def test_anything_else_leads_home(wanted: str) -> None:
    assert inside(wanted) == "/"
