"""First code of every process the stack starts: `child.py MODULE [ARGUMENT…]`, as `python -m MODULE` does.

The process ends, with all it started, when the stack does, however that ends: its standard input is a
pipe only the stack holds open. Works on any Unix and, unlike PR_SET_PDEATHSIG, from any thread.
"""

import os
import runpy
import signal
import sys
from pathlib import Path
from threading import Thread


def end_with_parent() -> None:
    """Kill our process group as soon as the pipe on standard input closes."""
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        while os.read(pipe, 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    Thread(target=watch, name="end-with-parent", daemon=True).start()


def forget_editable_install() -> None:
    """Remove the editable install from sys.path: a function imports only from its folder and its layers."""
    repository = Path(__file__).resolve().parents[2]
    installed = {str(repository), str(repository / "layers" / "crm_export")}
    installed -= set(os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [path for path in sys.path if path not in installed]


if __name__ == "__main__":
    end_with_parent()
    forget_editable_install()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
