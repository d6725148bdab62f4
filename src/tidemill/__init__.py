"""Tidemill moves product data into Google BigQuery and back out, exactly once."""

__version__ = "0.1.0"
