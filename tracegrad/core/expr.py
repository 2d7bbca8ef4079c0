"""The two small languages of lowering.

Scalar expressions say what a MAP computes for one element, index expressions where a VIEW finds an element of its operand.
Both are data: ops build them, the schedule composes and compares them, codegen prints them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from tracegrad.core.capsules import WORD_PREFIX

# --------------------------------------------------------------------------------------------------------------------
# scalar expressions


class Scalar:
    """A scalar expression; Python's operators build bigger ones."""

    __slots__ = ()

    def __add__(self, other: Scalar | float) -> Scalar:
        return call("add", self, other)

    def __radd__(self, other: float) -> Scalar:
        return call("add", other, self)

    def __sub__(self, other: Scalar | float) -> Scalar:
        return call("subtract", self, other)

    def __rsub__(self, other: float) -> Scalar:
        return call("subtract", other, self)

    def __mul__(self, other: Scalar | float) -> Scalar:
        return call("multiply", self, other)

    def __rmul__(self, other: float) -> Scalar:
        return call("multiply", other, self)

    def __neg__(self) -> Scalar:
        return call("negative", self)


@dataclass(frozen=True, slots=True)
class Operand(Scalar):
    """The element of operand number ``position``."""

    position: int


@dataclass(frozen=True, slots=True)
class Literal(Scalar):
    """A number of the dtype the op computes in."""

    value: float


@dataclass(frozen=True, slots=True)
class Call(Scalar):
    """A function of codegen's vocabulary applied to scalars; ``static`` holds arguments that are not values."""

    function: str
    arguments: tuple[Scalar, ...]
    static: tuple[Any, ...] = ()


def call(function: str, *arguments: Scalar | float, static: tuple[Any, ...] = ()) -> Scalar:
    """Apply a function of codegen's vocabulary; Python numbers become literals."""
    return Call(function, tuple(a if isinstance(a, Scalar) else Literal(a) for a in arguments), static)


CHEAP_FUNCTIONS = frozenset(
    {
        *("add", "subtract", "multiply", "negative", "absorbing_multiply", "maximum", "minimum", "absolute", "sign"),
        *("less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "isnan", "isinf", "isfinite"),
        *("logical_and", "logical_or", "logical_not", "bitwise_and", "bitwise_or", "bitwise_xor", "invert", "where"),
        *("cast", "floor", "ceil", "rint", "trunc", "copysign", "sqrt"),
    }
)
"""Functions of the vocabulary that cost an instruction or a few; the others are polynomials or loops."""

DEAR = 15
"""Operations that a function of the others, such as exp, counts for."""

CALLED = 600
"""Operations that a call of one of SciPy's functions counts for: it takes 20 ns to some µs, and nothing is vectorised."""

NAN_KEEPING_FUNCTIONS = frozenset(
    {"add", "subtract", "multiply", "negative", "absorbing_multiply", "divide", "where", "sqrt", "absolute", "exp"}
)
"""Functions that give NaN for NaN, or leave an operand out by a condition of their own."""


def operations(expression: Scalar) -> int:
    """Operations of a scalar expression, cheap functions counted as one."""
    if not isinstance(expression, Call):
        return 0
    name = expression.function
    own = 1 if name in CHEAP_FUNCTIONS else CALLED if name.startswith(WORD_PREFIX) else DEAR
    return own + sum(operations(a) for a in expression.arguments)


# --------------------------------------------------------------------------------------------------------------------
# index expressions


@dataclass(frozen=True, slots=True)
class Axis:
    """The running index of one axis of an iteration domain."""

    position: int
    extent: int

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest value."""
        return 0, max(self.extent - 1, 0)


@dataclass(frozen=True)
class Floor:
    """``index // divisor``."""

    index: Index
    divisor: int

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest value."""
        low, high = self.index.bounds
        return low // self.divisor, high // self.divisor


@dataclass(frozen=True)
class Remainder:
    """``index % divisor``."""

    index: Index
    divisor: int

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest value."""
        low, high = self.index.bounds
        if low // self.divisor == high // self.divisor:
            return low % self.divisor, high % self.divisor
        return 0, self.divisor - 1


Atom = Axis | Floor | Remainder


@dataclass(frozen=True)
class Index:
    """``sum(coefficient * atom) + constant``, kept in a normal form, so that equal expressions are equal objects."""

    terms: tuple[tuple[Atom, int], ...] = ()
    constant: int = 0

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.terms, self.constant))

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest value over the domain (exact for affine, an enclosure otherwise)."""
        low = high = self.constant
        for atom, coefficient in self.terms:
            ends = (atom.bounds[0] * coefficient, atom.bounds[1] * coefficient)
            low, high = low + min(ends), high + max(ends)
        return low, high

    @property
    def is_constant(self) -> bool:
        """Whether no axis occurs."""
        return not self.terms

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.terms, self.constant + other)
        if not other.terms or not self.terms:
            return Index(self.terms or other.terms, self.constant + other.constant)
        merged = dict(self.terms)
        for atom, coefficient in other.terms:
            merged[atom] = merged.get(atom, 0) + coefficient
        return _normal(merged.items(), self.constant + other.constant)

    def __sub__(self, other: Index | int) -> Index:
        return self + other * -1

    def __mul__(self, factor: int) -> Index:
        if factor == 1:
            return self
        return _normal(((atom, c * factor) for atom, c in self.terms), self.constant * factor)

    def __floordiv__(self, divisor: int) -> Index:
        whole, rest = self._split(divisor)
        low, high = rest.bounds
        if low // divisor == high // divisor:
            return whole + low // divisor
        return whole + Index(((Floor(rest, divisor), 1),))

    def __mod__(self, divisor: int) -> Index:
        _, rest = self._split(divisor)
        low, high = rest.bounds
        if low // divisor == high // divisor:
            return rest - low // divisor * divisor
        return Index(((Remainder(rest, divisor), 1),))

    def _split(self, divisor: int) -> tuple[Index, Index]:
        """``(whole, rest)`` with ``self == whole * divisor + rest`` and whole as large as the coefficients show."""
        whole = _normal(((a, c // divisor) for a, c in self.terms if c % divisor == 0), self.constant // divisor)
        rest = _normal(((a, c) for a, c in self.terms if c % divisor != 0), self.constant % divisor)
        return whole, rest

    def axes(self) -> frozenset[int]:
        """Positions of the axes that occur."""
        found: set[int] = set()
        for atom, _ in self.terms:
            found |= {atom.position} if isinstance(atom, Axis) else atom.index.axes()
        return frozenset(found)

    def coefficient(self, position: int) -> int:
        """The factor of an axis where it occurs plainly, 0 elsewhere."""
        return next((c for a, c in self.terms if isinstance(a, Axis) and a.position == position), 0)

    @property
    def is_affine(self) -> bool:
        """Whether only plain axes occur."""
        return all(isinstance(atom, Axis) for atom, _ in self.terms)

    def substitute(self, axes: tuple[Index, ...]) -> Index:
        """The expression with axis ``k`` replaced by ``axes[k]``."""
        result = Index((), self.constant)
        for atom, coefficient in self.terms:
            if isinstance(atom, Axis):
                value = axes[atom.position]
            elif isinstance(atom, Floor):
                value = atom.index.substitute(axes) // atom.divisor
            else:
                value = atom.index.substitute(axes) % atom.divisor
            result = result + value * coefficient
        return result

    def evaluate(self, axes: tuple[Any, ...]) -> Any:
        """The value at given axis positions; arrays of positions give arrays."""
        result: Any = self.constant
        for atom, coefficient in self.terms:
            if isinstance(atom, Axis):
                value = axes[atom.position]
            else:
                act: Callable[[Any, int], Any] = operator.floordiv if isinstance(atom, Floor) else operator.mod
                value = act(atom.index.evaluate(axes), atom.divisor)
            result = result + value * coefficient
        return result


def _normal(terms: Iterable[tuple[Atom, int]], constant: int) -> Index:
    terms = list(terms)
    for atom, c in terms:
        if isinstance(atom, Remainder) and (Floor(atom.index, atom.divisor), c * atom.divisor) in terms:
            # e // d * d + e % d is e: what makes a reshape there and back again cost nothing
            rest = [t for t in terms if t not in ((atom, c), (Floor(atom.index, atom.divisor), c * atom.divisor))]
            return _normal(rest, constant) + atom.index * c
    kept = [(a, c) for a, c in terms if c != 0 and a.bounds != (0, 0)]
    return Index(tuple(sorted(kept, key=_atom_key) if len(kept) > 1 else kept), constant)


def _atom_key(term: tuple[Atom, int]) -> tuple[int, int, str]:
    atom = term[0]
    return (0, atom.position, "") if isinstance(atom, Axis) else (1, 0, repr(atom))


@lru_cache(maxsize=4096)
def axis(position: int, extent: int) -> Index:
    """The running index of an axis; the constant 0 where its extent is 1."""
    return _normal(((Axis(position, extent), 1),), 0)


def axes_of(shape: tuple[int, ...]) -> tuple[Index, ...]:
    """One running index per axis of a shape."""
    return tuple(axis(k, extent) for k, extent in enumerate(shape))


def flatten_index(index: tuple[Index, ...], shape: tuple[int, ...]) -> Index:
    """The row-major position of an index vector in a contiguous array."""
    position = Index()
    for i, extent in zip(index, shape, strict=True):
        position = position * extent + i
    return position


def unflatten_index(position: Index, shape: tuple[int, ...]) -> tuple[Index, ...]:
    """The index vector of a row-major position."""
    index: list[Index] = []
    for extent in reversed(shape):
        index.append(position % extent if extent > 1 else Index())
        position = position // extent if extent > 1 else position
    return tuple(reversed(index))


@dataclass(frozen=True, slots=True)
class Guard:
    """``low <= index < high``."""

    index: Index
    low: int
    high: int

    @property
    def always(self) -> bool:
        """Whether it holds on the whole domain."""
        low, high = self.index.bounds
        return self.low <= low and high < self.high

    @property
    def never(self) -> bool:
        """Whether it holds nowhere."""
        low, high = self.index.bounds
        return high < self.low or low >= self.high


@dataclass(frozen=True, slots=True)
class Read:
    """Where a VIEW finds its element: operand ``operand`` at ``index``, if all guards hold."""

    operand: int
    index: tuple[Index, ...]
    guards: tuple[Guard, ...] = ()
