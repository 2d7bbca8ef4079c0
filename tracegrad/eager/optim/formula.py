"""Optimisers that run a formula of :mod:`tracegrad.optim` on the storage of their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tracegrad.eager.dtypes import default_dtype
from tracegrad.eager.optim.optimizer import Group, Optimizer, evaluated
from tracegrad.eager.quiet import quiet
from tracegrad.eager.tensor import Tensor
from tracegrad.optim.formula import Formula, Numbers, Options, Slot

__all__ = ["FormulaOptimizer", "row_of"]

Array = np.ndarray[Any, Any]

_PIECE = 1 << 15
"""Elements per piece of a large parameter: the temporaries of a formula on so many stay in the cache."""


class FormulaOptimizer(Optimizer):
    """An optimiser whose step is a formula; the same formula is a pure rule of ``tracegrad.optim``."""

    formula: ClassVar[Formula]
    keys: ClassVar[tuple[str, ...]]
    """What PyTorch calls the formula's slots in the state of a parameter."""
    counted: ClassVar[bool] = True
    """Whether the state of a parameter counts its steps."""

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if defaults.get("differentiable"):
            raise ValueError(
                f"{type(self).__name__}: differentiable=True is not there; tracegrad.optim has the same formula as a pure "
                "function, whose steps can be differentiated"
            )
        if defaults.get("fused") and defaults.get("foreach"):
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        for name in ("lr", "weight_decay"):
            value = defaults[name]
            if isinstance(value, Tensor) and value._array.size != 1:
                raise ValueError(f"Tensor {name} must be 1-element")
        self.formula.check(_plain(defaults))
        super().__init__(params, defaults)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Improve the parameters that have a gradient; returns what the closure returned.

        Parameters
        ----------
        closure: computes the loss anew, with its gradients.
        """
        loss = evaluated(closure)
        for group in self.param_groups:
            self._improve(group)
        return loss

    def _improve(self, group: Group) -> None:
        options = _plain(group)
        used = [key if slot.used(options) else None for slot, key in zip(self.formula.slots, self.keys, strict=True)]
        writer = f"{type(self).__name__}.step"
        count = 0.0
        numbers: Numbers = ()
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            reached = self._counted(p, used, options)
            if reached != count:
                count = reached
                numbers = self.formula.numbers(options, count)
            state = self.state[p] if any(used) else {}
            slots = tuple([None if key is None else state[key]._array for key in used])
            quiet.run(_advance, self.formula, p._array, g._array, slots, numbers, options)
            p._written(writer)

    def _counted(self, p: Tensor, used: list[str | None], options: Options) -> float:
        """The number of this step; what is remembered of a parameter is made where it is not there yet."""
        if not self.counted:
            # it has its first step when it remembers nothing
            return 2.0 if not any(used) or self._prepare(p, used, options) else 1.0
        self._prepare(p, used, options)
        step = self.state[p]["step"]._array
        step += 1
        return float(step)

    def _prepare(self, p: Tensor, used: list[str | None], options: Options) -> bool:
        """Make what is not there yet in the state of a parameter; whether everything was."""
        state = self.state[p]
        if self.counted and "step" not in state:
            state["step"] = Tensor._wrap(np.zeros((), default_dtype.get()))
        complete = True
        for slot, key in zip(self.formula.slots, used, strict=True):
            if key is not None and state.get(key) is None:
                state[key] = _started(slot, p._array, options)
                complete = False
        return complete


def _plain(group: Group) -> Group:
    """Options with numbers in the places of tensors."""
    if not any(isinstance(value, (Tensor, tuple)) for value in group.values()):
        return group
    return {key: _number(value) for key, value in group.items()}


def _number(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_number(v) for v in value)
    return value.item() if isinstance(value, Tensor) else value


def _started(slot: Slot, like: Array, options: Options) -> Tensor:
    start = slot.start(options)
    if slot.scalar:
        return Tensor._wrap(np.full((), start, default_dtype.get()))
    # both parts of a complex number start alike, as they are two numbers to the formula
    return Tensor._wrap(np.full_like(like, complex(start, start) if like.dtype.kind == "c" else start))


def _advance(formula: Formula, p: Array, g: Array, slots: tuple[Array | None, ...], numbers: Numbers, options: Options) -> None:
    """Write one step into the arrays of a parameter."""
    if p.size <= _PIECE and p.dtype.kind != "c":
        _write(p, slots, *formula.step(p, g, slots, numbers, options))
        return
    scalars = tuple(x if slot.scalar else None for slot, x in zip(formula.slots, slots, strict=True))
    rows = tuple(x if x is None or slot.scalar else row_of(x) for slot, x in zip(formula.slots, slots, strict=True))
    p_row, g_row = row_of(p), row_of(g)
    new: Any = ()
    for start in range(0, p_row.size, _PIECE):
        piece = slice(start, start + _PIECE)
        parts = tuple(x if scalar is not None or x is None else x[piece] for x, scalar in zip(rows, scalars, strict=True))
        moved, new = formula.step(p_row[piece], g_row[piece], parts, numbers, options)
        kept = tuple(None if scalar is not None else x for x, scalar in zip(parts, scalars, strict=True))
        _write(p_row[piece], kept, moved, new)
    # every piece starts from the old scalars
    _write(p_row[:0], scalars, p_row[:0], new)
    for x, row in zip((p, *slots), (p_row, *rows), strict=True):
        if x is not None and row is not None and not x.flags.c_contiguous:
            np.copyto(x, row.view(x.dtype).reshape(x.shape))


def _write(p: Array, slots: tuple[Array | None, ...], moved: Any, new: tuple[Any, ...]) -> None:
    np.copyto(p, moved)
    for old, x in zip(slots, new, strict=True):
        if old is not None:
            np.copyto(old, x)


def row_of(x: Array) -> Array:
    """The elements in one row, the two parts of complex ones side by side; a view where they lie so already."""
    row = x.reshape(-1)
    return row.view(row.real.dtype) if row.dtype.kind == "c" else row
