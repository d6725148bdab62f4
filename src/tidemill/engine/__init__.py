"""Durable workflows: what was begun is finished, by this process or by another."""
