"""Users and events of Iterable."""
