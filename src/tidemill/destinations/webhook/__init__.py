"""Signed HTTP requests to an address of one's own."""
