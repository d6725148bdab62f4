"""Rows in a sheet of Google Sheets."""
