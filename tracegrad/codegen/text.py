"""The text of kernels: scopes of lines, table slots, numbers and scalar expressions."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from tracegrad.core.capsules import WORD_PREFIX
from tracegrad.core.expr import Axis, Call, Floor, Index, Literal, Operand, Scalar

ABI = "tracegrad.runtime.abi"
MATHLIB = "tracegrad.codegen.mathlib"
SPECIAL = "tracegrad.codegen.mathlib_special"


@dataclass(frozen=True, slots=True)
class Slot:
    """One word of a kernel's table.

    ``kind`` is ``buffer`` (of node ``value``), ``argument`` (0-d input node ``value``), ``size`` (the integer ``value``),
    ``number`` (the scalar ``value``), ``partial`` (``value`` elements for partial results) or ``scratch`` (``value`` bytes).
    """

    kind: str
    value: Any
    dtype: np.dtype[Any] | None = None


@dataclass(frozen=True, slots=True)
class KernelText:
    """A generated kernel.

    Parameters
    ----------
    source: its functions, with ``{name}`` for the kernel's name; free of sizes, so equal kernels have equal texts.
    imports: pairs (module, name).
    slots: what words 2, 3, … of its table hold.
    chunks: number of chunks of a launch.
    finish: whether ``{name}_finish`` combines partial results afterwards.
    parallel: whether the work is worth threads.
    origins: node ids by line of the source.
    members: for each kernel of a chain the words that hold its number of chunks.
    row: bytes of the longest row of a result of a product of matrices, see ``templates``.
    """

    source: str
    imports: frozenset[tuple[str, str]]
    slots: tuple[Slot, ...]
    chunks: int
    finish: bool
    parallel: bool
    origins: dict[int, int] = field(default_factory=dict)
    members: tuple[tuple[int, ...], ...] = ()
    row: int = 0


def named(source: str, name: str) -> str:
    """The text of a kernel under a name: ``{name}`` and ``{name}_finish``, say, become functions of the program."""
    return _NAME.sub(lambda found: f"{name}{found[1]}_HASH_", source)


@dataclass(slots=True, eq=False)
class Scope:
    """An open block: its loop axes, its lines and the names of what it has computed."""

    axes: frozenset[int]
    header: str | None = None
    lines: list[tuple[str, int | None]] = field(default_factory=list)
    memo: dict[Any, str] = field(default_factory=dict)

    def nested(self) -> list[tuple[str, int | None]]:
        """Header and indented lines."""
        if self.header is None:
            return self.lines
        return [(self.header, None), *((f"    {text}", node) for text, node in self.lines)] if self.lines else []


_NAME = re.compile(r"\{name\}(\w*)")


@lru_cache(maxsize=64)
def dtype_name(dtype: np.dtype[Any]) -> str:
    """The ABI's word for a dtype."""
    return "boolean" if dtype.kind == "b" else str(dtype.name)


SIMPLE = (0.0, 1.0, -1.0)
"""Numbers printed as they are; any other one is a word of the table, so that kernels do not depend on it."""


def is_simple(value: Any) -> bool:
    """Whether a constant may stand in the text."""
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, bool):
        return True
    return number in SIMPLE and not (number == 0 and math.copysign(1, number) < 0)


def number_text(value: Any, dtype: np.dtype[Any]) -> str:
    """A literal of exactly that dtype."""
    if dtype.kind == "b":
        return "True" if value else "False"
    number = value.item() if isinstance(value, np.generic) else value
    if dtype.kind == "f":
        text = repr(float(number)) if math.isfinite(number) else ("-inf" if number < 0 else "inf")
        return text if dtype == np.float64 else f"{dtype.name}({text})"
    info = np.iinfo(dtype)
    text = f"({int(number) + 1} - 1)" if int(number) == info.min and info.min < 0 else str(int(number))
    return text if dtype == np.int64 else f"{dtype.name}({text})"


def identity_text(identity: float | str, dtype: np.dtype[Any], imports: set[tuple[str, str]]) -> str:
    """What a reduction begins with: a number, or the ``"lowest"`` or ``"highest"`` of the dtype."""
    if not isinstance(identity, str):
        return number_text(bool(identity) if dtype.kind == "b" else identity, dtype)
    if dtype.kind == "f":
        imports.add(("math", "inf"))
        return number_text(-math.inf if identity == "lowest" else math.inf, dtype)
    if dtype.kind == "b":
        return number_text(identity == "highest", dtype)
    info = np.iinfo(dtype)
    return number_text(info.min if identity == "lowest" else info.max, dtype)


INFIX = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "equal": "==",
    "not_equal": "!=",
    "logical_and": "&",
    "logical_or": "|",
    "bitwise_and": "&",
    "bitwise_or": "|",
    "bitwise_xor": "^",
    "logical_xor": "^",
}
SUMMED = "add"
"""How parts of a sum of products are combined."""
ACCUMULATE = {
    "add": "accumulate",
    "multiply": "accumulate_product",
    "maximum": "accumulate_maximum",
    "minimum": "accumulate_minimum",
}


def combine_text(combine: str, a: str, b: str, imports: set[tuple[str, str]]) -> str:
    """Two partial results of a reduction combined."""
    if combine in INFIX:
        return f"{a} {INFIX[combine]} {b}"
    imports.add((MATHLIB, combine))
    return f"{combine}({a}, {b})"


def select_text(condition: str, yes: str, no: str, imports: set[tuple[str, str]]) -> str:
    """One of two computed values."""
    imports.add((MATHLIB, "where"))
    return f"where({condition}, {yes}, {no})"


def accumulate_text(combine: str, accumulator: str, element: str, imports: set[tuple[str, str]]) -> str:
    """An element added to an accumulator, in a form that vectorises."""
    if combine not in ACCUMULATE:
        return combine_text(combine, accumulator, element, imports)
    imports.add((MATHLIB, ACCUMULATE[combine]))
    return f"{ACCUMULATE[combine]}({accumulator}, {element})"


def scalar_text(
    expression: Scalar,
    operands: tuple[str, ...],
    dtypes: tuple[np.dtype[Any], ...],
    dtype: np.dtype[Any],
    imports: set[tuple[str, str]],
) -> str:
    """The text of a MAP's lowering applied to named operands; ``dtype`` is the result's."""
    working = next((d for d in reversed(dtypes)), dtype)

    def text(e: Scalar) -> str:
        if isinstance(e, Operand):
            return operands[e.position]
        if isinstance(e, Literal):
            return number_text(e.value, working)
        assert isinstance(e, Call)
        arguments = [text(a) for a in e.arguments]
        if e.function in INFIX:
            return f"({arguments[0]} {INFIX[e.function]} {arguments[1]})"
        if e.function == "negative":
            return f"(-{arguments[0]})"
        if e.function == "invert":
            return f"(not {arguments[0]})" if working.kind == "b" else f"(~{arguments[0]})"
        if e.function == "logical_not":
            return f"(not {arguments[0]})"
        if e.function == "cast":
            return cast_text(arguments[0], working, np.dtype(e.static[0]))
        imports.add((SPECIAL if e.function.startswith(WORD_PREFIX) else MATHLIB, e.function))
        return f"{e.function}({', '.join(arguments)})"

    result = text(expression)
    if dtype.kind in "iu" and dtype != np.int64 and not result.startswith(f"{dtype.name}("):
        # Numba widens narrow integers; casting back wraps around as NumPy does
        result = f"{dtype.name}({result})"
    if result.startswith("(") and result.endswith(")") and _encloses(result):
        result = result[1:-1]
    return result


def cast_text(operand: str, source: np.dtype[Any], target: np.dtype[Any]) -> str:
    """A conversion as NumPy's ``astype`` does it."""
    if target.kind == "b":
        return f"({operand} != {number_text(0, source)})" if source.kind != "b" else operand
    return f"{target.name}({operand})"


def _encloses(text: str) -> bool:
    depth = 0
    for k, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return k == len(text) - 1
    return False


def index_parts(index: Index) -> list[tuple[Any, int]]:
    """Terms of an index expression, plain axes first."""
    return sorted(index.terms, key=lambda t: (not isinstance(t[0], Axis), isinstance(t[0], Floor)))
