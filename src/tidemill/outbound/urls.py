"""Addresses of web servers: which are good, and what may be shown of them."""

from __future__ import annotations

import ipaddress
import urllib.parse

from pydantic import SecretStr

from tidemill.errors import ConfigError


def checked(url: SecretStr) -> SecretStr:
    """An address that requests can go to.

    Raises
    ------
    ConfigError
        It is none. The address is not in it.
    """
    text = url.get_secret_value()
    try:
        found = urllib.parse.urlsplit(text)
        good = found.scheme in {"http", "https"} and bool(found.hostname) and found.port != 0
    except ValueError:
        good = False
    if not good or not text.isprintable() or any(letter.isspace() for letter in text):
        raise ConfigError(
            "url", "That is no address of a web server.", hint="It begins with https:// (or http://), and a name."
        )
    return url


def origin(url: SecretStr) -> str:
    """The server alone: what comes behind it may be a secret."""
    found = urllib.parse.urlsplit(url.get_secret_value())
    host = f"[{found.hostname}]" if ":" in (found.hostname or "") else found.hostname
    return f"{found.scheme}://{host}{f':{found.port}' if found.port else ''}/…"


def is_local(host: str) -> bool:
    """Whether it is this machine."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
