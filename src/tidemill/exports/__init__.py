"""Batch exports: a model, by intervals, into a BigQuery table."""
