"""Reverse ETL: rows of BigQuery in the tools people work in, only what changed, each accounted for."""
