"""Keys and tokens: texts that let in whoever has them. How they are made, and known again by a hash."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import string

_ALPHABET = string.ascii_letters + string.digits
_LENGTH, _SHOWN = 40, 8


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of them. `prefix`: by which people, and scanners for secrets, know it."""

    prefix: str

    def make(self) -> str:
        """A new one."""
        return self.prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))

    def start(self, text: str) -> str:
        """What may be shown of one."""
        return text[: len(self.prefix) + _SHOWN]

    def looks_like(self, text: str) -> bool:
        """Whether it may be one: others need not be looked up."""
        return len(text) == len(self.prefix) + _LENGTH and text.startswith(self.prefix)


#: Of SDKs that send events; of programs that use the API; of browsers of who is signed in; of who makes the first
#: account; and of addresses by which something is run.
KEY, TOKEN, SESSION, SETUP, HOOK = Kind("tm_"), Kind("tma_"), Kind("tms_"), Kind("tmu_"), Kind("tmh_")


def digest(text: str) -> bytes:
    """By which one is found. It is random and long, so a plain hash tells nothing of it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
