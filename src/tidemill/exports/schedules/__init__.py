"""Exports that run by themselves: when they are due, who takes which, and what becomes of those that fail."""
