"""Calls of Segment's Tracking API: identify, track, group, page, screen, alias."""
