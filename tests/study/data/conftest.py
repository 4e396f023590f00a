"""Makes the reference importable: tests are collected without putting their folder on the path."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
