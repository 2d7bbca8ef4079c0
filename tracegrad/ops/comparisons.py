"""MAP ops that answer with bools, and the logic on bools and bits. None of them carries a derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.op import FLAT, Op, Sample, elementwise
from tracegrad.ops.declare import named, one, two


def _compare(name: str, ufunc: np.ufunc, torch: str, doc: str) -> Op:
    return elementwise(
        name,
        ufunc,
        (FLAT, FLAT),
        named(name),
        torch=(torch, ""),
        doc=doc,
        samples=(*two(smooth=False), *two(-3, 3, smooth=False, kind="int")),
    )


equal = _compare("equal", np.equal, "eq", "x = y")
not_equal = _compare("not_equal", np.not_equal, "ne not_equal", "x ≠ y")
less = _compare("less", np.less, "lt less", "x < y")
less_equal = _compare("less_equal", np.less_equal, "le less_equal", "x ≤ y")
greater = _compare("greater", np.greater, "gt greater", "x > y")
greater_equal = _compare("greater_equal", np.greater_equal, "ge greater_equal", "x ≥ y")


def _truths(*dtypes: Any) -> tuple[np.dtype[Any], ...]:
    """Logic is on bools: other operands are cast, which asks whether they differ from 0."""
    return (np.dtype(bool),) * len(dtypes)


def _logic(name: str, ufunc: np.ufunc, doc: str, samples: tuple[Sample, ...]) -> Op:
    return elementwise(
        name,
        ufunc,
        (FLAT,) * ufunc.nin,
        named(name),
        promote=_truths,
        torch=(name, ""),
        doc=doc,
        samples=samples,
    )


_BOOLS = two(kind="bool", smooth=False)

logical_and = _logic("logical_and", np.logical_and, "x ∧ y", (*_BOOLS, *two(-1, 2, smooth=False, kind="int")))
logical_or = _logic("logical_or", np.logical_or, "x ∨ y", (*_BOOLS, *two(smooth=False)))
logical_xor = elementwise(
    "logical_xor",
    np.logical_xor,
    (FLAT, FLAT),
    # on bools the exclusive or is inequality
    named("not_equal"),
    promote=_truths,
    torch=("logical_xor", ""),
    doc="Exactly one of x and y.",
    samples=_BOOLS,
)
logical_not = _logic("logical_not", np.logical_not, "¬x", (*one(kind="bool", smooth=False), *one(smooth=False)))


def _bits(name: str, ufunc: np.ufunc, doc: str, samples: tuple[Sample, ...], torch: str = "") -> Op:
    partials = (FLAT,) * ufunc.nin
    return elementwise(name, ufunc, partials, named(name), torch=(torch or name, ""), doc=doc, samples=samples)


_INTS = two(-20, 20, kind="int", smooth=False)

bitwise_and = _bits("bitwise_and", np.bitwise_and, "x & y on bits", (*_INTS, *_BOOLS))
bitwise_or = _bits("bitwise_or", np.bitwise_or, "x | y on bits", (*_INTS, *_BOOLS))
bitwise_xor = _bits("bitwise_xor", np.bitwise_xor, "x ^ y on bits", (*_INTS, *_BOOLS))
invert = _bits(
    "invert",
    np.invert,
    "~x: the bits inverted; on bools ¬x",
    (*one(-20, 20, kind="int", smooth=False), *one(kind="bool", smooth=False)),
    "bitwise_not",
)


def _ask(name: str, ufunc: np.ufunc, doc: str) -> Op:
    samples = (*one(smooth=False), *one(smooth=False, kind="int"))
    return elementwise(name, ufunc, (FLAT,), named(name), torch=(name, ""), doc=doc, samples=samples)


isnan = _ask("isnan", np.isnan, "Whether x is not a number.")
isinf = _ask("isinf", np.isinf, "Whether x is +∞ or −∞.")
isfinite = _ask("isfinite", np.isfinite, "Whether x is neither infinite nor NaN.")
