"""Makes this folder's helpers importable, as the folder above does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
