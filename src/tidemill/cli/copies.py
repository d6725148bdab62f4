"""`tidemill backup`, `tidemill restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import output, session
from tidemill.cli.groups import StartGroup

if TYPE_CHECKING:
    from tidemill.copies.service import Copies, Manifest, Restored


backups = typer.Typer(
    cls=StartGroup,
    no_args_is_help=True,
    help="Back up the installation, while it runs.\n\n"
    "[bold]tidemill backup FOLDER[/] copies what is new there, [bold]tidemill backup FILE.tar[/] makes one file.",
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(backups, name="backup")
    app.command(epilog="Example: tidemill migrate --to-database @url.txt --to-event-data s3://company-events/tidemill")(
        migrate
    )
    app.command(epilog="Example: TIDEMILL_HOME=/srv/tidemill tidemill restore /backups/tidemill")(restore)


_TO_DATABASE = typer.Option(
    None, help="A PostgreSQL, postgresql://user:password@host/database, or @FILE with that; or: embedded."
)
_TO_EVENT_DATA = typer.Option(None, help="A folder, s3://bucket/prefix or gs://bucket/prefix; or: home.")


def migrate(
    to_database: str = _TO_DATABASE, to_event_data: str = _TO_EVENT_DATA, as_json: bool = output.JSON_OPTION
) -> None:
    """Move the installation to another database, or its events to another place, or both; and back.

    Stop all servers first. What is copied is verified; then nobody can write into the old one any more, and this says
    what to set. If it is killed, the old one is as it was: run it again.
    """
    from tidemill.cli import progress
    from tidemill.settings import current

    if to_database is None and to_event_data is None:
        raise typer.BadParameter("Say where it goes: --to-database, --to-event-data, or both.")
    settings = current()
    database = settings.database_url if to_database is None else session.text(to_database).strip()
    events = settings.event_data if to_event_data is None else to_event_data
    with progress.bar("Move") as bar:
        moved = _copies().migrate(
            database_url=None if database == "embedded" else database,
            event_data=None if events == "home" else events,
            report=bar.copying,
        )
    if as_json:
        output.print_json(moved)
        return
    what = [(moved.events, "event"), (moved.files, "file"), (moved.rows, "row")]
    output.done(f"Moved, and verified: {', '.join(output.number(number, name) for number, name in what if number)}.")
    for line in moved.settings:
        output.say(f"Set: {output.safe(line)}")
    output.note(f"Of no use any more, once all is well: {', '.join(moved.left)}.")


def _copies() -> Copies:
    from tidemill.app import copies
    from tidemill.settings import current

    return copies(current())


@backups.command(epilog="Example: tidemill backup /backups/tidemill")
def start(
    destination: Path = typer.Argument(help="A folder, or a file that ends in .tar."),
    with_key: bool = typer.Option(
        False, "--with-key", help="Also the secret key, as it is. Sealed: set TIDEMILL_BACKUP_PASSPHRASE instead."
    ),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Make a backup. In a folder that has one already, only what is new is copied, and what it had stays until then."""
    from tidemill.cli import progress

    destination = destination.expanduser().absolute()
    with progress.bar("Backup") as bar:
        made = _copies().backup(destination, with_key=with_key, by=session.user(), report=bar.copying)
    if as_json:
        output.print_json(_shown(made, destination))
        return
    output.done(f"{destination}: {_what(made)}.")
    if made.key.kind == "none" and made.key.secrets:
        output.note(
            "It has no secret key. Keep secret.key of the home directory elsewhere: without it, "
            f"{output.number(made.key.secrets, 'credential')} in the backup cannot be read. "
            "Or set TIDEMILL_BACKUP_PASSPHRASE, by which it is sealed in the backup."
        )
    if made.key.kind == "plain":
        output.note("Who has the backup has all secrets: the secret key is in it, as it is.")


@backups.command(epilog="Example: tidemill backup verify /backups/tidemill")
def verify(
    source: Path = typer.Argument(help="What tidemill backup has made."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Hold all files of a backup against their checksums."""
    from tidemill.cli import progress

    source = source.expanduser().absolute()
    with progress.bar("Backup") as bar:
        found = _copies().verify(source, bar.copying)
    if as_json:
        output.print_json(_shown(found, source))
    else:
        output.done(f"{source} is whole: {_what(found)}, made {found.made_at:%Y-%m-%d %H:%M} UTC by {found.made_by}.")


def restore(
    source: Path = typer.Argument(help="What tidemill backup has made."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Restore a backup into a home that is empty (or an empty TIDEMILL_DATABASE_URL and TIDEMILL_EVENT_DATA)."""
    from tidemill.cli import progress

    source = source.expanduser().absolute()
    with progress.bar("Restore") as bar:
        done = _copies().restore(source, by=session.user(), report=bar.copying)
    if as_json:
        shown = {**_shown(done.backup, source), "secret_key": done.key, "exports_in_doubt": done.doubts}
        output.print_json(shown)
    else:
        _tell(done)


def _tell(done: Restored) -> None:
    """What was restored, and what to know about it."""
    made = done.backup
    output.done(f"Restored: {_what(made)}, as of {made.made_at:%Y-%m-%d %H:%M} UTC.")
    if made.key.secrets and not done.key:
        output.note(
            f"{output.number(made.key.secrets, 'credential')} cannot be read: the secret key is not in the backup. Put "
            "the old secret.key into the home directory, or set TIDEMILL_SECRET_KEYS; or make another one (tidemill "
            f"init --new-secret-key), and {done.give_anew}."
        )
    if done.doubts:
        output.note(
            "BigQuery's tables may hold rows that came after the backup. So what is sent is merged "
            f"({output.number(done.doubts, 'export')}), until it is known that none comes twice: tidemill export show "
            "NAME tells."
        )
    output.note(
        "What was changed after the backup is as it was: keys of SDKs and tokens of the API that were revoked since "
        "are valid again. Revoke them: tidemill key list, tidemill token list"
    )


def _what(made: Manifest) -> str:
    counts = made.counts
    parts = [output.number(made.events, "event"), output.number(counts.get("exports", 0), "export")]
    parts += [output.number(counts.get("connections", 0), "connection"), output.size(made.size)]
    return ", ".join(parts)


def _shown(made: Manifest, where: Path) -> dict[str, Any]:
    names = ("id", "made_at", "made_by", "tidemill", "revision", "snapshot", "events", "counts")
    more = {"files": len(made.files), "bytes": made.size, "key": made.key.kind}
    return {"backup": where, **{name: getattr(made, name) for name in names}, **more}
