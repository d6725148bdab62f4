"""Credentials do not go over the internet in clear text."""

from __future__ import annotations

import ipaddress

from tidemill.errors import ConfigError


def assert_not(scheme: str, address: str, credential: str | None) -> None:
    """Raise ConfigError if a credential would go by HTTP to an address of the internet."""
    if scheme == "http" and credential and ipaddress.ip_address(address.partition("%")[0]).is_global:
        raise ConfigError(
            "token_in_clear", "The token would go over the internet in clear text.", hint="Give an https:// address."
        )
