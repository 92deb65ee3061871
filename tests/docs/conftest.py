"""Makes the builders of the plugin tests importable: the snippets of the documentation are plugins."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "plugins"):
    sys.path.insert(0, str(folder))
