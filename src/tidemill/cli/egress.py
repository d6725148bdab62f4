"""From which addresses this installation reaches others, for their allow-lists."""

from __future__ import annotations

import typer

from tidemill.cli import output, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("egress-ips", epilog="Example: tidemill egress-ips")(egress_ips)


def egress_ips(as_json: bool = output.JSON_OPTION) -> None:
    """Print the addresses from which this installation reaches Google and others, for their allow-lists.

    They are those of TIDEMILL_EGRESS_IPS, one a line. Nothing is asked of the network.
    """
    networks = session.settings().egress_networks
    if as_json:
        output.print_json({"networks": networks, "commands": _commands()})
        return
    if not networks:
        _explain()
        return
    for network in networks:
        output.out.print(network)
    allow_list()


def _explain() -> None:
    output.note("It is not said from which addresses this installation reaches others: TIDEMILL_EGRESS_IPS is not set.")
    output.say(
        "Find them, on each machine that runs Tidemill (curl -s https://checkip.amazonaws.com asks one service),"
    )
    output.say("or behind a NAT: gcloud compute addresses list, aws ec2 describe-nat-gateways, or ask who runs it.")
    output.say("Addresses that stay need a reserved one. Then set them, for all processes:")
    output.say("  export TIDEMILL_EGRESS_IPS=203.0.113.5,203.0.113.16/28")


def allow_list() -> None:
    """What lets these addresses through a perimeter of VPC Service Controls, if it is said which they are."""
    if commands := _commands():
        output.say(
            "# Only where a perimeter of VPC Service Controls is around the project: let these addresses through."
        )
        for command in commands:
            output.err.print(f"# {command}", markup=False)


def _commands() -> list[str]:
    from tidemill.connections.service import ConnectionService  # heavy

    return ConnectionService.allow_list(session.settings())
