"""Special functions under the names that PyTorch's own namespace has for them."""

from __future__ import annotations

from typing import Any

from tracegrad.eager.functions import special_functions

__all__ = ["igamma", "igammac", "logit", "mvlgamma", "polygamma", "xlogy"]

logit, polygamma, xlogy = special_functions.logit, special_functions.polygamma, special_functions.xlogy


def igamma(input: Any, other: Any) -> Any:
    """The regularised lower incomplete gamma function, differentiable in ``other``.

    >>> from tracegrad.eager import tensor
    >>> igamma(tensor([1.0]), tensor([1.0]))
    tensor([0.6321])
    """
    return special_functions.gammainc(input, other)


def igammac(input: Any, other: Any) -> Any:
    """The regularised upper incomplete gamma function, differentiable in ``other``.

    >>> from tracegrad.eager import tensor
    >>> igammac(tensor([1.0]), tensor([1.0]))
    tensor([0.3679])
    """
    return special_functions.gammaincc(input, other)


def mvlgamma(input: Any, p: int) -> Any:
    """The logarithm of the gamma function of ``p`` dimensions.

    >>> from tracegrad.eager import tensor
    >>> mvlgamma(tensor([3.0]), 1)
    tensor([0.6931])
    """
    return special_functions.multigammaln(input, p)
