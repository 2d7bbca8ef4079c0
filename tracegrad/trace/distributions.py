"""Distributions of SciPy that know their parameters, inside a trace.

``scipy.stats.norm(m, s).logpdf(x)`` means ``scipy.stats.norm.logpdf(x, m, s)``, whether the parameters are traced or were known
before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

DRAWING = ("rvs", "resample")
"""Methods of SciPy's distributions that draw."""

PARAMETERS: Mapping[str, str] = {
    "multivariate_normal": "mean cov",
    "multivariate_t": "loc shape df",
    "dirichlet": "alpha",
    "multinomial": "n p",
    "wishart": "df scale",
    "invwishart": "df scale",
}
"""Of distributions of several variables the attributes that hold what their methods take after the point, in its order."""

Record = Callable[[Any], Callable[..., Any]]
"""Makes of a function of SciPy the one that a trace calls."""


def is_distribution(value: Any) -> bool:
    """Whether a value is a distribution of SciPy that knows its parameters."""
    return _draws(value) and not callable(value)


def is_family(value: Any) -> bool:
    """Whether a value is a distribution of SciPy that makes others when it is called with parameters."""
    return _draws(value) and callable(value)


def _draws(value: Any) -> bool:
    """Whether a value is one of SciPy's that draws."""
    kind = type(value)
    return kind.__module__.partition(".")[0] == "scipy" and hasattr(kind, "rvs")


class Distribution:
    """A distribution with parameters.

    Parameters
    ----------
    family: what the parameters are given to, as ``scipy.stats.norm``.
    args, kwargs: the parameters, of which some may be traced.
    record: makes the functions that a trace calls.
    real: SciPy's own object, where the parameters are known.
    """

    def __init__(self, family: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], record: Record, real: Any = None) -> None:
        self._family = family
        self._args, self._kwargs = args, dict(kwargs)
        self._record = record
        self._real = real

    def __getattr__(self, name: str) -> Any:
        if self._real is not None and not callable(getattr(self._real, name)):
            return getattr(self._real, name)
        method = self._record(getattr(self._family, name))

        def call(*args: Any, **kwargs: Any) -> Any:
            if name in DRAWING:  # these take no point
                kwargs |= dict(zip(("size", "random_state"), args, strict=False))
                args = ()
            return method(*args, *self._args, **{**self._kwargs, **kwargs})

        return call

    def __repr__(self) -> str:
        return f"<{getattr(self._family, 'name', type(self._family).__name__)} with parameters in a trace>"


def shown(value: Any, record: Record) -> Any:
    """The stand-in of a distribution that knows its parameters; itself where it is not known how it holds them."""
    if hasattr(value, "dist"):
        return Distribution(value.dist, value.args, value.kwds, record, value)
    name = type(value).__name__.removesuffix("_frozen")
    if name not in PARAMETERS:
        return Drawing(value, record)
    family = getattr(sys.modules["scipy.stats"], name)
    return Distribution(family, tuple(getattr(value, each) for each in PARAMETERS[name].split()), {}, record, value)


class Drawing:
    """Another object of SciPy that draws: that would be the same at every call, and is refused."""

    def __init__(self, value: Any, record: Record) -> None:
        self._value = value
        self._record = record

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._value, name)
        return self._record(value) if name in DRAWING else value
