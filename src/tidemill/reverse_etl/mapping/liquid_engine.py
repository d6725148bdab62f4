"""Templates in Liquid: the library, without what can take long, and with the results of Segment's engine, LiquidJS.

No tag can loop or load, and each filter counts the characters that it is given and gives. A template is stopped when it
has handled so many, rather than by a clock: so the same row always has the same outcome. Tags and filters that are
missing are those that Segment disables (research on reverse ETL, section 3.2), and a few of the library's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import liquid
from liquid.ast import Node
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.echo_tag import EchoNode, EchoTag
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.filter import with_context

from tidemill.reverse_etl.mapping import liquid_filters
from tidemill.reverse_etl.mapping.liquid_filters import texted
from tidemill.reverse_etl.mapping.paths import PROPERTIES
from tidemill.reverse_etl.mapping.values import LARGEST, Unfit, measured

#: Bytes of its variables, as Python has them; characters that its filters handle in all.
_VARIABLES, _WORK = 4_000_000, 10_000_000
#: Bits of a whole number.
_BITS = 4_096
_TAGS = frozenset(
    {
        "#",
        "assign",
        "capture",
        "comment",
        "cycle",
        "decrement",
        "doc",
        "echo",
        "if",
        "ifchanged",
        "increment",
        "liquid",
        "unless",
    }
)
#: What the library keeps beside tags.
_PARTS = frozenset({"content", "illegal", "output"})
#: Of the library's filters, those that work as in LiquidJS; the first make a text of what they are given.
_OF_TEXT = (
    "append", "base64_decode", "base64_encode", "capitalize", "downcase", "lstrip", "prepend", "remove",
    "remove_first", "remove_last", "replace", "replace_first", "replace_last", "rstrip", "split", "strip",
    "strip_newlines", "truncate", "truncatewords", "upcase", "url_decode", "url_encode",
)  # fmt: skip
_OTHERS = (
    "abs", "at_least", "at_most", "ceil", "compact", "default", "first", "floor", "last", "minus", "modulo",
    "plus", "size", "slice", "sum", "times", "where",
)  # fmt: skip


class _Output(OutputNode):
    """Writes values as LiquidJS does, and not as Python."""

    def render_to_output(self, context: liquid.RenderContext, buffer: TextIO) -> int:
        return buffer.write(texted(self.expression.evaluate(context)))


class _OutputTag(Output):
    node_class = _Output


class _Echo(EchoNode, _Output):
    pass


class _EchoTag(EchoTag):
    node_class = _Echo


class _Environment(liquid.Environment):
    output_stream_limit = LARGEST
    local_namespace_limit = _VARIABLES

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        self.tags = {name: tag for name, tag in self.tags.items() if name in _TAGS | _PARTS}
        self.add_tag(_OutputTag)
        self.add_tag(_EchoTag)
        theirs = {name: self.filters[name] for name in (*_OF_TEXT, *_OTHERS)}
        self.filters = {name: _counted(name, apply) for name, apply in {**theirs, **liquid_filters.OURS}.items()}


class Template:
    """A template that was parsed. `names`: variables that it may read, at the first level; None: all. `meant`: those
    that it does not set itself; behind `properties`, if they are there."""

    def __init__(self, template: liquid.BoundTemplate, names: frozenset[str] | None, meant: frozenset[str]) -> None:
        self._template = template
        self.names = names
        self.meant = meant

    def render(self, context: dict[str, Any]) -> str:
        """What it gives.

        Raises
        ------
        Unfit
            It cannot be carried out with these values, or takes too much.
        """
        try:
            # The library would have the time there, by the clock of the machine.
            return self._template.render({"now": None, "today": None, **context})
        except Unfit:
            raise
        except LiquidError as error:
            raise Unfit(f"cannot be carried out: {_said(error)}") from None
        except Exception as error:  # noqa: BLE001 - filters of a library, given data of any kind
            raise Unfit(f"cannot be carried out: {type(error).__name__}") from None


@functools.cache
def _environment() -> _Environment:
    return _Environment()


def parse(source: str) -> Template:
    """A template of its source.

    Raises
    ------
    Unfit
        It is not Liquid, or uses what cannot be used here.
    """
    environment = _environment()
    try:
        template = environment.from_string(source)
        used = template.analyze(include_partials=False)
        ranges = any(isinstance(part, RangeLiteral) for part in _expressions(template.nodes, template))
    except LiquidError as error:
        raise Unfit(_said(error)) from None
    except Exception as error:  # noqa: BLE001 - a parser, given a text of any kind
        raise Unfit(type(error).__name__) from None
    for name in used.filters:
        if name not in environment.filters:
            raise Unfit(f"there is no filter {name!r}; there are {', '.join(sorted(environment.filters))}")
    if ranges:
        raise Unfit("a range such as (1..5) has no use without loops")
    read = {name: [variable.segments for variable in found] for name, found in used.variables.items()}
    meant = _names([segments for name, found in read.items() if name not in used.locals for segments in found])
    return Template(template, _names([segments for found in read.values() for segments in found]), meant or frozenset())


def _said(error: LiquidError) -> str:
    """The library's message, which may quote the row, as a text that can be kept anywhere."""
    return str(error.message)[:200].encode(errors="replace").decode().replace("\0", "\ufffd")


def _names(variables: list[Any]) -> frozenset[str] | None:
    found: set[str] = set()
    for segments in variables:
        if not isinstance(segments[0], str):
            return None  # the row says which
        found.add(segments[0])
        if segments[0] == PROPERTIES:
            if len(segments) < 2 or not isinstance(segments[1], str):
                return None
            found.add(segments[1])
    return frozenset(found)


def _expressions(nodes: Iterable[Node], template: liquid.BoundTemplate) -> Iterable[Expression]:
    """All expressions of a template."""
    context = liquid.RenderContext(template)
    ahead = list(nodes)
    while ahead:
        node = ahead.pop()
        ahead.extend(node.children(context, include_partials=False))
        parts = list(node.expressions())
        while parts:
            part = parts.pop()
            yield part
            parts.extend(part.children())


def _counted(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that counts what it handles, and is given and gives values as LiquidJS has them."""
    with_environment = getattr(apply, "with_environment", False)
    of_text, all_texts = name in _OF_TEXT, name in _OF_TEXT and not name.startswith("truncate")

    def run(value: Any, *arguments: Any, context: liquid.RenderContext, **options: Any) -> Any:
        value = texted(value) if of_text else value
        if all_texts:
            arguments = tuple(texted(argument) for argument in arguments)
        elif of_text and len(arguments) > 1:
            arguments = (arguments[0], texted(arguments[1]))
        _spend(context, _size(value) + sum(_size(argument) for argument in arguments) + _grows(name, value, arguments))
        if with_environment:
            options["environment"] = context.env
        found = apply(value, *arguments, **options)
        _spend(context, _size(found))
        return int(found) if isinstance(found, float) and found.is_integer() and abs(found) < 2**53 else found

    return with_context(run)


def _spend(context: liquid.RenderContext, size: int) -> None:
    spent = context.tag_namespace.get("spent", 0) + size
    context.tag_namespace["spent"] = spent
    if spent > _WORK:
        raise Unfit(f"handles more than {_WORK:,} characters")


def _size(value: Any) -> int:
    if isinstance(value, int) and value.bit_length() > _BITS:
        raise Unfit("comes to a number that is too large")
    return len(value) if isinstance(value, str) else measured(value, _WORK)


def _grows(name: str, value: Any, arguments: tuple[Any, ...]) -> int:
    """Characters by which a filter makes a text larger, where that is more than it was given."""
    if name == "replace" and len(arguments) > 1:
        return int(value.count(arguments[0])) * len(arguments[1])
    if name == "join" and isinstance(value, list):
        return len(value) * len(texted(arguments[0] if arguments else " "))
    return 0
