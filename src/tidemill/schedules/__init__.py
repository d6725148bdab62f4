"""Calendars, and workers that do what is due: for exports and for syncs."""
