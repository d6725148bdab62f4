"""Klaviyo: profiles, their lists, and events."""
