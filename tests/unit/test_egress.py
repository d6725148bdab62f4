"""Addresses from which an installation reaches others, for their allow-lists."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pydantic
import pytest

from tidemill.connections.service import ConnectionService
from tidemill.settings import Settings


def test_addresses_and_networks_are_told_as_networks_each_once() -> None:
    made = Settings(egress_ips=" 203.0.113.5,203.0.113.16/28, 203.0.113.5/32,,2001:db8::/48 ")
    assert made.egress_networks == ("203.0.113.5/32", "203.0.113.16/28", "2001:db8::/48")
    assert Settings(egress_ips="").egress_networks == ()


@pytest.mark.parametrize("wrong", ["example.com", "203.0.113.5/8", "203.0.113", "203.0.113.5; 203.0.113.6"])
def test_what_google_would_refuse_is_refused_here(wrong: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="is no address or network"):
        Settings(egress_ips=f"203.0.113.7,{wrong}")


def test_the_commands_make_a_level_of_all_of_them(tmp_path: Path) -> None:
    """The first one writes YAML, as a shell reads it."""
    write, level, perimeter = ConnectionService.allow_list(Settings(egress_ips="203.0.113.5,2001:db8::/48"))
    subprocess.run(["sh", "-c", write], cwd=tmp_path, check=True)
    assert (tmp_path / "tidemill.yaml").read_text() == "- ipSubnetworks:\n  - 203.0.113.5/32\n  - 2001:db8::/48\n"
    assert "--basic-level-spec=tidemill.yaml" in level
    assert "--add-access-levels=tidemill" in perimeter
    assert ConnectionService.allow_list(Settings(egress_ips="")) == []
