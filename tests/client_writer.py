"""Writes what of `tidemill.client` follows from the description of the API: ``python -m tests.client_writer``."""

from __future__ import annotations

import collections
import keyword
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tidemill

FOLDER = Path(tidemill.__file__).parent / "client"
_HEAD = '"""{said} Written by tests/client_writer.py."""\n\nfrom __future__ import annotations\n\n'
_METHODS = ("get", "post", "put", "patch", "delete")
_BINARY = "application/octet-stream"
_REF = "#/components/schemas/"


def described() -> dict[str, Any]:
    """The description of the API."""
    from tidemill.api.v1 import application

    class Settings:
        capture_body_seconds = 1.0

    class Installation:
        settings = Settings()

    made: Any = application.application(Installation())  # type: ignore[arg-type]
    found: dict[str, Any] = made._inner._inner.openapi()
    return found


class Writer:
    """See the module."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        self._schemas: Mapping[str, Any] = description["components"]["schemas"]
        self._operations: dict[str, list[tuple[str, str, dict[str, Any]]]] = collections.defaultdict(list)
        for path, methods in description["paths"].items():
            for method, operation in methods.items():
                if method in _METHODS and "security" in operation:
                    self._operations[operation["tags"][0]].append((method.upper(), path, operation))
        self._sent, self._answered = set[str](), set[str]()
        self._users: dict[str, set[str]] = collections.defaultdict(set)
        for tag, operations in self._operations.items():
            for _, _, operation in operations:
                self._reach(operation.get("requestBody", {}), tag, self._sent)
                for status, response in operation["responses"].items():
                    if int(status) < 400:
                        self._reach(response, tag, self._answered)

    def _reach(self, schema: Any, tag: str, into: set[str]) -> None:
        for name in _names(schema):
            first = name not in into or tag not in self._users[name]
            into.add(name)
            self._users[name].add(tag)
            if first:
                self._reach(self._schemas[name], tag, into)

    def files(self) -> dict[str, str]:
        """The text of each file, by its path in the package."""
        made = {
            "resources/__init__.py": '"""What can be asked for, by resource."""\n',
            "models/__init__.py": '"""What is sent and answered, by resource."""\n',
        }
        modules: dict[str, list[str]] = collections.defaultdict(list)
        for name in sorted(filter(self._is_model, self._users)):
            modules[self._module(name)].append(name)
        for module, own in modules.items():
            said = f"What is sent and answered: {module.replace('_', ' ')}."
            made[f"models/{module}.py"] = self._text(said, "".join(map(self._model, own)), module)
        for tag in sorted(self._operations):
            methods = "".join(self._method(tag, *one) for one in self._operations[tag])
            said = f"{tag.replace('_', ' ').capitalize()}."
            klass = f'class {_class(tag)}:\n    """{said}"""\n\n' + textwrap.indent(_INIT, "    ") + methods
            made[f"resources/{tag}.py"] = self._text(said, klass, "")
        made["api.py"] = self._client()
        return {path: _formatted(text) for path, text in made.items()}

    def _is_model(self, name: str) -> bool:
        return self._schemas[name].get("type") == "object" and not _is_page(name)

    def _module(self, name: str) -> str:
        users = self._users[name]
        return next(iter(users)) if len(users) == 1 else "shared"

    def _text(self, said: str, body: str, module: str) -> str:
        """A file. `module`: which of models it is."""
        used = collections.defaultdict(list)
        for name in filter(self._is_model, self._users):
            if self._module(name) != module and _mentions(body, _called(name)):
                used[self._module(name)].append(_called(name))
        imports = [
            "from collections.abc import Iterator",
            "from datetime import date, datetime",
            "from typing import IO, Any, Literal",
            "from uuid import UUID",
            "import pydantic",
            "from tidemill.client import core",
            "from tidemill.client.core import Core, Event, Model, Wanted",
            *(f"from tidemill.client.models.{one} import {', '.join(sorted(names))}" for one, names in used.items()),
        ]
        return _HEAD.format(said=said) + "\n".join(imports) + "\n\n" + body

    def _model(self, name: str) -> str:
        schema = self._schemas[name]
        asked = name in self._sent and name not in self._answered
        required = set(schema.get("required", ()))
        said = textwrap.fill(" ".join(schema.get("description", f"{_called(name)}.").split()), 105)
        said = said.replace("\n", "\n    ")
        lines = [f"class {_called(name)}({'Wanted' if asked else 'Model'}):", f'    """{said}"""', ""]
        for field, kind in schema.get("properties", {}).items():
            lines.append(f"    {self._field(field, kind, required=field in required, asked=asked)}")
        return "\n".join(lines) + "\n\n\n"

    def _field(self, name: str, kind: Mapping[str, Any], *, required: bool, asked: bool) -> str:
        annotation = self._type(kind, asked=asked)
        default = kind.get("default")
        if isinstance(default, dict):  # the server's own: what is left out is not sent
            default = None
        options = [] if required else [f"default={default!r}"]
        if not required and default is None:
            annotation = _none(annotation)
        if said := kind.get("description"):
            options.append(f"description={_broken(said)}")
        if kind.get("writeOnly"):
            options.append("repr=False")
        return f"{name}: {annotation}" + (f" = pydantic.Field({', '.join(options)})" if options else "")

    def _type(self, kind: Mapping[str, Any], *, asked: bool) -> str:
        if "$ref" in kind:
            name = kind["$ref"].removeprefix(_REF)
            return _called(name) if self._is_model(name) else self._type(self._schemas[name], asked=asked)
        for several in ("anyOf", "oneOf", "allOf"):
            if several in kind:
                found = dict.fromkeys(self._type(one, asked=asked) for one in kind[several])
                return " | ".join(sorted(found, key=lambda text: text == "None"))
        if values := kind.get("enum", [kind["const"]] if "const" in kind else []):
            return f"Literal[{', '.join(map(repr, values))}]" if asked else type(values[0]).__name__
        return self._plain(kind, asked=asked)

    def _plain(self, kind: Mapping[str, Any], *, asked: bool) -> str:
        match kind.get("type"), kind.get("format"):
            case "string", "uuid":
                return "UUID"
            case "string", "date-time":
                return "datetime"
            case "string", "date":
                return "date"
            case "array", _:
                if "prefixItems" in kind:
                    return f"tuple[{', '.join(self._type(one, asked=asked) for one in kind['prefixItems'])}]"
                return f"list[{self._type(kind['items'], asked=asked) if 'items' in kind else 'Any'}]"
            case "object", _:
                more = kind.get("additionalProperties", True)
                return f"dict[str, {self._type(more, asked=asked) if isinstance(more, dict) else 'Any'}]"
            case name, _:
                plain = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
                return plain.get(str(name), "Any")

    def _method(self, tag: str, method: str, path: str, operation: dict[str, Any]) -> str:
        name = operation["operationId"].removeprefix(f"{tag}_")
        name = f"{name}_" if keyword.iskeyword(name) else name
        parameters = [one for one in operation.get("parameters", ()) if one["in"] != "header"]
        places = {one["name"]: self._type(one["schema"], asked=True) for one in parameters if one["in"] == "path"}
        listed = _listed(operation)
        queries = [one for one in parameters if one["in"] == "query" and one["name"] != "cursor"]
        matched = any(one["name"].lower() == "if-match" for one in operation.get("parameters", ()))
        arguments = ["self", *(f"{place}: {kind}" for place, kind in places.items())]
        body = operation.get("requestBody")
        is_file = body is not None and _BINARY in body["content"]
        if is_file:
            arguments.append("content: IO[bytes]")
        elif body is not None:
            kind = self._type(_content(body), asked=True)
            is_needed = body.get("required") and not kind.endswith("None")
            arguments.append(f"wanted: {kind}" if is_needed else f"wanted: {_none(kind)} = None")
        asks = sorted(queries, key=lambda one: not one.get("required", False))
        keywords = ["match: Model | str"] if matched else []
        keywords += [self._asked(one) for one in asks]
        arguments += ["*", *keywords] if keywords else []
        given = ", ".join(f'"{one["name"]}": {one["name"]}' for one in queries)
        where = f"core.path({path!r}, {', '.join(f'{one}={one}' for one in places)})" if places else repr(path)
        answer, call = self._answer(operation, listed)
        options = [f"query={{{given}}}"] if given else []
        options += ["body=wanted"] if body is not None and not is_file else []
        options += ["match=match"] if matched else []
        ask = f"self._core.ask({method!r}, {', '.join([where, *options])})"
        ask = f"self._core.send({', '.join([where, 'content', *options])})" if is_file else ask
        done = call.format(where=where, query=f"{{{given}}}", ask=ask)
        said = textwrap.fill(" ".join(operation["description"].split()), 105).replace("\n", "\n        ")
        return f'\n    def {name}({", ".join(arguments)}) -> {answer}:\n        """{said}"""\n        {done}\n'

    def _asked(self, parameter: Mapping[str, Any]) -> str:
        kind, name = self._type(parameter["schema"], asked=True), parameter["name"]
        if parameter.get("required"):
            return f"{name}: {kind}"
        default = (
            parameter["schema"].get("default") or None
            if kind.startswith("list")
            else parameter["schema"].get("default")
        )
        return f"{name}: {kind if default is not None else _none(kind)} = {default!r}"

    def _answer(self, operation: dict[str, Any], listed: str | None) -> tuple[str, str]:
        """What a method gives, and how that is had."""
        if listed is not None:
            kind = self._type({"$ref": _REF + listed}, asked=False)
            return f"Iterator[{kind}]", f"return self._core.pages({{where}}, {{query}}, {kind})"
        response = next(one for status, one in operation["responses"].items() if int(status) < 300)
        content = response.get("content", {})
        if "text/event-stream" in content:
            return "Iterator[Event]", "return self._core.events({where})"
        if "application/yaml" in content:
            return "str", "return {ask}.text"
        if {"text/csv", "text/plain"} & content.keys():
            return "Iterator[str]", "return self._core.lines({where}, {query})"
        if not content:
            return "None", "{ask}"
        kind = self._type(_content(response), asked=False)
        if kind.startswith("list["):
            return kind, f"return [{kind[5:-1]}.model_validate(one) for one in {{ask}}.json()]"
        if kind.startswith("dict["):
            return kind, f"found: {kind} = {{ask}}.json()\n        return found"
        return kind, f"return core.made({{ask}}, {kind})"

    def _client(self) -> str:
        tags = sorted(self._operations)
        imports = "".join(f"from tidemill.client.resources.{tag} import {_class(tag)}\n" for tag in tags)
        parts = "".join(f"        self.{tag} = {_class(tag)}(self._core)\n" for tag in tags)
        return _HEAD.format(said="All resources of one server.") + _CLIENT.format(imports=imports, parts=parts)


_INIT = "def __init__(self, core: Core) -> None:\n    self._core = core\n"
_CLIENT = '''from types import TracebackType

import httpx

from tidemill.client.core import Core
{imports}

class Client:
    """A server, as the holder of a token may use it. It is closed at the end of a `with` block, or by `close`."""

    def __init__(
        self, url: str, token: str, *, timeout: float = 120.0, tries: int = 5,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`url`: of the server, without a path; `tries`: how often a call is made, if the server cannot answer now."""
        self._core = Core(url, token, timeout=timeout, tries=tries, transport=transport)
{parts}
    def close(self) -> None:
        """Ask nothing more."""
        self._core.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
'''


def _broken(said: str) -> str:
    """A text as it is written, in lines that are not too long."""
    lines = textwrap.wrap(said, 80, drop_whitespace=False) or [""]
    return "".join(f"\n{line!r}" for line in lines) if len(lines) > 1 else repr(said)


def _names(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(_REF)
        for value in schema.values():
            yield from _names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _names(value)


def _called(name: str) -> str:
    return name.rpartition("__")[2].replace("-Input", "Given").replace("-Output", "")


def _class(tag: str) -> str:
    return "".join(part.capitalize() for part in tag.split("_"))


def _none(kind: str) -> str:
    return kind if kind.endswith("None") else f"{kind} | None"


def _content(part: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(part["content"].values()))["schema"]
    return found


def _listed(operation: Mapping[str, Any]) -> str | None:
    return next((name[:-4] for name in _names(operation["responses"].get("200", {})) if _is_page(name)), None)


def _is_page(name: str) -> bool:
    """Whether it is a page of a list: its items are what a method gives."""
    return name.endswith("Page")


def _mentions(body: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", body) is not None


def _formatted(text: str) -> str:
    """As the linter wants it; names that are not needed are not imported."""
    ruff = [str(Path(sys.executable).parent / "ruff")]
    ours = 'lint.isort.known-first-party=["tidemill"]'
    chosen = ["check", "--isolated", "--config", ours, "--select", "F401,I", "--fix", "-q", "--line-length", "120", "-"]
    for command in ([*ruff, *chosen], [*ruff, "format", "--isolated", "--line-length", "120", "-q", "-"]):
        done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
        text = done.stdout
    return text


def write() -> None:
    """Write all files."""
    for path, text in Writer(described()).files().items():
        (FOLDER / path).write_text(text)


if __name__ == "__main__":
    write()
