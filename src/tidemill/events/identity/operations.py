"""Amplitude's operations on the properties of a person that are more than set, set once and unset.

Facts: Amplitude's Identify API and its SDKs' pages on user properties. A value that is no list counts as a list of it;
a list of values is taken value by value. Values are JSON texts, and stay as they came.
"""

from __future__ import annotations

import decimal
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

#: Names and values of properties; the values are JSON texts, as they came.
Properties: TypeAlias = dict[str, bytes]
#: What is to be done, in the order in which it is done when an event asks for several.
ORDER = ("$add", "$append", "$prepend", "$preInsert", "$postInsert", "$remove")

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_NUMBER = msgspec.json.Decoder(decimal.Decimal)


def outcome(operations: Mapping[str, Properties], now: Properties) -> tuple[Properties, tuple[str, ...]]:
    """The properties that the operations give, by what they are now; and the names of those that they do not fit.

    `operations`: by their names in ORDER, each with properties and operands.
    """
    made: Properties = {}
    refused = []
    for operation in ORDER:
        for name, operand in operations.get(operation, {}).items():
            before = made.get(name, now.get(name))
            try:
                after = _add(before, operand) if operation == "$add" else _listed(operation, before, operand)
            except (ValueError, ArithmeticError):  # of msgspec, too
                refused.append(name)
                continue
            if after is not None:
                made[name] = after
    return made, tuple(refused)


def _add(before: bytes | None, operand: bytes) -> bytes:
    number = _number(operand)
    if before is None:
        return operand
    with decimal.localcontext(prec=400):
        total = _number(before) + number
    text = format(total, "f") if -30 < total.adjusted() < 30 else str(total)
    return (text.rstrip("0").rstrip(".") if "." in text and "E" not in text else text).encode()


def _number(text: bytes) -> decimal.Decimal:
    if text[:1] == b'"':  # a Decimal may be written as a text, too
        raise ValueError
    number = _NUMBER.decode(text)
    if abs(number.adjusted()) > 308:  # no float holds it
        raise ValueError
    return number


def _listed(operation: str, before: bytes | None, operand: bytes) -> bytes | None:
    """The list with the operand in it, or out of it; None if it stays as it is."""
    there, given = _items(before), _items(operand)
    match operation:
        case "$append":
            after = [*there, *given]
        case "$prepend":
            after = [*given, *there]
        case "$preInsert":
            after = [*_without(given, there), *there]
        case "$postInsert":
            after = [*there, *_without(given, there)]
        case _:
            after = _without(there, given, once=False)
    if after == there and (before is None or operation != "$append"):
        return None
    return b"[" + b",".join(after) + b"]"


def _items(text: bytes | None) -> list[bytes]:
    if text is None or text == b"null":
        return []
    return [bytes(item) for item in _LIST.decode(text)] if text[:1] == b"[" else [text]


def _without(items: Sequence[bytes], others: Iterable[bytes], *, once: bool = True) -> list[bytes]:
    """Those that are not among the others, by their values; `once`: each once."""
    seen = {_canonical(other) for other in others}
    left = []
    for item in items:
        key = _canonical(item)
        if key not in seen:
            left.append(item)
            if once:
                seen.add(key)
    return left


def _canonical(text: bytes) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(text), order="deterministic")
