"""Kernels compiled by a thread of their own, while calls are answered by the interpreter."""

from __future__ import annotations

import contextvars
import threading
import warnings
from collections.abc import Callable

from tracegrad.errors import BackgroundWarning
from tracegrad.pipeline import Compilation, kernels_made, require_native


class Pending:
    """One compilation under way.

    A process that ends meanwhile waits for the stage under way and begins no other: a thread that is stopped inside of LLVM
    would take the process with it. Programs compiled to the end are in the cache for the next process.

    Parameters
    ----------
    compilation: what the stages on graphs have made; its ``run`` is the interpreter.
    name: of the function, for the warning.
    ready: given the finished compilation, in the thread that made it.

    Raises
    ------
    CompileError
        An op has no native code: that is known at once.
    """

    def __init__(self, compilation: Compilation, name: str, ready: Callable[[Compilation], None]) -> None:
        assert compilation.graph is not None
        require_native(compilation.graph)
        self._compilation = compilation
        self._name = name
        self._ready = ready
        self._reached = compilation
        self._finished = False
        self._failure: BaseException | None = None
        self._untold = False
        context = contextvars.copy_context()  # the settings of the caller hold
        self._thread = threading.Thread(target=context.run, args=(self._work,), name=f"compiles {name}", daemon=False)
        self._thread.start()

    def _work(self) -> None:
        try:
            for done in kernels_made(self._compilation):
                self._reached = done
                if not threading.main_thread().is_alive():
                    return
            self._finish()
        except BaseException as error:  # noqa: BLE001  whatever it is, the interpreter goes on and a later call tells
            self._failure = error
            self._untold = True

    def _finish(self) -> None:
        self._ready(self._reached)
        self._finished = True

    def wait(self) -> Compilation:
        """The finished compilation; raises what has gone wrong."""
        self._thread.join()
        self._untold = False
        if self._failure is not None:
            raise self._failure
        if not self._finished:  # a forked child has no thread that goes on
            *_, self._reached = kernels_made(self._compilation)
            self._finish()
        return self._reached

    def report(self) -> None:
        """Warn once if the kernels did not compile."""
        if self._untold:
            self._untold = False
            warnings.warn(
                f"the kernels of {self._name} did not compile in the background: {self._failure}\nResults are right, but "
                'calls go on without kernels, on the interpreter. Call its .explain(...), or use compile="now", for the '
                'whole error; compile="never" says that the interpreter is wanted.',
                BackgroundWarning,
                stacklevel=3,
            )
