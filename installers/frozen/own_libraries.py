"""Runs before either frozen program: gives programs that we start the library path of the person, not ours.

The loader has read the variable already, so this process keeps finding its own libraries; `git` or `curl`, started by a
tool, must not be made to use them.
"""

import os

if "LD_LIBRARY_PATH_ORIG" in os.environ:
    os.environ["LD_LIBRARY_PATH"] = os.environ.pop("LD_LIBRARY_PATH_ORIG")
else:
    os.environ.pop("LD_LIBRARY_PATH", None)
