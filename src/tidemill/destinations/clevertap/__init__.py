"""Profiles and events of CleverTap."""
