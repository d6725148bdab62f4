"""Writes a configuration: what an installation is set up to do, without what is so by itself, and without secrets."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString, SingleQuotedScalarString

from tidemill.configuration.checking import SECTIONS, VERSION
from tidemill.configuration.kinds import KINDS
from tidemill.configuration.kinds.kind import KEPT, Fields, World

if TYPE_CHECKING:
    from tidemill.app import App

_HEAD = """\
# The configuration of a Tidemill installation.
#   tidemill plan FILE    says what would change, and changes nothing
#   tidemill apply FILE   does it
"""
_SECRETS = """\
# Secrets are not in it. Set these variables to them before, or write file: PATH instead of env: NAME:
"""
#: How things of a section are called in the names of variables.
_WORDS = {"connections": "CONNECTION", "destinations": "DESTINATION", "channels": "CHANNEL", "dbt_projects": "DBT"}
#: Characters that stand for the end of a line, or for nothing, to some: they are written by their numbers.
_UNUSUAL = "\x00-\x08\x0b-\x1f\x7f-\xa0\u2028\u2029\ufeff\ud800-\udfff"
_NUMBERED = re.compile(f"[{_UNUSUAL}]")
#: Texts of several lines that YAML has as they are.
_PLAIN_LINES = re.compile(rf"(?!\s)(?:[^{_UNUSUAL}\t\n]*\n)+[^{_UNUSUAL}\t\n]*")
#: Texts that YAML 1.1, which other tools read, takes for true and false.
_SWITCHES = {"y", "yes", "n", "no", "on", "off"}


def text(app: App) -> str:
    """The configuration of an installation."""
    found = {section: kind.found(app) for section, kind in KINDS.items()}
    world = World(app, found, {})
    variables = _Variables()
    written: dict[str, Any] = {"version": VERSION}
    for section in SECTIONS:
        named = {name: _short(world, section, name, variables) for name in sorted(found[section])}
        if named:
            written[section] = named
    return head(variables.taken) + dumped(written)


def _short(world: World, section: str, name: str, variables: _Variables) -> Fields:
    kind = KINDS[section]
    fields = kind.ordered(kind.short(world, name, world.found[section][name]))
    fields = {
        field: {"env": variables.of(section, name, field)} if value is KEPT else value
        for field, value in fields.items()
    }
    if section == "connections" and (source := world.found["sources"].get(name)) is not None:
        fields["source"] = KINDS["sources"].short(world, name, source)
    return fields


class _Variables:
    """Names of variables for secrets, each for one."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def of(self, section: str, name: str, field: str) -> str:
        """A name that says what it is for."""
        words = re.sub(r"[^A-Z0-9]+", "_", f"{name}_{field}".upper()).strip("_")
        found = wanted = f"{_WORDS[section]}_{words}"
        number = 2
        while found in self.taken:
            found, number = f"{wanted}_{number}", number + 1
        self.taken.append(found)
        return found


def head(variables: list[str]) -> str:
    """What is said before."""
    listed = "".join(f"#   {name}\n" for name in variables)
    return _HEAD + (f"#\n{_SECRETS}{listed}" if variables else "") + "\n"


def dumped(written: Mapping[str, Any]) -> str:
    """Sections as YAML, with an empty line before each."""
    writer = YAML()
    writer.default_flow_style = False
    writer.allow_unicode = True
    writer.width = 120
    writer.indent(mapping=2, sequence=4, offset=2)
    made = CommentedMap({section: _plain(value) for section, value in written.items()})
    for number, section in enumerate(made):
        if number:
            made.yaml_set_comment_before_after_key(section, before="\n")
    stream = io.StringIO()
    writer.dump(made, stream)
    return re.sub(r"^#\s*$\n?", "\n", stream.getvalue(), flags=re.MULTILINE)


def _plain(value: Any) -> Any:
    """As it is written: statements as they are, line by line."""
    if isinstance(value, dict):
        return CommentedMap({_text(str(key)): _plain(item) for key, item in value.items()})
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    if _NUMBERED.search(text):
        return DoubleQuotedScalarString(text)
    if _PLAIN_LINES.fullmatch(text) and not re.search(r" \n| $", text):
        return LiteralScalarString(text)
    return SingleQuotedScalarString(text) if text.lower() in _SWITCHES else text
