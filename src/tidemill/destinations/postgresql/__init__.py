"""Rows in tables of the user's own PostgreSQL."""
