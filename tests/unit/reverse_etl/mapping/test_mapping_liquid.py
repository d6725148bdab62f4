"""Templates in Liquid: what they give, what they cannot do, and that they end."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from tidemill.errors import ConfigError, RowError
from tidemill.reverse_etl import mapping

ROW: dict[str, Any] = {
    "first": "Ana",
    "plan": "pro",
    "seats": 5,
    "price": 2.0,
    "ok": True,
    "last": None,
    "tags": ["a", "b", None, True, 2.0],
    "address": {"city": "Linz", "zip": None},
    "items": [{"sku": "x"}, {"sku": "y"}],
    "html": "<b>bold</b> & <script>alert(1)</script>'",
    "time": "2024-02-29T12:30:45+01:00",
}


def made(template: str, row: dict[str, Any] | None = None, given: dict[str, Any] | None = None) -> Any:
    return mapping.compile({"f": {"@liquid": template}}).apply(ROW if row is None else row, given)["f"]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ""),
        ("text", "text"),
        ("Hello, {{ properties.first }}!", "Hello, Ana!"),
        ("{{ first | upcase }} {{properties.address.city}}", "ANA Linz"),
        ("{{ gone }}{{ gone.name }}{{ last }}|", "|"),
        ("{{ ok }} {{ price }} {{ seats }}", "true 2 5"),
        ("{{ tags }}", "abtrue2"),
        ("{{ address }}", '{"city":"Linz","zip":null}'),
        ("{{ items[1].sku }}{{ items.first.sku }}{{ items.size }}", "yx2"),
        ("{% if seats > 3 and plan == 'pro' %}big{% elsif seats %}small{% else %}none{% endif %}", "big"),
        ("{% unless last %}none{% endunless %}", "none"),
        ("{% assign x = first | append: '-' | append: seats %}{{ x }}", "Ana-5"),
        ("{% capture x %}{{ first }}!{% endcapture %}{{ x | upcase }}", "ANA!"),
        ("{%- comment -%} not shown {%- endcomment -%}x", "x"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("{% echo ok %}", "true"),
        ("{{ seats | divided_by: 2 }} {{ 4 | divided_by: 2 }}", "2.5 2"),
        ("{{ seats | plus: 1 | times: 2.5 | minus: 1 }}", "14"),
        ("{{ 2.5 | round }} {{ 2.345 | round: 2 }} {{ 7 | modulo: 4 }} {{ -3 | abs }}", "3 2.35 3 3"),
        ("{{ last | default: 'none' }} {{ seats | at_most: 3 }}", "none 3"),
        ("{{ tags | join: ', ' }}", "a, b, , true, 2"),
        ("{{ 'a,b' | split: ',' | last }}", "b"),
        ("{{ ok | append: last | append: price }}", "true2"),
        ("{{ first | replace: 'A', 'a' | prepend: '>' }}", ">ana"),
        ("{{ 'a long text' | truncate: 8 }} {{ 'one two three' | truncatewords: 2 }}", "a lon... one two..."),
        ("{{ first | slice: 0, 2 }} {{ first | size }}", "An 3"),
        ("{{ html | strip_html }}", "bold & '"),
        ("{{ html | escape | slice: 0, 12 }}", "&lt;b&gt;bol"),
        ("{{ '&lt; <' | escape_once }}", "&lt; &lt;"),
        ("{{ address | json }}", '{"city":"Linz","zip":null}'),
        ("{{ 'A b/c' | url_encode }} {{ 'Ä b!' | slugify }}", "A+b%2Fc ä-b"),
        ("{{ time | date: '%d.%m.%Y %H:%M' }}", "29.02.2024 11:30"),
        ("{{ 'Feb 29, 2024' | date: '%s' }} {{ 0 | date: '%Y' }} {{ 'soon' | date: '%Y' }}", "1709164800 1970 soon"),
        ("{{ last | date: '%Y' }}{{ gone | date: '%Y' }}", ""),
        ("{{ now }}{{ today }}", ""),
    ],
)
def test_liquid(template: str, expected: str) -> None:
    assert made(template) == expected


def test_a_column_named_properties_or_now() -> None:
    assert made("{{ properties.a }}{{ properties.b }}", {"properties": {"a": 1}, "b": 2}) == "1"
    assert made("{{ now }}", {"now": "later"}) == "later"


def test_what_is_given_beside_the_columns() -> None:
    given = {"__segment_id": "7", "event": "new", "messageId": "m"}
    assert made("{{ __segment_id }} {{ event }} {{ properties.messageId }}", {"event": "own"}, given) == "7 own m"


def test_in_a_shape_names_are_those_of_the_item() -> None:
    part = {"@arrayPath": ["$.items", {"@liquid": "{{ sku | upcase }}{{ first }}"}]}
    assert mapping.compile({"f": part}).apply({"first": "Ana", "items": [{"sku": "x"}, 5, None]}) == {
        "f": ["X", "", ""]
    }


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("{{ a.b | append: c }}", {"a", "c"}),
        ("{{ properties.a }}", {"properties", "a"}),
        ("{{ properties }}", None),
        ("{{ properties[a] }}", None),
        ("{{ [a] }}", None),
        ("{% if a %}{% assign b = c %}{% endif %}{{ b }}", {"a", "b", "c"}),  # b may be the column
        ("{% liquid echo a %}{{ b[c.d] }}", {"a", "b", "c"}),
    ],
)
def test_columns(template: str, columns: set[str] | None) -> None:
    assert mapping.compile({"f": {"@liquid": template}}).columns == columns


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (5, "@liquid is 5; it is a text"),
        ({"@path": "$.a"}, "@liquid is an object; it is a text"),
        ("x" * 1001, "@liquid has 1,001 characters; it has at most 1,000"),
        ("{{ a", "@liquid cannot be read: expected '}}', found end of file"),
        ("{% if %}{% endif %}", "@liquid cannot be read"),
        ("{{ a | nope }}", "there is no filter 'nope'; there are abs,"),
        ("{{ (1..5) | size }}", "a range such as (1..5) has no use without loops"),
        ("{% if a %}{% assign b = (1..c) %}{% endif %}", "a range"),
        ("{% if (1..99999999999) contains 'x' %}{% endif %}", "a range"),
    ],
)
def test_what_is_not_liquid(template: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        mapping.compile({"f": {"@liquid": template}})
    assert said in caught.value.message


@pytest.mark.parametrize(
    "tag",
    [
        "{% for a in b %}{% endfor %}",
        "{% case a %}{% when 1 %}{% endcase %}",
        "{% tablerow a in b %}{% endtablerow %}",
        "{% include 'a' %}",
        "{% render 'a' %}",
        "{% layout 'a' %}",
        "{% liquid for a in b\necho a\nendfor %}",
    ],
)
def test_tags_that_loop_or_load_are_not_there(tag: str) -> None:
    with pytest.raises(ConfigError, match="@liquid cannot be read"):
        mapping.compile({"f": {"@liquid": tag}})


@pytest.mark.parametrize(
    "name",
    [
        "concat", "find", "find_index", "group_by", "has", "map", "newline_to_br", "reject", "reverse", "sort",
        "sort_natural", "type", "uniq", "where_exp", "safe", "escapejs",
    ],
)  # fmt: skip
def test_filters_that_are_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=f"there is no filter '{name}'"):
        mapping.compile({"f": {"@liquid": f"{{{{ a | {name}: 'x' }}}}"}})


@pytest.mark.parametrize(
    ("template", "row", "said"),
    [
        ("{{ a | divided_by: 0 }}", {"a": 1}, "divides by zero"),
        ("{% if a > 'x' %}{% endif %}", {"a": 1}, "cannot be carried out"),
        ("{{ a | slice: 'x' }}", {"a": "b"}, "cannot be carried out"),
        ("{{ a }}{{ a }}", {"a": "x" * 600_000}, "output stream limit"),
        ("{{ a | base64_decode }}", {"a": "a"}, "cannot be carried out"),
        ("{{ a }}", {"a": "\ud800"}, "cannot be carried out: UnicodeEncodeError"),
    ],
)
def test_what_cannot_be_carried_out(template: str, row: dict[str, Any], said: str) -> None:
    with pytest.raises(RowError, match=rf"^\$\.f: @liquid .*{said}"):
        made(template, row)


DOUBLED = "{% assign a = a | append: a %}" * 30
SQUARED = "{% assign n = n | times: n %}" * 30


@pytest.mark.parametrize(
    ("template", "row"),
    [
        (DOUBLED, {"a": "x" * 100}),
        ("{% capture a %}{{ a }}{{ a }}{% endcapture %}" * 20, {"a": "x" * 100}),
        (SQUARED, {"n": 10}),
        ("{{ a | replace: 'x', a }}", {"a": "x" * 100_000}),
        ("{{ a | replace: '', a }}", {"a": "x" * 100_000}),
        ("{{ a | split: '' | join: a }}", {"a": "x" * 100_000}),
        ("{{ a | strip_html }}" * 40, {"a": "<" * 900_000}),
        ("{{ a | escape }}" * 50, {"a": "'" * 900_000}),
    ],
)
def test_what_grows_is_stopped(template: str, row: dict[str, Any]) -> None:
    with pytest.raises(RowError, match=r"^\$\.f: @liquid "):
        made(template, row)


def test_the_reference_names_every_filter_and_every_directive() -> None:
    page = (Path(__file__).parents[4] / "docs/reference/mapping.md").read_text()
    with pytest.raises(ConfigError) as caught:
        mapping.compile({"f": {"@liquid": "{{ a | nope }}"}, "g": {"@nope": 1}})
    told = re.findall("there are (.*)[.]", caught.value.message)
    assert len(told) == 2
    assert [name for names in told for name in names.split(", ") if f"`{name}`" not in page] == []


def test_html_that_is_never_closed_takes_no_longer() -> None:
    assert made("{{ a | strip_html | size }}", {"a": "<script" * 100_000 + "<!--<" * 10_000}) == "750000"


def test_a_template_that_says_now_has_the_time() -> None:
    before = int(time.time())
    assert before <= int(made("{{ 'now' | date: '%s' }}")) <= time.time()
