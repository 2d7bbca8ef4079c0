"""checkpoint: a function whose inner values are computed again for its derivative, and not kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tracegrad.autodiff.argnums import name_of
from tracegrad.autodiff.inside import Transform
from tracegrad.core.source import called
from tracegrad.core.tree import flatten
from tracegrad.ops.marks import begin, end
from tracegrad.symbolic import Recorder, Sym, current_recorder
from tracegrad.transforms.derivatives import checked_function

Function = Callable[..., Any]


class Checkpointed(Transform):
    """A checkpointed function; made by ``checkpoint``."""

    def __init__(self, parts: Mapping[str, Function]) -> None:
        super().__init__(parts, _rule, "checkpoint")
        self.__name__ = self.__qualname__ = name_of(parts["function"])

    def around(self, parts: Mapping[str, Function]) -> Checkpointed:
        """The same of a twin."""
        return Checkpointed(parts)

    def __repr__(self) -> str:
        return f"<checkpoint of {self.__name__}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's result; in a trace it is marked."""
        if current_recorder.get() is None:
            return called(self._parts["function"], args, kwargs)
        return super().__call__(*args, **kwargs)


def _rule(recorder: Recorder, parts: Mapping[str, Function], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    region = len(recorder.graph)

    def marked(tree: Any, op: Any, root: str) -> Any:
        leaves, structure = flatten(tree, root=root)
        return structure.unflatten([op(x, region=region) if isinstance(x, Sym) else x for x in leaves])

    name = name_of(parts["function"])
    inside, named = marked((tuple(args), dict(kwargs)), begin, f"the arguments of {name}")
    return marked(called(parts["function"], inside, named), end, f"the result of {name}")


def checkpoint(fun: Function) -> Any:
    """The same function, whose inner values derivatives compute again where they need them, instead of keeping them.

    Parameters
    ----------
    fun: a function of pytrees of arrays and numbers; what it reads from outside may be anything.

    Returns a function of the same arguments with the same results and derivatives. In a compiled program only the arguments
    and results are kept for the backward half; all that is computed between them is computed there once more, in time for
    its use. ``memory_plan`` shows what that saves. Elsewhere (on plain arrays, on tensors and on the interpreter) nothing
    changes. A ``memory_budget`` of ``grad_compile`` decides by itself, and keeps to these marks where they save more.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> def layer(x, w):
    ...     return np.tanh(np.tanh(np.tanh(x @ w) @ w) @ w)
    >>> def between_kernels(layer):
    ...     def loss(w, x):
    ...         for _ in range(4):
    ...             x = layer(x, w)
    ...         return np.sum(x)
    ...     return tg.grad_compile(loss).memory_plan(np.eye(8), np.ones((4000, 8))).arena_bytes
    >>> between_kernels(tg.checkpoint(layer)) < 0.5 * between_kernels(layer)
    True
    """
    return Checkpointed({"function": checked_function(fun, "checkpoint")})
