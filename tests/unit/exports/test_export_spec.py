"""What a user says of an export."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill import sizes
from tidemill.errors import ConfigError
from tidemill.exports import spec


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20GB", 20_000_000_000),
        ("500 mb", 500_000_000),
        ("1.5TB", 1_500_000_000_000),
        ("2 TB", 2_000_000_000_000),
        ("12345678", 12_345_678),
        (" none ", None),
    ],
)
def test_bytes_are_written_as_people_write_them(text: str, value: int | None) -> None:
    assert sizes.parse_bytes(text) == value


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1,5GB", "1e9", "20 apples", "nan"])
def test_what_is_no_number_of_bytes_says_so(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sizes.parse_bytes(text)
    assert caught.value.code == "bytes"


def test_a_limit_under_what_any_statement_costs_is_refused() -> None:
    for limit, said in ((1, "A limit of 1 is too low"), (1_000_000, "10 MiB at least"), (10**27, "too high")):
        with pytest.raises(ConfigError, match=said) as caught:
            spec.make(name="e", table="t", max_bytes_billed=limit)
        assert "--max-bytes-billed" in caught.value.hint
    assert spec.make(name="e", table="t", max_bytes_billed=sizes.parse_bytes("11MB")).max_bytes_billed == 11_000_000


def test_a_team_that_no_database_holds_is_refused() -> None:
    assert spec.make(name="e", team_id=2**63 - 1).team_id == 2**63 - 1
    with pytest.raises(ConfigError, match="--team is a number from 0 to"):
        spec.make(name="e", team_id=2**63)


def test_an_export_that_was_saved_before_there_were_limits_has_none() -> None:
    saved = spec.make(name="e", table="t").model_dump(mode="json")
    del saved["max_bytes_billed"]
    assert spec.ExportSpec.model_validate(saved).max_bytes_billed is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"mode": "stream", "buffer_bytes": 100},
            "--buffer-bytes is a number from 1,000,000 to 8,000,000, and not 100.",
        ),
        ({"mode": "stream", "buffer_seconds": 700}, "--buffer-seconds is a number from 0 to 600, and not 700."),
        ({"mode": "streaming"}, "--mode is one of: batch, stream, and not 'streaming'."),
        ({"delivery": "pigeon"}, "--delivery is one of: load, storage-write, and not 'pigeon'."),
        ({"partition_expiration_days": 0}, "--partition-expiration is a number from 1 to 36,500, and not 0."),
        ({"name": "?"}, "NAME is up to 100 letters"),
        ({"json_type": "maybe"}, "--json-type cannot be 'maybe'"),
    ],
)
def test_a_wrong_option_is_named_with_what_it_may_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec.make(**{"name": "e", **fields})
    assert said in caught.value.message
    assert "pydantic" not in caught.value.message
