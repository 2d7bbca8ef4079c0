"""LLVM at work on several cores: passes and machine code of one module beside those of another.

Private are ``_cfn``, the function behind llvmlite's wrapper of a function of its library, and the three functions of that
library that are called through it. The wrapper lets one thread at a time into LLVM, whatever it works on. LLVM asks only that
threads do not share a context: here each module has one of its own, and a target of its own. All other calls take a few
milliseconds and go through the wrapper. Where ``_cfn`` has moved, these three do as well: results are the same, and one core
is at work.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import llvmlite.binding as ll
from llvmlite.binding import ffi

__all__ = ["Crew", "Later", "object_code", "run_passes", "simplify_functions", "unlocked"]

Made = TypeVar("Made")


def unlocked(name: str) -> Any:
    """Return a function of llvmlite's library that other threads need not wait for, or the usual one where there is none."""
    wrapped = getattr(ffi.lib, name)
    return getattr(wrapped, "_cfn", wrapped)


def run_passes(module: Any, target: Any, options: Any) -> None:
    """Optimise a module of a context of its own, with a target of its own."""
    builder = ll.create_pass_builder(target, options)
    unlocked("LLVMPY_RunNewModulePassManager")(builder.getModulePassManager(), module, builder)


def simplify_functions(module: Any, target: Any, options: Any) -> None:
    """Simplify each function of such a module by itself."""
    builder = ll.create_pass_builder(target, options)
    passes, run = builder.getFunctionPassManager(), unlocked("LLVMPY_RunNewFunctionPassManager")
    for function in module.functions:
        if not function.is_declaration:
            run(passes, function, builder)


def object_code(module: Any, target: Any) -> bytes:
    """Return the object code of a module of a context of its own, made by a target of its own.

    Raises
    ------
    RuntimeError
        LLVM cannot make it.
    """
    with ffi.OutputString() as error:
        buffer = unlocked("LLVMPY_TargetMachineEmitToMemory")(target, module, 1, error)
        if not buffer:
            raise RuntimeError(str(error))
    try:
        return ctypes.string_at(ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


class Later(Generic[Made]):
    """A result that a thread is making."""

    def __init__(self, job: Callable[[], Made], turn: threading.Semaphore) -> None:
        self._job, self._turn = job, turn
        self._result: Made | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tracegrad compiles", daemon=False)
        try:
            self._thread.start()
        except RuntimeError:  # no more threads, or the interpreter is about to end
            self._run()

    def _run(self) -> None:
        with self._turn:
            try:
                self._result = self._job()
            except BaseException as error:  # noqa: BLE001  whatever it is, the one who waits for it raises it
                self._error = error

    def result(self) -> Made:
        """Wait for it, and return it or raise what the thread raised."""
        if self._thread.ident is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]


class Crew:
    """As many threads at work as there are cores for this process."""

    def __init__(self) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self._turn = threading.Semaphore(cores or 1)

    def later(self, job: Callable[[], Made]) -> Later[Made]:
        """Have a result made while the caller goes on."""
        return Later(job, self._turn)
