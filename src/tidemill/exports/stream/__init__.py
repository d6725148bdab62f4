"""Streaming exports: rows are appended to the table as they come, each once, by the Storage Write API.

Rows have an order that stays: by the commit that they came with, and their number in it. They are appended in that
order to a write stream that one process alone writes to. Before rows are sent, it is written down at which offset of
which stream they go, and up to which place in the order (`journal`). Who goes on with a stream ends the write stream
that is written down, and is told by BigQuery how many rows it holds; so it is known which appends are in the table, and
nobody who is late can add to it. See docs/decisions/0014-streaming.md.
"""
