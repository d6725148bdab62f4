"""Connections: a named BigQuery project and dataset, with the credential for it."""
