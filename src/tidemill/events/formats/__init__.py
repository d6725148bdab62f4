"""Readers of events: one file a format, each turns one JSON document into events."""
