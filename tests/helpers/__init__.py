"""What several test modules share: servers, data, models, and the places of things."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "cases"
PLUGINS = ROOT / "tests" / "plugins"
