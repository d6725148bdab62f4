"""Credentials: they do not go over the internet in clear text, and are in no address, for addresses are shown."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse

from tidemill.errors import ConfigError

#: Names in the query of an address whose values let in.
_SIGNED = re.compile(r"sig|token|secret|password|credential|api_?key|access_?key", re.I)


def assert_not(scheme: str, address: str, credential: str | None) -> None:
    """Raise ConfigError if a credential would go by HTTP to an address of the internet."""
    if scheme == "http" and credential and ipaddress.ip_address(address.partition("%")[0]).is_global:
        raise ConfigError(
            "token_in_clear", "The token would go over the internet in clear text.", hint="Give an https:// address."
        )


def holds_secret(address: str) -> bool:
    """Whether there is a password in it; a token where https has a name; or a signature, as of a link to a bucket."""
    try:
        found = urllib.parse.urlsplit(address)
    except ValueError:
        return False
    named = bool(found.username) and found.scheme in {"https", "http"}
    signed = any(_SIGNED.search(name) for name in urllib.parse.parse_qs(found.query, keep_blank_values=True))
    return found.password is not None or named or signed
