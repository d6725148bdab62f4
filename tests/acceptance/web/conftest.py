"""The web app and a browser, for these tests: another `web` is what others send to."""

from __future__ import annotations

from tests.stocked import made
from tests.web_server import axe, browsing, chromium_of_playwright, kept_context, web

__all__ = ["axe", "browsing", "chromium_of_playwright", "kept_context", "made", "web"]
