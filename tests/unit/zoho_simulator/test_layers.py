"""Imports inside the simulator go down the layers that its docstring lists."""

import ast
from pathlib import Path

import zoho_simulator

ROOT = Path(zoho_simulator.__file__).parent
SHARED = ("tokens", "errors", "wire", "config")
ALLOWED = {
    "__main__": {"http", "data", "config"},
    "http": {"http", "bulk", "records", "faults", "data", *SHARED},
    "bulk": {"bulk", "faults", "data", *SHARED},
    "records": {"records", "data", *SHARED},
    "faults": {"data", *SHARED},
    "data": {"data", *SHARED},
    "tokens": {"errors", "wire", "config"},
    "errors": {"wire"},
    "wire": set(),
    "config": set(),
    "__init__": set(),
}


def test_imports_go_down_the_layers():
    for path in ROOT.rglob("*.py"):
        layer = path.relative_to(ROOT).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("zoho_simulator."):
                assert node.module.split(".")[1] in ALLOWED[layer], f"{path} imports {node.module}"
