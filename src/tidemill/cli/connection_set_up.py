"""`tidemill connection set-up`: what is to be set up on Google's side, in one of three ways."""

from __future__ import annotations

from typing import Literal

import typer

from tidemill.cli import egress, output

Purpose = Literal["batch", "streaming", "read-only", "limited", "full"]
Way = Literal["commands", "console", "terraform"]


def set_up(
    project: str = typer.Option(..., help="Google Cloud project id."),
    dataset: str = typer.Option(..., help="Dataset id."),
    account: str = typer.Option(None, help="E-mail of the service account. Default: one is made, with its key."),
    purpose: Purpose = typer.Option(
        "batch",
        "--for",
        help="What it is for: batch or streaming exports; or reverse ETL and imports: read-only, or with a dataset for "
        "their state that is granted (limited), or made by Tidemill (full).",
    ),
    location: str = typer.Option(None, help="Where the dataset is, or is to be, such as EU."),
    state_dataset: str = typer.Option(None, help="For limited: that dataset. Default: __tidemill_reverse_etl."),
    way: Way = typer.Option("commands", "--as", help="Commands, steps in Google's console, or a file of Terraform."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Print what is to be set up in Google Cloud for a connection, with no permission that is not needed.

    Nothing is granted by this.
    """
    from tidemill.connections.service import ConnectionService  # heavy; no installation is needed for this

    found = ConnectionService.set_up(project, dataset, account, purpose, location=location, state_dataset=state_dataset)
    if as_json:
        output.print_json(found)
    elif way == "terraform":
        output.out.print(found.terraform, markup=False)
    elif way == "console":
        for number, step in enumerate(found.console, start=1):
            output.out.print(f"{number}. {step}", markup=False)
    else:
        for part in found.commands:
            output.say(f"# {part.title}:")
            output.out.print(part.text, markup=False)
        egress.allow_list()
