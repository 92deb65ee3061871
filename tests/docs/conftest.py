"""Makes the builders of the plugin tests importable: the snippets of the documentation are plugins."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins"))
