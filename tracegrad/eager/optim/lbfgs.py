"""LBFGS: steps along directions that curvature of the last steps has bent, with or without a line search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.eager.modes import enable_grad
from tracegrad.eager.optim.formula import row_of
from tracegrad.eager.optim.optimizer import Optimizer, evaluated
from tracegrad.eager.optim.wolfe import Trial, strong_wolfe
from tracegrad.eager.tensor import Tensor

__all__ = ["LBFGS"]

Array = np.ndarray[Any, Any]


class LBFGS(Optimizer):
    """The limited-memory method of Broyden, Fletcher, Goldfarb and Shanno, as PyTorch has it.

    Parameters
    ----------
    params: tensors; one group only.
    lr: the step size, or with a line search the first step it tries.
    max_iter: iterations per step at most.
    max_eval: evaluations of the closure per step at most; a quarter more than ``max_iter`` if None.
    tolerance_grad: a step ends where no component of the gradient is larger.
    tolerance_change: a step ends where parameters and loss change less.
    history_size: how many of the last moves are remembered.
    line_search_fn: ``"strong_wolfe"`` or None.

    Raises ValueError for a negative ``lr`` and for several groups.

    >>> w = Tensor([3.0, -4.0], requires_grad=True)
    >>> optimizer = LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> print(round(optimizer.step(closure).item(), 4))
    29.0
    >>> w
    tensor([1.0000, 1.0000], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if isinstance(lr, Tensor) and lr._array.size != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not _plain(lr) >= 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Minimise for up to ``max_iter`` iterations; returns the loss before them.

        Parameters
        ----------
        closure: zeroes the gradients, computes the loss, calls its backward and returns it. TypeError without one.
        """
        if closure is None:
            raise TypeError("LBFGS.step() needs the closure: a function that computes the loss and its gradients anew")
        first = evaluated(closure)
        search = _Search(self, closure, float(first))
        if not search.flat():
            search.run()
        return first


class _Search:
    """One call of ``step``: the arrays it works on, taken from the state of the first parameter and given back to it."""

    def __init__(self, optimizer: LBFGS, closure: Callable[[], Any], loss: float) -> None:
        self.group = optimizer.param_groups[0]
        self.params: list[Tensor] = self.group["params"]
        self.closure = closure
        # the state stands with the first parameter, so that its tensors are cast like those of other optimisers
        self.state = optimizer.state[self.params[0]]
        for key in ("func_evals", "n_iter"):
            self.state.setdefault(key, 0)
        self.state["func_evals"] += 1
        self.loss = loss
        self.gradient = self.gathered()
        kept = {key: _plain(self.state.get(key)) for key in ("d", "t", "H_diag", "prev_flat_grad")}
        self.direction, self.t, self.scale, self.last_gradient = kept.values()
        self.changes, self.moves, self.ro = (_plain(self.state.get(key, [])) for key in ("old_dirs", "old_stps", "ro"))

    def run(self) -> None:
        """Iterate until a limit is reached or nothing changes, and save what the next step goes on from."""
        group, state = self.group, self.state
        lr, most = _plain(group["lr"]), group["max_eval"]
        evaluations = 1
        last_loss = self.loss
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            begins = state["n_iter"] == 1
            if begins:
                self.direction, self.changes, self.moves, self.ro, self.scale = -self.gradient, [], [], [], 1
            else:
                self.bend()
            self.last_gradient = self.gradient
            last_loss = self.loss
            self.t = min(1.0, 1.0 / np.abs(self.gradient).sum()) * lr if begins else lr
            slope = self.gradient @ self.direction
            if slope > -group["tolerance_change"]:
                break
            used = self.move(slope, most - evaluations, last=iteration == group["max_iter"])
            evaluations += used
            state["func_evals"] += used
            if evaluations >= most or self.flat() or self.settled(last_loss):
                break
        state.setdefault("al", [None] * group["history_size"])
        saved = {"d": self.direction, "t": self.t, "old_dirs": self.changes, "old_stps": self.moves, "ro": self.ro}
        saved |= {"H_diag": self.scale, "prev_flat_grad": self.last_gradient, "prev_loss": last_loss}
        state.update({key: _wrapped(value) for key, value in saved.items()})

    @np.errstate(all="ignore")
    def bend(self) -> None:
        """Remember the last move and make the next direction: the gradient times the inverse Hessian of the moves."""
        change = self.gradient - self.last_gradient
        move = self.direction * self.t
        product = change @ move
        if product > 1e-10:
            if len(self.changes) == self.group["history_size"]:
                for known in (self.changes, self.moves, self.ro):
                    known.pop(0)
            self.changes.append(change)
            self.moves.append(move)
            self.ro.append(1.0 / product)
            self.scale = product / (change @ change)
        parts: list[Any] = []
        q = -self.gradient
        for y, s, ro in zip(reversed(self.changes), reversed(self.moves), reversed(self.ro), strict=True):
            parts.append((s @ q) * ro)
            q = q - y * parts[-1]
        r = q * self.scale
        for y, s, ro, part in zip(self.changes, self.moves, self.ro, reversed(parts), strict=True):
            r = r + s * (part - (y @ r) * ro)
        self.direction = r

    def move(self, slope: Any, allowed: int, last: bool) -> int:
        """Move the parameters, by a line search if there is one; the number of evaluations it took."""
        kind = self.group["line_search_fn"]
        if kind is None:
            self.add(self.t)
            if last:
                return 0  # nothing would be done with the loss
            with enable_grad():
                self.loss = float(self.closure())
            self.gradient = self.gathered()
            return 1
        if kind != "strong_wolfe":
            raise RuntimeError(f"only 'strong_wolfe' is supported, not {kind!r}")
        before = [p._array.copy() for p in self.params]

        def evaluate(t: Any) -> Trial:
            self.add(t)
            with enable_grad():
                loss = float(self.closure())
            gradient = self.gathered()
            for p, array in zip(self.params, before, strict=True):
                np.copyto(p._array, array)
                p._written("LBFGS.step")
            return Trial(t, loss, gradient, gradient @ self.direction)

        start = Trial(0, self.loss, self.gradient, slope)
        reach = np.abs(self.direction).max()
        # its own tolerance, which the option does not reach
        best, used = strong_wolfe(evaluate, start, self.t, reach, 1e-9, allowed)
        self.t, self.loss, self.gradient = best.t, best.loss, best.gradient
        self.add(self.t)
        return used

    def add(self, t: Any) -> None:
        """Add ``t`` times the direction to the parameters."""
        offset = 0
        for p in self.params:
            array = p._array
            n = row_of(array).size
            part = (self.direction[offset : offset + n] * t).astype(row_of(array).dtype, copy=False)
            np.add(array, part.view(array.dtype).reshape(array.shape), out=array)
            p._written("LBFGS.step")
            offset += n

    def gathered(self) -> Array:
        """The gradients of all parameters in one row; zeros for those without."""
        rows = [p.grad._array if p.grad is not None else np.zeros_like(p._array) for p in self.params]
        return np.concatenate([row_of(x) for x in rows])

    def flat(self) -> bool:
        """Whether the gradient is as small as wanted."""
        return bool(np.abs(self.gradient).max() <= self.group["tolerance_grad"])

    def settled(self, last_loss: float) -> bool:
        """Whether the last move changed too little."""
        tolerance = self.group["tolerance_change"]
        return bool(np.abs(self.direction * self.t).max() <= tolerance or abs(self.loss - last_loss) < tolerance)


def _plain(value: Any) -> Any:
    """Arrays and numbers in the places of tensors."""
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, Tensor):
        return value._array if value._array.ndim else value._array[()]
    return value


def _wrapped(value: Any) -> Any:
    """Tensors in the places of arrays and NumPy's numbers."""
    if isinstance(value, list):
        return [_wrapped(v) for v in value]
    return Tensor._wrap(np.asarray(value)) if isinstance(value, (np.ndarray, np.generic)) else value
