"""Imports: rows of BigQuery become people and events here. An import is a sync whose destination is Tidemill."""
