"""The event store, and the readers of events."""
