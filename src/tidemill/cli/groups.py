"""Groups of commands whose first word may be a name: `export run NAME` starts one, beside `export run show ID`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class StartGroup(TyperGroup):
    """Where the first word is no command of the group, `start` is meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the word `start`."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["start", *args]
        return super().parse_args(ctx, args)
