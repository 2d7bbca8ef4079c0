"""Random numbers: the methods of ``numpy.random.Generator`` in terms of standard draws, which depend on no traced value.

``rng.normal(loc, scale)`` is ``loc + scale * z`` with a standard normal ``z``: the numbers are NumPy's, from the same stream,
and the derivatives with respect to ``loc`` and ``scale`` are those of this expression (reparameterisation). What is drawn as
an integer, or chosen, has no derivative.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tracegrad.core.aval import Shape, broadcast_shapes
from tracegrad.core.source import called_as, user_frame
from tracegrad.errors import DtypeError, ShapeError, TraceError
from tracegrad.ops import linalg
from tracegrad.ops.contractions import matmul
from tracegrad.ops.indexing import take, take_along_axis
from tracegrad.ops.maps import absolute, exp, expm1, select, sqrt
from tracegrad.ops.special_families import beta_motion, beta_motion_of_b, gamma_motion, student_motion
from tracegrad.ops.views import broadcast_to, reshape, transpose

Size = int | Sequence[int] | None
REFUSED = {
    "bit_generator": "read it outside of the traced function",
    "bytes": "rng.integers(256, size=n, dtype=np.uint8) has numbers instead",
    "spawn": "spawn outside of the traced function, and pass each generator as an argument",
}


def _ndim(value: Any) -> int:
    return len(value.shape) if hasattr(value, "shape") else np.ndim(value)


@called_as("rng")
class Draws:
    """The methods of a Generator.

    Parameters
    ----------
    host: ``host(method, args, keywords, motions)`` is the traced value of what a Generator's method draws; ``motions`` are
        its derivatives in ``args``, functions of the draw and of these.
    operand: an array or a list as a traced array.
    number: a traced number as one of Python.
    """

    def __init__(self, host: Callable[..., Any], operand: Callable[[Any], Any], number: Callable[[Any], Any]) -> None:
        self._host = host
        self._operand = operand
        self._number = number

    # -- shapes and parameters -----------------------------------------------------------------------------------------

    def _parameter(self, value: Any) -> Any:
        """A parameter of a distribution as NumPy takes it: a number, or an array of float64."""
        if type(value) in (bool, int, float):
            return float(value)
        if isinstance(value, (str, bytes, dict, set)) or value is None:
            raise DtypeError(f"{value!r} as a parameter of a distribution", fix="give numbers", where=user_frame())
        array = self._operand(value)
        if array.dtype.kind == "c":
            raise DtypeError(f"a parameter of dtype {array.dtype}", fix="give real numbers", where=user_frame())
        return array.astype(np.float64)

    def _of(self, name: str, size: Size, *parameters: Any) -> tuple[Any, ...]:
        """A size and parameters, checked: the size that is drawn, None for a number, and the parameters."""
        given = [self._parameter(value) for value in parameters]
        shape = broadcast_shapes(*(() if isinstance(p, float) else p.shape for p in given))
        if size is None:
            return (shape or None, *given)
        drawn = _sizes(size)
        if not _fits(shape, drawn):
            raise ShapeError(
                f"rng.{name} with size={size} and parameters of shape {shape}",
                fix="give a size that ends in the shape of the parameters, or leave it out",
                where=user_frame(),
            )
        return (drawn, *given)

    def _checked(self, name: str, *parameters: Any, instead: tuple[float, ...] = ()) -> None:
        """Let NumPy say what is wrong with parameters that are numbers, with others ``instead`` of those that are traced."""
        given = [p if isinstance(p, float) else other for p, other in zip(parameters, instead or parameters, strict=True)]
        if all(isinstance(p, float) for p in given):
            getattr(np.random.default_rng(0), name)(*given)

    def _result(self, value: Any, size: Size) -> Any:
        """A result as NumPy returns it: without a size a number is one of Python."""
        return self._number(value) if size is None and not value.shape else value

    def _standard(self, name: str, size: Size, dtype: Any = np.float64, out: Any = None, **keywords: Any) -> Any:
        """A standard draw."""
        kind = np.dtype(dtype)
        if out is None:
            return self._host(name, (), {"size": None if size is None else _sizes(size), "dtype": kind, **keywords})
        if not hasattr(out, "assign"):
            raise TraceError(
                "out= is no array that the traced function has made",
                fix="make it inside: out = np.empty(n), or use the result",
                where=user_frame(),
            )
        if size is not None and _sizes(size) != out.shape:
            raise ShapeError(f"size={size} and an out of shape {out.shape}", fix="leave size= out", where=user_frame())
        if out.dtype != kind:
            raise DtypeError(f"out has dtype {out.dtype}, and {kind} is drawn", fix=f"dtype=np.{out.dtype}", where=user_frame())
        out.assign(self._host(name, (), {"size": out.shape, "dtype": kind, **keywords}))
        return out

    # -- standard draws ------------------------------------------------------------------------------------------------

    def random(self, size: Size = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Uniform in [0, 1)."""
        return self._standard("random", size, dtype, out)

    def standard_normal(self, size: Size = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Normal with mean 0 and deviation 1."""
        return self._standard("standard_normal", size, dtype, out)

    def standard_exponential(self, size: Size = None, dtype: Any = np.float64, method: str = "zig", out: Any = None) -> Any:
        """Exponential with scale 1."""
        return self._standard("standard_exponential", size, dtype, out, method=method)

    def standard_cauchy(self, size: Size = None) -> Any:
        """Cauchy with mode 0 and scale 1."""
        return self._host("standard_cauchy", (), {"size": None if size is None else _sizes(size)})

    # -- a location and a scale ----------------------------------------------------------------------------------------

    def _located(self, method: str, name: str, loc: Any, scale: Any, size: Size, **given: Any) -> Any:
        drawn, loc, scale = self._of(name, size, loc, scale)
        self._checked(name, loc, scale, instead=(0.0, 1.0))
        return self._result(self._host(method, (), {**given, "size": drawn}) * scale + loc, size)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Size = None) -> Any:
        """loc + scale · z."""
        return self._located("standard_normal", "normal", loc, scale, size)

    def laplace(self, loc: Any = 0.0, scale: Any = 1.0, size: Size = None) -> Any:
        """loc + scale · z."""
        return self._located("laplace", "laplace", loc, scale, size)

    def logistic(self, loc: Any = 0.0, scale: Any = 1.0, size: Size = None) -> Any:
        """loc + scale · z."""
        return self._located("logistic", "logistic", loc, scale, size)

    def gumbel(self, loc: Any = 0.0, scale: Any = 1.0, size: Size = None) -> Any:
        """loc + scale · z."""
        return self._located("gumbel", "gumbel", loc, scale, size)

    def lognormal(self, mean: Any = 0.0, sigma: Any = 1.0, size: Size = None) -> Any:
        """exp(mean + sigma · z)."""
        drawn, mean, sigma = self._of("lognormal", size, mean, sigma)
        self._checked("lognormal", mean, sigma, instead=(0.0, 1.0))
        return self._result(exp(self._host("standard_normal", (), {"size": drawn}) * sigma + mean), size)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Size = None) -> Any:
        """low + (high - low) · u."""
        drawn, low, high = self._of("uniform", size, low, high)
        self._checked("uniform", low, high)
        return self._result(self._host("random", (), {"size": drawn}) * (high - low) + low, size)

    def _scaled(self, method: str, name: str, scale: Any, size: Size) -> Any:
        drawn, scale = self._of(name, size, scale)
        self._checked(name, scale)
        return self._result(self._host(method, (), {"size": drawn}) * scale, size)

    def exponential(self, scale: Any = 1.0, size: Size = None) -> Any:
        """scale · e."""
        return self._scaled("standard_exponential", "exponential", scale, size)

    def rayleigh(self, scale: Any = 1.0, size: Size = None) -> Any:
        """scale · z."""
        return self._scaled("rayleigh", "rayleigh", scale, size)

    # -- shapes that are powers ----------------------------------------------------------------------------------------

    def _of_exponential(self, name: str, a: Any, size: Size, rule: Callable[[Any, Any], Any]) -> Any:
        drawn, a = self._of(name, size, a)
        self._checked(name, a)
        return self._result(rule(self._host("standard_exponential", (), {"size": drawn}), a), size)

    def weibull(self, a: Any, size: Size = None) -> Any:
        """e ** (1 / a)."""
        if isinstance(a, (int, float)) and a == 0:  # nothing is drawn
            return 0.0 if size is None else self._operand(np.zeros(_sizes(size)))
        return self._of_exponential("weibull", a, size, lambda e, a: e ** (1 / a))

    def pareto(self, a: Any, size: Size = None) -> Any:
        """expm1(e / a)."""
        return self._of_exponential("pareto", a, size, lambda e, a: expm1(e / a))

    def power(self, a: Any, size: Size = None) -> Any:
        """(1 - exp(-e)) ** (1 / a)."""
        return self._of_exponential("power", a, size, lambda e, a: (-expm1(-e)) ** (1 / a))

    def triangular(self, left: Any, mode: Any, right: Any, size: Size = None) -> Any:
        """The inverse of the distribution's cumulative function at a uniform draw."""
        drawn, left, mode, right = self._of("triangular", size, left, mode, right)
        self._checked("triangular", left, mode, right)
        u = self._host("random", (), {"size": drawn})
        below = (mode - left) / (right - left)
        rising = u <= below
        # of the branch that is not taken the root is of a positive number, so that no derivative of it is infinite
        lower = sqrt(select(rising, u, 1.0) * ((mode - left) * (right - left)))
        upper = sqrt(select(rising, 1.0, 1 - u) * ((right - mode) * (right - left)))
        return self._result(select(rising, left + lower, right - upper), size)

    # -- vectors -------------------------------------------------------------------------------------------------------

    def multivariate_normal(
        self, mean: Any, cov: Any, size: Size = None, check_valid: str = "warn", tol: float = 1e-8, *, method: str = "svd"
    ) -> Any:
        """mean + z · factorᵀ, where factor · factorᵀ = cov; that ``cov`` is a covariance is not checked."""
        mean, cov = self._parameter(mean), self._parameter(cov)
        n = 1 if isinstance(mean, float) or _ndim(mean) != 1 else mean.shape[0]
        if isinstance(mean, float) or mean.shape != (n,) or isinstance(cov, float) or cov.shape != (n, n):
            shapes = " and ".join(str(() if isinstance(p, float) else p.shape) for p in (mean, cov))
            raise ShapeError(
                f"rng.multivariate_normal of a mean and a cov of shapes {shapes}",
                fix="give a mean of shape (n,) and a cov of shape (n, n)",
                where=user_frame(),
            )
        if method == "cholesky":
            factor = linalg.cholesky(cov)
        elif method == "eigh":
            values, vectors = linalg.eigh(cov)
            factor = vectors * sqrt(absolute(values))
        elif method == "svd":
            vectors, values, _ = linalg.svd(cov)
            factor = vectors * sqrt(values)
        else:
            raise TraceError(f"method={method!r}", fix="use 'svd', 'eigh' or 'cholesky'", where=user_frame())
        lead = () if size is None else _sizes(size)
        z = self._host("standard_normal", (), {"size": (*lead, n)})
        rows = matmul(reshape(z, (math.prod(lead), n)), transpose(factor)) + mean
        return reshape(rows, (*lead, n))

    # -- shapes that no expression of a standard draw has --------------------------------------------------------------

    def _sampled(self, name: str, size: Size, parameters: tuple[Any, ...], motions: tuple[Callable[..., Any], ...]) -> Any:
        """A draw whose parameters may be traced; ``motions`` are its derivatives in them, of the draw and all of them."""
        drawn, *given = self._of(name, size, *parameters)
        self._checked(name, *given)
        if drawn is not None and not all(isinstance(p, float) for p in given):
            given = [p if isinstance(p, float) else broadcast_to(p, drawn) for p in given]
        return self._result(self._host(name, tuple(given), {"size": drawn}, motions), size)

    def standard_gamma(self, shape: Any, size: Size = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Gamma with scale 1; the derivative in ``shape`` is that at the same quantile."""
        if np.dtype(dtype) != np.float64 or out is not None:
            if not isinstance(shape, (int, float)):
                raise TraceError(
                    "rng.standard_gamma of an array with dtype= or out=", fix="use the result of float64", where=user_frame()
                )
            return (
                self._host("standard_gamma", (shape,), {"size": size, "dtype": dtype})
                if out is None
                else self._into(out, lambda: self._host("standard_gamma", (shape,), {"size": out.shape, "dtype": out.dtype}))
            )
        return self._sampled("standard_gamma", size, (shape,), (gamma_motion,))

    def _into(self, out: Any, draw: Callable[[], Any]) -> Any:
        out[...] = draw()
        return out

    def gamma(self, shape: Any, scale: Any = 1.0, size: Size = None) -> Any:
        """scale · z, with a standard gamma ``z``."""
        drawn, shape, scale = self._of("gamma", size, shape, scale)
        self._checked("gamma", shape, scale, instead=(1.0, 1.0))
        return self._result(self._sampled("standard_gamma", drawn, (shape,), (gamma_motion,)) * scale, size)

    def chisquare(self, df: Any, size: Size = None) -> Any:
        """2 · z, with a gamma ``z`` of half the degrees of freedom."""
        drawn, df = self._of("chisquare", size, df)
        self._checked("chisquare", df)
        return self._result(self._sampled("standard_gamma", drawn, (df / 2.0,), (gamma_motion,)) * 2.0, size)

    def beta(self, a: Any, b: Any, size: Size = None) -> Any:
        """Beta; its derivatives are those at the same quantile."""
        return self._sampled("beta", size, (a, b), (beta_motion, beta_motion_of_b))

    def standard_t(self, df: Any, size: Size = None) -> Any:
        """Student's distribution; its derivative is that at the same quantile."""
        return self._sampled("standard_t", size, (df,), (student_motion,))

    # -- orders and choices --------------------------------------------------------------------------------------------

    def permutation(self, x: Any, axis: int = 0) -> Any:
        """The elements along an axis, or the integers below ``x``, in another order."""
        if not _ndim(x):
            return self._host("permutation", (x,), {})
        x = self._operand(x)
        axis = normalize_axis_index(axis, len(x.shape))
        return take(x, self._host("permutation", (x.shape[axis],), {}), axis)

    def shuffle(self, x: Any, axis: int = 0) -> None:
        """``permutation``, written over the array."""
        if not hasattr(x, "assign"):
            raise TraceError(
                f"rng.shuffle of a {type(x).__name__}",
                fix="x = rng.permutation(x) of an array gives it in another order",
                where=user_frame(),
            )
        x[...] = self.permutation(x.copy(), axis)

    def permuted(self, x: Any, *, axis: int | None = None, out: Any = None) -> Any:
        """The elements of each row along an axis in an order of its own."""
        x = self._operand(x)
        if out is not None:
            raise TraceError("rng.permuted with out=", fix="use its result", where=user_frame())
        if axis is None:
            order = self._host("permuted", (np.arange(math.prod(x.shape)).reshape(x.shape),), {})
            return take(reshape(x, (-1,)), order)
        axis = normalize_axis_index(axis, len(x.shape))
        line = np.arange(x.shape[axis]).reshape([-1 if k == axis else 1 for k in range(len(x.shape))])
        order = self._host("permuted", (np.array(np.broadcast_to(line, x.shape)),), {"axis": axis})
        return take_along_axis(x, order, axis)

    def choice(
        self, a: Any, size: Size = None, replace: bool = True, p: Any = None, axis: int = 0, shuffle: bool = True
    ) -> Any:
        """Elements along an axis, or integers below ``a``, chosen at random."""
        given = {"size": None if size is None else _sizes(size), "replace": replace, "p": p, "shuffle": shuffle}
        if not _ndim(a):
            return self._host("choice", (a,), given)
        a = self._operand(a)
        axis = normalize_axis_index(axis, len(a.shape))
        return take(a, self._host("choice", (a.shape[axis],), given), axis)

    # -- all else ------------------------------------------------------------------------------------------------------

    def integers(self, low: Any, high: Any = None, size: Size = None, dtype: Any = np.int64, endpoint: bool = False) -> Any:
        """Integers."""
        return self._host("integers", (low, high), {"size": size, "dtype": dtype, "endpoint": endpoint})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(np.random.Generator, name):
            raise AttributeError(f"'Generator' object has no attribute {name!r}")
        if name in REFUSED:
            _refuse(name)
        return lambda *args, **kwargs: self._host(name, args, kwargs)


def _refuse(name: str) -> NoReturn:
    raise TraceError(f"rng.{name} of a traced generator", fix=REFUSED[name], where=user_frame())


def _fits(shape: Shape, target: Shape) -> bool:
    """Whether an array of a shape can be stretched to another one."""
    return len(shape) <= len(target) and all(n in (1, m) for n, m in zip(reversed(shape), reversed(target), strict=False))


def _sizes(size: Any) -> tuple[int, ...]:
    """The ``size`` of a draw as a tuple; ValueError as NumPy's for negative ones."""
    entries = tuple(size) if isinstance(size, (tuple, list)) else (size,) if not _ndim(size) else tuple(size)
    found = tuple([operator.index(entry) for entry in entries])
    if any(n < 0 for n in found):
        raise ShapeError(f"size={found} of a draw", fix="give sizes of 0 and more", where=user_frame())
    return found
