"""The embedded BigQuery: bqemulator behind a gate that behaves as Google does where the emulator does not.

See README.md beside this file for what the gate adds, and for its known limits.
"""
