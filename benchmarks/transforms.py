"""Transforms beside what one would write without them: sparse Jacobians, maps, products with Hessians, Jacobians, autograd.

``python -m benchmarks.transforms [--quick]``

Contenders take turns in one process on one thread; the median of many turns counts, and a ratio is one of medians of the same
run. No time is printed for results that disagree. JAX and HIPS autograd take part where they are installed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from rich.console import Console
from rich.table import Table

import tracegrad as tg
import tracegrad.compat as ours_of_autograd
import tracegrad.compat.numpy as anp
from benchmarks.timing import QUICK, Effort, interleave

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison: ``contenders`` by name, the first of which the others are compared with."""

    name: str
    contenders: dict[str, Callable[[], Any]]


def flow(x: Any) -> Any:
    """A step of nonlinear diffusion: each element depends on itself and on its neighbours."""
    inner = x[1:-1] + 0.1 * (x[2:] - 2.0 * x[1:-1] + x[:-2]) * (1.0 + x[1:-1] ** 2)
    return np.concatenate([x[:1], inner, x[-1:]])


def rosenbrock(x: Any) -> Any:
    """Rosenbrock's function."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def solved(a: Any, b: Any) -> Any:
    """The solution of a small system."""
    return np.linalg.solve(a, b)


def installed(name: str) -> Any:
    """A module, None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def cases(n: int, batch: int) -> Iterator[Case]:
    """The comparisons: ``n`` unknowns of a tridiagonal Jacobian, ``batch`` small systems."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(n)
    function, jacobian = tg.jit(threads=1)(flow), tg.sparse_jacobian(tg.jit(threads=1)(flow))
    count = jacobian.colours(x)
    yield Case(
        f"tridiagonal Jacobian, n = {n}, {count} colours",
        {"function": lambda: function(x), "sparse_jacobian": lambda: jacobian(x)},
    )
    a, b = rng.standard_normal((batch, 4, 4)) + 4 * np.eye(4), rng.standard_normal((batch, 4))
    mapped = tg.jit(threads=1)(tg.vmap(solved))
    rows: dict[str, Callable[[], Any]] = {"jit(vmap)": lambda: mapped(a, b)}
    rows["NumPy, a loop"] = lambda: np.stack([solved(p, q) for p, q in zip(a, b, strict=True)])
    jax = installed("jax")
    if jax is not None:
        jax.config.update("jax_enable_x64", True)
        held, there = (jax.numpy.asarray(a), jax.numpy.asarray(b)), jax.jit(jax.vmap(jax.numpy.linalg.solve))
        rows["JAX"] = lambda: there(*held).block_until_ready()
    yield Case(f"{batch} systems of 4 unknowns", rows)
    v = rng.standard_normal(n)
    compiled = tg.grad_compile(threads=1)(rosenbrock)
    product = tg.jit(threads=1)(lambda x, v: tg.hvp(rosenbrock, (x,), (v,)))
    hessian = tg.sparse_hessian(tg.jit(threads=1)(rosenbrock))(x)
    yield Case(
        f"Hessian times vector, n = {n}",
        {"hvp": lambda: product(x, v), "sparse matrix times vector": lambda: hessian @ v},
    )
    again = tg.jit(threads=1)(tg.grad(rosenbrock))
    yield Case(f"its gradient, n = {n}", {"grad_compile": lambda: compiled.grad(x), "jit(grad)": lambda: again(x)})
    small = rng.standard_normal(60)
    forward, reverse = (tg.jit(threads=1)(kind(flow)) for kind in (tg.jacfwd, tg.jacrev))
    yield Case("dense Jacobian of 60 by 60", {"jacfwd": lambda: forward(small), "jacrev": lambda: reverse(small)})
    yield from tapes(rng.standard_normal(100))


def tapes(x: Any) -> Iterator[Case]:
    """The same program of small operations on the tape of ``compat``, and on autograd's."""

    def program(numpy: Any) -> Callable[[Any], Any]:
        def loss(x: Any) -> Any:
            for _ in range(20):
                x = numpy.tanh(x) * 1.1 + 0.1
            return numpy.sum(x * x)

        return loss

    gradient = ours_of_autograd.grad(program(anp))
    rows: dict[str, Callable[[], Any]] = {"compat": lambda: gradient(x)}
    theirs = installed("autograd")
    if theirs is not None:
        autograd = theirs.grad(program(importlib.import_module("autograd.numpy")))
        rows["HIPS autograd"] = lambda: autograd(x)
    yield Case("gradient of 61 operations on 100 elements, eagerly", rows)


def agree(case: Case) -> bool:
    """Whether the contenders give the same numbers; the function beside its Jacobian gives others."""
    found = [call() for call in case.contenders.values()]
    if scipy.sparse.issparse(found[-1]):
        x = np.linspace(0.0, 1.0, 50)
        expected = tg.jacfwd(flow)(x)
        same = np.allclose(tg.sparse_jacobian(flow)(x).toarray(), expected, rtol=TOLERANCE)
        return bool(same) and found[-1].shape == (len(found[0]),) * 2
    first = np.asarray(found[0])
    return all(np.allclose(np.asarray(each), first, rtol=TOLERANCE, atol=TOLERANCE) for each in found[1:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, measure and print; 1 where results disagree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transforms", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes and few turns: shows that it runs")
    quick = parser.parse_args(arguments).quick
    console = Console(soft_wrap=True, highlight=False)
    table = Table("case", "contender", "µs", "ratio", title="Transforms, one thread")
    wrong = False
    for case in cases(100 if quick else 10_000, 20 if quick else 1000):
        if not agree(case):
            wrong = True
            table.add_row(case.name, "the results disagree", "", "")
            continue
        times = interleave(case.contenders, QUICK if quick else Effort())
        base = next(iter(times.values())).median
        for k, (name, timing) in enumerate(times.items()):
            table.add_row(case.name if k == 0 else "", name, f"{timing.median:.1f}", f"{timing.median / base:.2f}")
        table.add_section()
    console.print(table)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
