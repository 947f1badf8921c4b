"""The whole pipeline in one process, on a virtual clock, with seeded faults (docs/simulation.md)."""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("crm_export") is None:  # run from the repository: the package is a layer's source
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "layers" / "crm_export"))
