"""Tools that rows are delivered to. Each is a folder: what it takes, as data, and how it is asked."""
