"""Einstein's summation convention: any sum of products over named axes, as transposes, one matrix product per pair, sums.

Axes are labelled by integers here: a letter is its number in the alphabet, the axes under an ellipsis are negative,
counted from the last. Axes of size 1 broadcast, as in NumPy and PyTorch: an operand that has one where another has more is
taken to lack the axis.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracegrad.core.aval import Shape, shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops.assembly import diagonal
from tracegrad.ops.broadcasting import reduce_sum, reshape_to
from tracegrad.ops.contractions import matmul_batched
from tracegrad.ops.maps import cast, multiply
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.views import permute, reshape, transpose

# in PyTorch's order: implicit results have capitals first
ALPHABET = string.ascii_uppercase + string.ascii_lowercase
Labels = tuple[int, ...]
Entry = int | None
"""A label, or None for an ellipsis."""


def _wrong(message: str, fix: str) -> ShapeError:
    return ShapeError(f"einsum(): {message}", fix=fix)


# -- reading the subscripts -------------------------------------------------------------------------------------------


def _read(text: str, offset: int, who: str) -> list[Entry]:
    """The labels of one operand's subscripts; ``offset`` is where they begin in the equation."""
    entries: list[Entry] = []
    k = 0
    while k < len(text):
        letter = text[k]
        if letter == ".":
            if None in entries:
                raise _wrong(f"found '.' for {who} but an ellipsis (...) was already found", "write one '...' at most")
            if text[k : k + 3] != "...":
                raise _wrong(f"found '.' for {who} that is not part of any ellipsis", "write '...'")
            entries.append(None)
            k += 3
            continue
        if letter in ALPHABET:
            entries.append(ALPHABET.index(letter))
        elif letter != " ":
            raise _wrong(
                f"invalid subscript given at index {offset + k} in the equation string, subscripts must be in [a-zA-Z]",
                "name each axis by one letter",
            )
        k += 1
    return entries


def _read_equation(equation: str) -> tuple[list[list[Entry]], list[Entry] | None]:
    """The labels of the operands, and of the result if the equation says them."""
    arrow = equation.find("->")
    left = equation if arrow < 0 else equation[:arrow]
    operands, offset = [], 0
    for k, part in enumerate(left.split(",")):
        operands.append(_read(part, offset, f"operand {k}"))
        offset += len(part) + 1
    return operands, None if arrow < 0 else _read(equation[arrow + 2 :], arrow + 2, "output")


def _read_lists(arguments: Sequence[Any]) -> tuple[list[Any], list[list[Entry]], list[Entry] | None]:
    """Operands and labels of the form ``einsum(x, [0, 1], y, [1, 2], [0, 2])``."""
    pairs = len(arguments) // 2
    operands = [arguments[2 * k] for k in range(pairs)]
    labels = [_listed(arguments[2 * k + 1]) for k in range(pairs)]
    return operands, labels, _listed(arguments[-1]) if len(arguments) % 2 else None


def _listed(labels: Sequence[Any]) -> list[Entry]:
    entries: list[Entry] = [None if label is Ellipsis else int(label) for label in labels]
    if any(e is not None and not 0 <= e < len(ALPHABET) for e in entries):
        raise _wrong("subscript in subscript list is not within the valid range [0, 52)", "number the axes from 0")
    return entries


def _labels(entries: list[Entry], count: int, who: str) -> Labels:
    """Labels of all axes: those under an ellipsis count down to -1, which is the last of them."""
    named = sum(e is not None for e in entries)
    if None not in entries and named != count:
        raise _wrong(
            f"the number of subscripts in the equation ({named}) does not match the number of dimensions ({count}) for {who} "
            "and no ellipsis was given",
            "name every axis, or write '...' for those without a name",
        )
    if named > count:
        raise _wrong(
            f"the number of subscripts in the equation ({named}) is more than the number of dimensions ({count}) for {who}",
            "name each axis once",
        )
    hidden = tuple(range(named - count, 0))
    return tuple(label for e in entries for label in (hidden if e is None else (e,)))


def _result(entries: list[Entry] | None, inputs: list[Labels]) -> Labels:
    """Labels of the result: those given, or the axes under ellipses and then what occurs once, in the alphabet's order."""
    every = [label for labels in inputs for label in labels]
    hidden = tuple(sorted({label for label in every if label < 0}))
    if entries is None:
        return hidden + tuple(sorted(label for label in every if label >= 0 and every.count(label) == 1))
    result = tuple(label for e in entries for label in (hidden if e is None else (e,)))
    for label in result:
        if label >= 0 and result.count(label) > 1:
            raise _wrong(f"output subscript {ALPHABET[label]} appears more than once in the output", "name each axis once")
        if label not in every:
            raise _wrong(
                f"output subscript {ALPHABET[label]} does not appear in the equation for any input operand",
                "name axes of operands only",
            )
    return result


# -- operands with labels ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Term:
    """An operand and the labels of its axes, each once."""

    value: Any
    labels: Labels

    @property
    def shape(self) -> Shape:
        return shape_of(self.value)

    def size(self, label: int) -> int:
        return self.shape[self.labels.index(label)]

    def in_order(self, labels: Sequence[int]) -> Any:
        """The value with its axes in the order of ``labels``, which names them all and may name more: those get size 1."""
        value = transpose(self.value, [self.labels.index(k) for k in labels if k in self.labels])
        return reshape(value, tuple(self.size(k) if k in self.labels else 1 for k in labels))

    def without(self, labels: Sequence[int]) -> _Term:
        """Summed over some labels."""
        axes = tuple(k for k, label in enumerate(self.labels) if label in labels)
        if not axes:
            return self
        return _Term(reduce_sum(self.value, axes=axes), tuple(k for k in self.labels if k not in labels))


def _term(value: Any, labels: Labels, who: str) -> _Term:
    """An operand whose repeated labels were replaced by the diagonal."""
    while True:
        double = next((label for label in labels if labels.count(label) > 1), None)
        if double is None:
            return _Term(value, labels)
        first = labels.index(double)
        second = labels.index(double, first + 1)
        n, m = shape_of(value)[first], shape_of(value)[second]
        if n != m:
            raise _wrong(
                f"subscript {ALPHABET[double]} is repeated for {who} but the sizes don't match, {m} != {n}",
                "repeat a letter only for axes of one size",
            )
        value = diagonal(value, 0, first, second)
        labels = (*(label for k, label in enumerate(labels) if k not in (first, second)), double)


def _sizes(terms: list[_Term]) -> dict[int, int]:
    """The size of every label; ShapeError where two operands disagree."""
    sizes: dict[int, int] = {}
    for k, term in enumerate(terms):
        for label, n in zip(term.labels, term.shape, strict=True):
            known = sizes.setdefault(label, n)
            if known not in (n, 1) and n != 1:
                who = f"subscript {ALPHABET[label]}" if label >= 0 else f"axis {label} under the ellipsis"
                raise _wrong(
                    f"{who} has size {n} for operand {k} which does not broadcast with previously seen size {known}",
                    "axes of one name have one size, or size 1",
                )
            sizes[label] = n if known == 1 else known
    return sizes


def _unstretched(term: _Term, sizes: dict[int, int]) -> _Term:
    """Without axes of size 1 that stand for more."""
    kept = tuple(label for label in term.labels if term.size(label) == sizes[label])
    return term if kept == term.labels else _Term(reshape(term.value, tuple(sizes[label] for label in kept)), kept)


# -- products ---------------------------------------------------------------------------------------------------------


def _product(x: _Term, y: _Term, result: Sequence[int]) -> _Term:
    """The product of two operands, summed over what ``result`` does not name, its axes in the order of ``result``."""
    result = tuple(label for label in result if label in x.labels or label in y.labels)
    gone = [label for label in {*x.labels, *y.labels} if label not in result]
    x = x.without([label for label in gone if label not in y.labels])
    y = y.without([label for label in gone if label not in x.labels])
    summed = tuple(label for label in x.labels if label in gone)
    if not summed:
        value = multiply(x.in_order(result), y.in_order(result))
        # a sum that was taken before shows as PyTorch shows products with one
        return _Term(reshape_to(value, shape=shape_of(value)) if gone else value, result)
    both = tuple(label for label in result if label in x.labels and label in y.labels)
    left = tuple(label for label in result if label not in y.labels)
    right = tuple(label for label in result if label not in x.labels)
    if right and left and result[-1] in left:
        # the result's last axis is the product's too, so that nothing is moved apart that is read together
        x, y, left, right = y, x, right, left
    product = matmul_batched(_matrices(x, both, left, summed), _matrices(y, both, summed, right))
    sizes = {label: term.size(label) for term in (x, y) for label in term.labels}
    made = (*both, *left, *right)
    value = transpose(reshape(product, tuple(sizes[k] for k in made)), [made.index(k) for k in result])
    return _Term(reshape_to(value, shape=tuple(sizes[k] for k in result)), result)


def _matrices(x: _Term, batch: Labels, rows: Labels, columns: Labels) -> Any:
    """An operand as a matrix, or as a stack of them if it has batch axes."""
    sizes = [math.prod(x.size(label) for label in group) for group in (batch, rows, columns)]
    return reshape(x.in_order((*batch, *rows, *columns)), tuple(sizes if batch else sizes[1:]))


def _path(terms: list[_Term], result: Labels) -> list[tuple[int, ...]]:
    """Which operands to multiply next, by their places; results come last. NumPy's greedy search finds the order."""
    if len(terms) <= 2:
        return [tuple(range(len(terms)))]
    names = {label: ALPHABET[k] for k, label in enumerate({label for term in terms for label in term.labels})}
    spelled = ",".join("".join(names[label] for label in term.labels) for term in terms)
    equation = f"{spelled}->{''.join(names[label] for label in result)}"
    dummies = [np.broadcast_to(0.0, term.shape) for term in terms]
    return [tuple(step) for step in np.einsum_path(equation, *dummies, optimize="greedy")[0][1:]]


def _multiplied(terms: list[_Term], result: Labels) -> _Term:
    """The product of all operands, pair by pair."""
    for step in _path(terms, result):
        chosen = [terms[k] for k in step]
        rest = [term for k, term in enumerate(terms) if k not in step]
        while len(chosen) > 1:
            others = {label for term in (*rest, *chosen[2:]) for label in term.labels}
            every = dict.fromkeys(label for term in chosen[:2] for label in term.labels)
            last = not rest and len(chosen) == 2
            wanted = result if last else tuple(label for label in every if label in others or label in result)
            chosen = [_product(chosen[0], chosen[1], wanted), *chosen[2:]]
        terms = [*rest, *chosen]
    return terms[0]


def _alone(term: _Term, result: Labels) -> Any:
    """One operand: its axes in order, then the sum over the others."""
    gone = tuple(label for label in term.labels if label not in result)
    made = tuple(label for label in result if label in term.labels)
    value = permute(term.value, axes=tuple(term.labels.index(label) for label in (*made, *gone)))
    return reduce_sum(value, axes=tuple(range(len(made), len(made) + len(gone)))) if gone else value


def einsum(*arguments: Any, out: None = None, optimize: Any = True) -> Any:
    """``np.einsum`` and ``torch.einsum``: the sum of products over named axes.

    Parameters
    ----------
    arguments: the equation and its operands, ``"ij,jk->ik", x, y``, or operands each followed by the list of its axes'
        numbers, ``x, [0, 1], y, [1, 2], [0, 2]``.
    out: not taken.
    optimize: for NumPy's signature; the order of the products is always chosen by NumPy's greedy search.

    Raises ShapeError for an equation that does not fit the operands.

    >>> einsum("ij,jk->ki", np.ones((2, 3)), np.ones((3, 4))).shape
    (4, 2)
    >>> einsum("ii", np.eye(3))
    np.float64(3.0)
    """
    if out is not None:
        raise TraceError("out= writes into an array", fix="assign the result instead: y = np.einsum(...)")
    if not arguments:
        raise _wrong("must specify the equation string and at least one operand", 'einsum("ij,jk->ik", x, y)')
    if isinstance(arguments[0], str):
        operands = list(arguments[1:])
        entries, wanted = _read_equation(arguments[0])
    else:
        operands, entries, wanted = _read_lists(arguments)
    if len(operands) != len(entries) or not operands:
        which = "more operands were provided than specified in the equation"
        if len(operands) < len(entries):
            which = "fewer operands were provided than specified in the equation"
        raise _wrong(which, "separate the subscripts of the operands by commas, one for each")
    operands = [as_operand(x) for x in operands]
    inputs = [_labels(e, len(shape_of(x)), f"operand {k}") for k, (e, x) in enumerate(zip(entries, operands, strict=True))]
    result = _result(wanted, inputs)
    if len({x.dtype for x in operands}) > 1:  # an operand that is summed by itself is summed in the dtype of the result
        dtype = np.result_type(*(x.dtype for x in operands))
        operands = [x if x.dtype == dtype else cast(x, dtype=dtype) for x in operands]
    terms = [_term(x, labels, f"operand {k}") for k, (x, labels) in enumerate(zip(operands, inputs, strict=True))]
    if len(terms) == 1:
        return _alone(terms[0], result)
    sizes = _sizes(terms)
    return _multiplied([_unstretched(term, sizes) for term in terms], result).value


def einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: bool = False) -> tuple[list[Any], str]:
    """``np.einsum_path``: the order NumPy would take, which depends on shapes alone.

    >>> einsum_path("ij,jk->ik", np.ones((2, 3)), np.ones((3, 2)))[0]
    ['einsum_path', (0, 1)]
    """
    if einsum_call:
        raise TraceError("np.einsum_path with einsum_call= is NumPy's own", fix="leave it out")
    plain = [np.broadcast_to(0.0, shape_of(x)) if getattr(x, "bind_rank", 0) else x for x in operands]
    return np.einsum_path(*plain, optimize=optimize)
