"""PyTorch's type promotion: bool < integer < float < complex; inside a category axes beat 0-d tensors, and they numbers.

Which operands of an op share a dtype is the op's own affair: it is read off ``op.promote`` once, not listed here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np

from tracegrad.core.aval import VALUES, supported
from tracegrad.core.op import Op, keep
from tracegrad.core.source import user_frame
from tracegrad.eager.dtypes import default_complex, default_dtype
from tracegrad.eager.real_only import refuse_complex
from tracegrad.errors import DtypeError
from tracegrad.ops.complex_domain import takes_complex
from tracegrad.ops.complexes import WHOLES
from tracegrad.symbolic import Sym

_INTEGER = np.dtype(np.int64)
_BOOL = np.dtype(bool)
_NUMBERS: dict[type, np.dtype[Any]] = {bool: _BOOL, int: _INTEGER}
OPERANDS = (np.ndarray, Sym, int, float, complex, np.number, np.bool_)
"""What ops compute with, beside tensors."""
_CATEGORY = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}


def number_dtype(x: Any) -> np.dtype[Any]:
    """The dtype of a number that is no tensor."""
    if isinstance(x, float):
        return default_dtype.get()
    if isinstance(x, complex):
        return default_complex()
    dtype: np.dtype[Any] = _NUMBERS.get(type(x)) or np.asarray(x).dtype
    return dtype


def result_type(*operands: Any) -> np.dtype[Any]:
    """The dtype in which PyTorch computes with arrays and Python numbers.

    >>> result_type(np.ones(3, np.int64), np.ones(3, np.float32))
    dtype('float32')
    >>> result_type(np.ones(3, np.float32), np.ones((), np.float64), 2.0)
    dtype('float32')
    """
    found: list[np.dtype[Any] | None] = [None, None, None]
    for x in operands:
        if isinstance(x, (np.ndarray, Sym)):
            level, dtype = (0 if x.ndim else 1), x.dtype
        else:
            level, dtype = 2, number_dtype(x)
        known = found[level]
        found[level] = dtype if known is None else promote_types(known, dtype)
    result: np.dtype[Any] | None = None
    for dtype in reversed(found):
        result = dtype if result is None else result if dtype is None else _combine(dtype, result)
    assert result is not None
    return result


def promote_types(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of two tensors with axes; floats beat integers whatever their size.

    >>> promote_types(np.dtype("int64"), np.dtype("float32"))
    dtype('float32')
    """
    if a == b:
        return a
    if (a.kind in "fc") != (b.kind in "fc"):
        return a if a.kind in "fc" else b
    result = np.promote_types(a, b)
    if result.kind == "f" and a.kind != "f":
        raise DtypeError(f"{a} and {b} have no common integer dtype", fix=f"cast one of them: x.astype(np.{b})")
    return result


def _combine(higher: np.dtype[Any], lower: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of a stronger operand with a weaker one, which counts only by a higher category."""
    if _CATEGORY.get(lower.kind, 4) > _CATEGORY.get(higher.kind, 4):
        # of a complex 0-d tensor a float takes the category alone, and keeps its precision
        return promote_types(higher, WHOLES[higher] if higher in WHOLES and lower.kind == "c" else lower)
    return higher


@lru_cache(maxsize=4096)
def _joint(op: Op, count: int) -> tuple[tuple[tuple[int, ...], tuple[tuple[int, np.dtype[Any]], ...], bool], ...]:
    """Which operands of an op share a dtype: groups of ``(sources, targets, floating)``.

    The dtype is that of the sources, and the targets are cast to it; ``floating`` says that integers become floats.
    A target of the fixed dtype it is listed with (the condition of a choice) is its own group.
    """
    if op.promote is keep:
        return ()
    try:
        base, reached = _probe(op, count, _INTEGER, np.dtype(np.float64))
    except DtypeError:
        # bits: no floats, but truth values and integers
        base, reached = _probe(op, count, _BOOL, _INTEGER)
    groups: dict[tuple[int, ...], list[tuple[int, np.dtype[Any]]]] = {}
    for target in range(count):
        groups.setdefault(tuple(reached.get(target, ())), []).append((target, base[target]))
    return tuple((sources, tuple(targets), any(d.kind == "f" for _, d in targets)) for sources, targets in groups.items())


def _probe(
    op: Op, count: int, low: np.dtype[Any], high: np.dtype[Any]
) -> tuple[tuple[np.dtype[Any], ...], dict[int, list[int]]]:
    """The operands' dtypes when all are ``low``, and per operand those that move it when they are ``high``."""
    base = op.promote(*(low,) * count)
    reached: dict[int, list[int]] = {}
    for source in range(count):
        try:
            moved = op.promote(*(high if k == source else low for k in range(count)))
        except DtypeError:
            if any(d.kind == "f" for d in base):
                continue  # whole numbers beside floats, as the degree of a polynomial
            raise
        for target, dtype in enumerate(moved):
            if dtype.kind == high.kind and (base[target].kind == "f" or dtype != base[target]):
                reached.setdefault(target, []).append(source)
    return base, reached


def coerce(op: Op, operands: list[Any]) -> list[Any]:
    """The operands of an op as arrays of the dtypes PyTorch computes in; Python numbers become 0-d arrays.

    Operands that fit already are returned as they are, traced ones are cast in their graph.
    """
    code = ""
    for x in operands:
        if type(x) is not np.ndarray:
            return _coerced(op, operands)
        code += x.dtype.char if x.ndim else x.dtype.char + "0"
    return list(operands) if _fits(op, code, default_dtype.get()) else _coerced(op, operands)


@lru_cache(maxsize=4096)
def _fits(op: Op, code: str, default: np.dtype[Any]) -> bool:
    """Whether operands of these letters of dtypes, followed by 0 where they have no axes, are taken as they are."""
    letters = re.findall("[^0]0?", code)
    samples = [np.zeros((1,) * (len(letter) == 1), letter[0]) for letter in letters]
    return all(a is b for a, b in zip(samples, _coerced(op, samples), strict=True))


class OperandError(DtypeError):
    """Something that is neither a tensor nor a number, where an op computes with both."""


_SIGNS = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "floor_divide": "//",
    "remainder": "%",
    "power": "**",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "bitwise_and": "&",
    "bitwise_or": "|",
    "bitwise_xor": "^",
    "left_shift": "<<",
    "right_shift": ">>",
}


def _require_operands(op: Op, operands: list[Any]) -> None:
    """OperandError for an operand that is no array and no number; NumPy reads None as nan and a text as its number."""
    for k, x in enumerate(operands):
        if not isinstance(x, OPERANDS):
            kinds = [type(y).__name__ if j == k else "Tensor" for j, y in enumerate(operands)]
            raise OperandError(
                f"unsupported operand type(s) for {_SIGNS.get(op.name, op.name)}: {' and '.join(map(repr, kinds))}",
                fix="torch.tensor(data) makes a tensor of numbers in lists",
                where=user_frame(),
            )


def _coerced(op: Op, operands: list[Any]) -> list[Any]:
    _require_operands(op, operands)
    result = list(operands)
    for sources, targets, floating in _joint(op, len(operands)):
        wanted = result_type(*(operands[k] for k in sources)) if sources else None
        if floating and wanted is not None and wanted.kind not in "fc":
            wanted = default_dtype.get()
        for k, fixed in targets:
            x, dtype = result[k], wanted or fixed
            if not isinstance(x, (np.ndarray, Sym)) or x.dtype != dtype:
                result[k] = x.astype(dtype) if isinstance(x, Sym) else np.asarray(x, dtype)
    for k, x in enumerate(result):
        if not isinstance(x, (np.ndarray, Sym)):
            result[k] = np.asarray(x, number_dtype(x))
        if result[k] is not operands[k] or not isinstance(x, (np.ndarray, Sym)):
            supported(result[k].dtype, VALUES)
        if result[k].dtype.kind == "c" and not takes_complex(op):
            raise refuse_complex(op, result[k].dtype)
    return result
