"""What the program costs, beside its peers and beside what is possible. `python -m benchmarks --help`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "workspaces" / "demo"))  # the throw-away servers
