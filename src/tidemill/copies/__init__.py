"""Whole copies of an installation: backups, what is restored from them, and moves to another place."""
