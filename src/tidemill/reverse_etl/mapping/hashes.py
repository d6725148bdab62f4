"""@hash: personal data as destinations of advertising ask for it: normalised, then hashed.

What is hashed already is left, as Segment's `processHashing` does (research on reverse ETL, section 3.1).
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import re
from collections.abc import Callable
from typing import Any

from tidemill.reverse_etl.mapping.compiler import Compiler, Place, nothing
from tidemill.reverse_etl.mapping.values import MISSING, Reader, Unfit, each, failed, text, told

#: Bytes of a hash.
_SIZES = {"sha256": 32, "md5": 16}
_ENCODINGS = ("hex", "base64")
_NORMALISATIONS = ("none", "email", "phone", "phone_digits")
_COUNTRY_CODE = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)
#: What people write between the digits of a number.
_BETWEEN = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]+")
_DIGITS = re.compile(r"[0-9]{7,15}", re.ASCII)  # E.164 has at most 15, with the code of the country


def hashed(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@hash: a value hashed; of a list, each item. Null, what is missing and empty texts stay as they are."""
    names = ("value", "algorithm", "encoding", "normalize", "country_code")
    options = compiler.options("@hash", argument, place, names)
    if options is None:
        return nothing
    algorithm, encoding = options.get("algorithm", "sha256"), options.get("encoding", "hex")
    normalisation, code = options.get("normalize", "none"), options.get("country_code")
    good = compiler.one_of("@hash", "algorithm", algorithm, tuple(_SIZES), place)
    good &= compiler.one_of("@hash", "encoding", encoding, _ENCODINGS, place)
    good &= compiler.one_of("@hash", "normalize", normalisation, _NORMALISATIONS, place)
    if code is not None and not (isinstance(code, str) and _COUNTRY_CODE.fullmatch(code)):
        compiler.wrong(place, f"@hash.country_code is {told(code)}; it is a text of digits, such as '44'")
        good = False
    if "value" not in options:
        return compiler.wrong(place, "@hash has no value")
    child = compiler.node(options["value"], place.below("@hash.value"))
    if not good:
        return nothing
    change = functools.partial(_hashed, algorithm, encoding, _normaliser(normalisation, code))

    def read(row: Any) -> Any:
        try:
            return each(change, child(row))
        except Unfit as unfit:
            raise failed(place.path, f"@hash {unfit}") from None

    return read


def _hashed(algorithm: str, encoding: str, normalise: Callable[[str], str], value: Any) -> Any:
    if value is None or value is MISSING:
        return value
    if not isinstance(value, str | int | float):
        raise Unfit(f"is given {told(value)}, and should be given a text")
    found = text(value)
    if _is_hash(found.strip(), algorithm):
        return found.strip()
    found = normalise(found)
    if not found:
        return found
    digest = hashlib.new(algorithm, found.encode(errors="surrogatepass"), usedforsecurity=False).digest()
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()


def _is_hash(value: str, algorithm: str) -> bool:
    """Whether a text is what the algorithm makes, in one of the encodings."""
    size = _SIZES[algorithm]
    try:
        if len(value) == 2 * size:
            return len(bytes.fromhex(value)) == size
        return value.endswith("=") and len(base64.b64decode(value, validate=True)) == size
    except (ValueError, binascii.Error):
        return False


def _normaliser(normalisation: str, code: str | None) -> Callable[[str], str]:
    if normalisation == "email":
        return lambda value: value.strip().lower()
    if normalisation == "phone":
        return lambda value: _phone(value, code, "+")
    if normalisation == "phone_digits":
        return lambda value: _phone(value, code, "")
    return lambda value: value


def _phone(value: str, code: str | None, before: str) -> str:
    """A telephone number as ITU-T E.164 writes it: the country's code and the number, digits only.

    One that begins with `+` or `00` has its country's code. To others `code` is added, in place of the zeros they begin
    with; in Italy the zero belongs to the number. Numbers of North America have ten digits: an eleventh is the code.

    Raises
    ------
    Unfit
        It is no number, or it is not known of which country.
    """
    international = value.lstrip(" (").startswith(("+", "00"))
    # Who writes +43 (0) 664 means a zero that is dialled within the country only.
    found = _BETWEEN.sub("", value.replace("(0)", "") if international else value)
    if not found:
        return ""
    if international:
        found = found.lstrip("+").lstrip("0")
    elif code == "1":
        found = found if len(found) == 11 and found[0] == "1" else f"1{found}"
    elif code is not None:
        found = f"{code}{found}" if code == "39" else f"{code}{found.lstrip('0')}"
    elif found.startswith("0"):
        raise Unfit(f"cannot tell the country of {told(value)}; country_code says which")
    if not _DIGITS.fullmatch(found):
        raise Unfit(f"cannot read {told(value)} as a telephone number")
    return f"{before}{found}"
