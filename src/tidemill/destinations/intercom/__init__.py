"""Intercom: contacts, which are users and leads."""
