"""``scipy.stats``, with boxes: ``norm.logpdf(x, loc, scale)`` and its like.

>>> from tracegrad.compat import grad
>>> grad(norm.logpdf)(1.0)
np.float64(-1.0)
"""

from __future__ import annotations

from typing import Any

import scipy.stats as _stats

from tracegrad.compat.scipy.stats import beta, chi2, dirichlet, gamma, multivariate_normal, norm, poisson, t
from tracegrad.compat.wrap import Methods, wrapped

__all__ = ["beta", "chi2", "dirichlet", "gamma", "multivariate_normal", "norm", "poisson", "t"]


def __getattr__(name: str) -> Any:
    """Any other name of ``scipy.stats``; the methods of its distributions take boxes where they have a derivative."""
    if name.startswith("_") or not hasattr(_stats, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_stats, name)
    if type(value).__name__.endswith("_gen"):
        value = Methods(value)
    return wrapped(value) if not isinstance(value, Methods) else value
