"""The package that compiled programs belong to.

:mod:`tracegrad.runtime.load` puts each program here under its hash. Code that a user has compiled and cached on top of
a program holds a copy of the native code and asks, in later processes, for the program's module by name, only to hang
its (empty) list of globals on. That has to work before the program is loaded and after its files are gone, so an import
by name is answered with an empty module, and never runs a file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["StubFinder"]


class StubFinder(MetaPathFinder, Loader):
    """Answers imports of this package's modules with empty ones."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec of an empty module, or None for a name that no program has."""
        if not fullname.startswith(f"{__name__}.p_"):
            return None
        return ModuleSpec(fullname, self, origin="compiled program")

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module empty."""


if not any(isinstance(finder, StubFinder) for finder in sys.meta_path):
    sys.meta_path.append(StubFinder())
