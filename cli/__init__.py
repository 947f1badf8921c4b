"""The operator's command line, `python -m cli`; it uses the same package as the functions."""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("crm_export") is None:  # run from the repository: the package is a layer's source
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "layers" / "crm_export"))
