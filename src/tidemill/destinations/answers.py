"""What the answer of an API means for the whole call, where the API has no rules of its own."""

from __future__ import annotations

import dataclasses
import logging
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

from tidemill.destinations.port import Action, BatchRefused, Outcome, Partly, Sending
from tidemill.errors import AccessError, ConfigError, RetryableError, TidemillError, UnavailableError
from tidemill.outbound import network
from tidemill.outbound.client import Answer

_log = logging.getLogger(__name__)
#: It will pass (RFC 9110, 6585); nothing was done.
_PASSES = frozenset({408, 409, 423, 425, 429})
_ACCESS = frozenset({401, 402, 403, 407})
#: Of the address, not of what was sent.
_OF_ADDRESS = frozenset({404, 405, 410, 421, 501})


def checked(answer: Answer, who: str, secrets: Iterable[str] = (), *, hint: str = "") -> Answer:
    """The answer, if it is of the kind 2xx. `who`: the destination, for messages; `hint`: what to do about a refusal.

    Raises
    ------
    RetryableError
        It asks to come later; nothing was done.
    UnavailableError
        It failed: what was sent may have been taken.
    AccessError
        The credential is not taken, or may not do that.
    ConfigError
        There is nothing at that address.
    BatchRefused
        What was sent is refused.
    """
    if answer.good:
        return answer
    said = answer.said(secrets)
    told = f"{who} answers {answer.status}{f': {said}' if said else ''}."
    status = answer.status
    if status in _PASSES:
        raise RetryableError("destination_busy", told, hint="It is tried again.", after=answer.after)
    if status in _ACCESS:
        raise AccessError("destination_denied", told, hint=hint or "Look at the credential, and at what it may do.")
    if 300 <= status < 400:
        raise ConfigError("destination_redirects", told, hint="Name the address that it leads to.")
    if status in _OF_ADDRESS:
        raise ConfigError("destination_address", told, hint=hint or "Look at the address, the region and the ids.")
    if status >= 500:
        raise UnavailableError("destination_failed", told, hint="It is tried again.", after=answer.after)
    raise BatchRefused("destination_refused", told)


def waiting(answer: Answer, seconds: float | None) -> Answer:
    """The answer; of one that asks to wait without Retry-After, `seconds` stand for it."""
    if answer.status != 429 or seconds is None or answer.after is not None:
        return answer
    return dataclasses.replace(answer, headers={**answer.headers, "retry-after": f"{max(0.0, seconds):.1f}"})


def told(answer: Answer, who: str, secrets: Iterable[str] = (), *, may_be_empty: bool = False) -> dict[str, Any]:
    """The object that a good answer of an API is. `may_be_empty`: it may also say nothing.

    Raises
    ------
    UnavailableError
        It is something else, such as the page of a proxy: what was sent may have been taken, or never have arrived.
    """
    said = answer.json()
    if isinstance(said, dict):
        return said
    if may_be_empty and answer.body.strip() in {b"", b"null"}:
        return {}
    raise _odd(answer, who, secrets)


def assert_no_page(answer: Answer, who: str, secrets: Iterable[str] = ()) -> None:
    """The same of an API whose words are not known: a page is none of them."""
    if answer.body.lstrip().startswith(b"<"):
        raise _odd(answer, who, secrets)


def _odd(answer: Answer, who: str, secrets: Iterable[str]) -> UnavailableError:
    said = answer.said(secrets)
    return UnavailableError(
        "destination_odd",
        f"{who} answers {answer.status} with something that is none of its answers: {said or 'nothing'}.",
        hint="It is tried again. Look at the address: does a proxy or a page to sign in stand before it?",
    )


def guarded(action: Action, secrets: Iterable[str]) -> Action:
    """The action, with a `send` that raises errors of ours alone, and gives no secret away: a tool may quote what it
    was sent. An answer that nobody has foreseen is of one call: its rows may be there, and the others go on."""
    known = tuple(secrets)

    def send(client: Any, batch: Sequence[Sending]) -> Sequence[Outcome]:
        try:
            return [_without(outcome, known) for outcome in action.send(client, batch)]
        except Partly as partly:
            outcomes = {place: _without(outcome, known) for place, outcome in partly.outcomes.items()}
            cause = partly.__cause__
            raise Partly(outcomes, unsure=partly.unsure) from (
                _ours(action, cause, known) if isinstance(cause, Exception) else cause
            )
        except Exception as error:  # noqa: BLE001 - whatever an answer can cause
            raise _ours(action, error, known) from None

    return dataclasses.replace(action, send=send)


def _ours(action: Action, error: Exception, secrets: Sequence[str]) -> TidemillError:
    """The error as one of ours, without secrets."""
    if isinstance(error, TidemillError):
        return network.without(error, secrets)
    # Where, and not what it says, which may hold what was sent.
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("%s: %s\n%s", action.name, type(error).__name__, where)
    return UnavailableError(
        "destination_unforeseen",
        f"The answer is none that Tidemill understands ({type(error).__name__}).",
        hint="It is tried again. If it stays so, please report it, with what the log says.",
    )


def _without(outcome: Outcome, secrets: Sequence[str]) -> Outcome:
    if not outcome.message and not outcome.code:
        return outcome
    code, message = network.scrubbed(outcome.code, secrets), network.scrubbed(outcome.message, secrets)
    return dataclasses.replace(outcome, code=code, message=message)
