"""Types of columns as dbt projects write them, and which may take another's place."""

from __future__ import annotations

import re

#: BigQuery's synonyms ("Data types", aliases), and those of catalogs of its REST API.
_SYNONYMS = {
    **dict.fromkeys(("INT", "INTEGER", "SMALLINT", "BIGINT", "TINYINT", "BYTEINT"), "INT64"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "FLOAT64"),
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
    "BOOLEAN": "BOOL",
    "RECORD": "STRUCT",
}
#: BigQuery's coercions of numbers to which nothing is lost ("Conversion rules", supertypes).
_WIDER = {"INT64": {"NUMERIC", "BIGNUMERIC"}, "NUMERIC": {"BIGNUMERIC"}}
#: STRING(10), NUMERIC(10, 2): what may stand in a column, not what it is.
_PARAMETERS = re.compile(r"\(\s*\d+(\s*,\s*\d+)?\s*\)")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def normal(type_: str) -> str:
    """A type in one writing: synonyms, capitals, spaces and parameters do not count; names of fields of a STRUCT do."""
    text = _PARAMETERS.sub("", type_.strip())
    text = re.sub(r"\s*([<>,])\s*", r"\1", re.sub(r"\s+", " ", text))
    text = re.sub(r"(?i)( not null| options ?\(.*?\))(?=[,>]|$)", "", text)
    return _WORD.sub(lambda word: _normal_word(text, word), text)


def _normal_word(text: str, word: re.Match[str]) -> str:
    """A name of a field in small letters, a type by its first name: a name is what a space and a type come after."""
    if text[word.end() : word.end() + 1] == " ":
        return word[0].lower()
    upper = word[0].upper()
    return _SYNONYMS.get(upper, upper)


def compatible(before: str, after: str) -> bool:
    """Whether values of the new type are what values of the old one were: the same type, or a wider exact number."""
    old, new = normal(before), normal(after)
    return old == new or new in _WIDER.get(old, ())


def same(before: str, after: str) -> bool:
    """Whether it is one type."""
    return normal(before) == normal(after)
