"""The functions of ``torch.special`` that are more than one op on one or two tensors."""

from __future__ import annotations

from typing import Any

from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions import pointwise, reductions
from tracegrad.eager.functions.arguments import floating, labelled
from tracegrad.errors import ShapeError
from tracegrad.ops import special
from tracegrad.ops.maps import clip

__all__ = [
    "gammainc",
    "gammaincc",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "polygamma",
    "round",
    "softmax",
    "xlog1py",
    "xlogy",
    "zeta",
]

logsumexp = reductions.logsumexp


def softmax(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Exponentials over their sum along a dim.

    >>> from tracegrad.eager import tensor
    >>> softmax(tensor([1.0, 1.0]), 0)
    tensor([0.5000, 0.5000])
    """
    return reductions.softmax(input, dim, dtype)


def log_softmax(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The logarithm of softmax along a dim, without underflow.

    >>> from tracegrad.eager import tensor
    >>> log_softmax(tensor([0.0, 1000.0]), 0)
    tensor([-1000.,     0.])
    """
    return reductions.log_softmax(input, dim, dtype)


def round(input: Any, *, decimals: int = 0) -> Any:
    """The nearest whole number, or number with so many decimals; halves go to the even one.

    >>> from tracegrad.eager import tensor
    >>> round(tensor([0.5, 1.25]), decimals=1)
    tensor([0.5000, 1.2000])
    """
    return labelled("RoundBackward1", pointwise.round(input, decimals=decimals))


@recorded_as("LogitBackward0")
def _clamped_logit(x: Any, eps: float) -> Any:
    return special.logit(clip(x, eps, 1.0 - eps))


def logit(input: Any, eps: float | None = None) -> Any:
    """ln(x / (1 - x)); with ``eps`` of numbers cut off at ``eps`` and ``1 - eps``.

    >>> from tracegrad.eager import tensor
    >>> logit(tensor([0.5, 1.0]), eps=0.5)
    tensor([0., 0.])
    """
    return special.logit(input) if eps is None else _clamped_logit(floating(input), float(eps))


# -- functions of two variables, one of which may be a number ------------------------------------------------------------


def _overload(name: str, result: Any, first: Any, second: Any) -> Any:
    """PyTorch numbers the overloads: 1 if the first operand is a number, 2 if the second is."""
    if not getattr(first, "bind_rank", 0):
        return labelled(f"{name}Backward1", result)
    return result if getattr(second, "bind_rank", 0) else labelled(f"{name}Backward2", result)


def xlogy(input: Any, other: Any) -> Any:
    """``input · ln other``, and 0 where ``input`` is 0.

    >>> from tracegrad.eager import tensor
    >>> xlogy(tensor([0.0, 2.0]), tensor([0.0, 1.0]))
    tensor([0., 0.])
    """
    return _overload("Xlogy", special.xlogy(input, other), input, other)


def xlog1py(input: Any, other: Any) -> Any:
    """``input · ln(1 + other)``, and 0 where ``input`` is 0.

    >>> from tracegrad.eager import tensor
    >>> xlog1py(tensor([0.0, 2.0]), tensor([-1.0, 0.0]))
    tensor([0., 0.])
    """
    return _overload("SpecialXlog1Py", special.xlog1py(input, other), input, other)


@recorded_as("SpecialZetaBackward0")
def _zeta_of(x: Any, q: Any) -> Any:
    return special.zeta(x, q)


def zeta(input: Any, other: Any) -> Any:
    """Hurwitz' zeta function Σ (k + other)^-input, differentiable in ``other``.

    >>> from tracegrad.eager import tensor
    >>> zeta(tensor([2.0]), tensor([1.0]))
    tensor([1.6449])
    """
    return _overload("SpecialZeta", _zeta_of(input, other), input, other)


# -- the gamma function's kin -------------------------------------------------------------------------------------------


@recorded_as("IgammaBackward0")
def _lower(a: Any, x: Any) -> Any:
    return special.gammainc(a, x)


@recorded_as("IgammacBackward0")
def _upper(a: Any, x: Any) -> Any:
    return special.gammaincc(a, x)


def gammainc(input: Any, other: Any) -> Any:
    """The regularised lower incomplete gamma function, differentiable in ``other``.

    >>> from tracegrad.eager import tensor
    >>> gammainc(tensor([1.0]), tensor([1.0]))
    tensor([0.6321])
    """
    return _lower(input, other)


def gammaincc(input: Any, other: Any) -> Any:
    """The regularised upper incomplete gamma function, differentiable in ``other``.

    >>> from tracegrad.eager import tensor
    >>> gammaincc(tensor([1.0]), tensor([1.0]))
    tensor([0.3679])
    """
    return _upper(input, other)


def polygamma(n: int, input: Any) -> Any:
    """The ``n``-th derivative of the digamma function; as a method ``x.polygamma(n)``.

    >>> from tracegrad.eager import tensor
    >>> polygamma(1, tensor([1.0]))
    tensor([1.6449])
    """
    return special.polygamma(n, input)


@recorded_as("MvlgammaBackward0")
def _multivariate(a: Any, p: int) -> Any:
    return special.multigammaln(a, p)


def multigammaln(a: Any, p: int) -> Any:
    """The logarithm of the gamma function of ``p`` dimensions.

    >>> from tracegrad.eager import tensor
    >>> multigammaln(tensor([3.0]), 1)
    tensor([0.6931])
    """
    if p < 1:
        raise ShapeError(f"p has to be greater than or equal to 1: p is {p}", fix="give a positive p", where=user_frame())
    return _multivariate(floating(a), p)
