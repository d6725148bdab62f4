"""Lets test modules import the helpers that lie beside this file, as `tests.<helper>`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
