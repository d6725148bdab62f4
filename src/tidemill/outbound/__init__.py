"""Requests to servers of other people: which may be reached, and what is said of those that cannot be."""
