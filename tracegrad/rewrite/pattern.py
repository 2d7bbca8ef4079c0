"""Rewrite rules as data: a pattern and a replacement, both ordinary expressions.

A pattern is written by running an expression over variables, ``lambda x: x * 1``, which records what was applied. The
replacement is run over traced values of the graph being written, so it may use anything a traced function may use, and
what it emits is rewritten in turn.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np

from tracegrad.core.aval import Aval, Shape
from tracegrad.core.counted import Counted, both, seen_of
from tracegrad.core.graph import Graph
from tracegrad.core.op import Kind, Op
from tracegrad.ops.broadcasting import broadcast
from tracegrad.ops.methods import ArrayMethods
from tracegrad.symbolic import Recorder, Sym

Found = dict[str, Any]
"""What a match captured: node ids of variables, nodes of families, values of numbers and parameters."""


class Scope(Protocol):
    """What a pattern may ask of the graph it is matched in."""

    graph: Graph

    def uniform(self, node: int) -> Any:
        """The one value of a constant, stretched or not; None for other nodes."""

    def known(self, node: int) -> bool:
        """Whether a node is a constant, stretched or not."""

    def used_once(self, node: int) -> bool:
        """Whether exactly one node of the graph that is rewritten reads this value."""

    def used_whole(self, node: int) -> bool:
        """Whether a map of the graph that is rewritten reads this value that is no product, so that it is computed anyway."""


Test = Callable[[Scope, tuple[int, ...]], bool]
"""A quick test of the operands' ids."""


class Pattern(ArrayMethods):
    """A pattern of nodes; operators and ops applied to it give bigger ones."""

    bind_rank = 3
    __slots__ = ()

    def bind_op(self, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Pattern:
        """The pattern of an op applied to patterns and numbers."""
        return Applied(op, tuple(o if isinstance(o, Pattern) else Number("", o, _same_as(o)) for o in operands), params)

    def matches(self, scope: Scope, node: int, found: Found) -> bool:
        """Whether a node fits; captures are written to ``found``."""
        raise NotImplementedError

    def covers(self, op: Op) -> bool:
        """Whether a node of this op may fit."""
        return True

    def parts(self) -> Iterator[Pattern]:
        """The pattern and those in it."""
        yield self


@dataclass(frozen=True, slots=True, eq=False)
class Variable(Pattern):
    """Any value; the same variable twice must be the same node."""

    name: str

    def matches(self, scope: Scope, node: int, found: Found) -> bool:
        """Whether the variable is free or already this node."""
        bound: int = found.setdefault(self.name, node)
        return bound == node

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class Number(Pattern):
    """A constant, a scalar or a stretched one, that passes a test; captured as a NumPy scalar if it has a name.

    ``sample`` is a number that passes, for the tests that are generated from rules.
    """

    name: str
    sample: Any
    test: Callable[[Any], bool]

    def matches(self, scope: Scope, node: int, found: Found) -> bool:
        """Whether the node is a constant that passes."""
        value = scope.uniform(node)
        if value is None or not all(map(self.test, both(value))):
            return False
        if self.name:
            found[self.name] = value
        return True

    def covers(self, op: Op) -> bool:
        """Whether the op is that of a constant, stretched or not."""
        return op.kind is Kind.CONSTANT or op is broadcast

    def __str__(self) -> str:
        return self.name or repr(self.sample)


@dataclass(frozen=True, slots=True)
class Parameter:
    """Any value of an op's parameter, captured under a name."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class Applied(Pattern):
    """An op applied to patterns; parameters are equal to given values or captured.

    ``passing`` asks that products and views alone read it: nobody needs it if they do without it.
    """

    op: Op
    operands: tuple[Pattern, ...]
    params: Mapping[str, Any]
    passing: bool = False

    def matches(self, scope: Scope, node: int, found: Found) -> bool:
        """Whether the node applies this op to operands that fit."""
        seen = scope.graph[node]
        if seen.op is not self.op or not self.fits(scope, seen.inputs, seen.params, found):
            return False
        return not (self.passing and scope.used_whole(node))

    def covers(self, op: Op) -> bool:
        """Whether it is this op."""
        return op is self.op

    def fits(self, scope: Scope, inputs: tuple[int, ...], params: Mapping[str, Any], found: Found) -> bool:
        """Whether operands and parameters of this op fit."""
        if len(inputs) != len(self.operands):
            return False
        for operand, i in zip(self.operands, inputs, strict=True):
            if not operand.matches(scope, i, found):
                return False
        for name, wanted in self.params.items():
            if isinstance(wanted, Parameter):
                found[wanted.name] = params[name]
            elif params[name] != wanted:
                return False
        return True

    def parts(self) -> Iterator[Pattern]:
        """The pattern and those of its operands."""
        yield self
        for operand in self.operands:
            yield from operand.parts()

    def __str__(self) -> str:
        inside = [str(o) for o in self.operands] + [f"{k}={v}" for k, v in self.params.items()]
        return f"{self.op.name}({', '.join(inside)})"


@dataclass(frozen=True, slots=True)
class Application:
    """A matched node of a family: which op it applies to which values."""

    op: Op
    operands: tuple[Sym, ...]
    params: Mapping[str, Any]

    @property
    def aval(self) -> Aval:
        """Shape and dtype of the result."""
        return self.op.infer(*(x.aval for x in self.operands), **self.params)

    def on(self, operands: Sequence[Sym], **changed: Any) -> Sym:
        """The same op on other operands, which already have the shapes and dtypes it needs."""
        recorder = operands[0].recorder
        return Sym(recorder, recorder.emit(self.op, tuple(o.id for o in operands), {**self.params, **changed}))


@dataclass(frozen=True, slots=True, eq=False)
class Family(Pattern):
    """Any op of some kinds, or one of some ops, captured as an ``Application``; ``once`` asks for a single user.

    ``on`` is what all its operands are, a kind or an op; None for anything.
    """

    name: str
    kinds: tuple[Kind, ...]
    ops: tuple[Op, ...]
    once: bool
    test: Test
    on: Kind | Op | None = None

    def covers(self, op: Op) -> bool:
        """Whether the family has this op."""
        return op.kind in self.kinds or op in self.ops

    def matches(self, scope: Scope, node: int, found: Found) -> bool:
        """Whether the node applies an op of the family."""
        seen = scope.graph[node]
        if not self.covers(seen.op) or (self.once and not scope.used_once(node)):
            return False
        return self.fits(scope, seen.op, seen.inputs, seen.params, found)

    def fits(self, scope: Scope, op: Op, inputs: tuple[int, ...], params: Mapping[str, Any], found: Found) -> bool:
        """Whether the operands of an op of the family pass the test."""
        if self.on is not None and not self.covers_operands(tuple([scope.graph[i].op for i in inputs])):
            return False
        found[self.name] = (op, inputs, params)
        return self.test(scope, inputs)

    def covers_operands(self, operands: tuple[Op, ...]) -> bool:
        """Whether operands of these ops may fit."""
        return self.on is None or all(op is self.on or op.kind is self.on for op in operands)

    def __str__(self) -> str:
        return f"{self.name}(…)"


# -- the words that patterns are written with -------------------------------------------------------------------------


def number(name: str, sample: Any, test: Callable[[Any], bool] = lambda value: True) -> Any:
    """A constant that passes a test, captured as a NumPy scalar."""
    return Number(name, sample, test)


def passing(pattern: Applied) -> Any:
    """What fits a pattern and is read by products and views alone."""
    return replace(pattern, passing=True)


def parameter(name: str) -> Any:
    """Any value of a parameter, captured."""
    return Parameter(name)


def applied(op: Op, *operands: Pattern, **params: Any) -> Any:
    """An op applied to patterns: for ops without operands, which no operand can turn into a pattern."""
    return Applied(op, operands, params)


def family(
    name: str, *members: Kind | Op, once: bool = False, test: Test = lambda scope, ids: True, on: Kind | Op | None = None
) -> Any:
    """Any op of the given kinds or any of the given ops, captured as an ``Application``; ``on`` says what operands are."""
    kinds = tuple(m for m in members if isinstance(m, Kind))
    return Family(name, kinds, tuple(m for m in members if isinstance(m, Op)), once, test, on)


def _same_as(wanted: Any) -> Callable[[Any], bool]:
    """Equality of numbers that tells the zeros apart."""
    negative = bool(np.signbit(wanted))
    return lambda value: bool(value == wanted) and (wanted != 0 or bool(np.signbit(value)) == negative)


# -- rules ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Example:
    """An expression in which a rule fires, with shapes and dtypes of its inputs (``"float"``: each float dtype)."""

    build: Callable[..., Any]
    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]


def example(build: Callable[..., Any], *shapes: Shape, dtypes: Sequence[str] = ()) -> Example:
    """An example of a rule; inputs are floats unless ``dtypes`` says otherwise."""
    return Example(build, shapes, tuple(dtypes) or ("float",) * len(shapes))


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A rewrite rule.

    Parameters
    ----------
    name: what ``explain`` prints when it fires.
    kind: ``exact`` rules keep every bit, on NaN (payload aside), infinities and signed zeros too. ``stabilise`` rules
        are equal up to rounding where both sides are finite; elsewhere the right side is the mathematical value.
        ``rearrange`` rules add and multiply in another order, as long as no partial result leaves the range of floats.
    pattern: the left side.
    replacement: the right side, called with what the pattern captured that its parameters name: traced values for
        variables, ``Application`` for families, NumPy scalars for numbers. A number returned stands for a constant of
        the matched node's shape and dtype.
    when: a further condition on the captures.
    examples: expressions in which it fires; for a rule without parameters and families the pattern itself serves.
    """

    name: str
    kind: Literal["exact", "stabilise", "rearrange"]
    pattern: Applied | Family
    replacement: Callable[..., Any]
    when: Callable[..., bool]
    examples: tuple[Example, ...]
    _wanted: tuple[tuple[str, ...], tuple[str, ...]]
    _variables: frozenset[str]
    _families: frozenset[str]

    def covers(self, op: Op, operands: tuple[Op, ...]) -> bool:
        """Whether the rule may apply to this op of nodes of those ops."""
        if not self.pattern.covers(op):
            return False
        if not isinstance(self.pattern, Applied):
            return self.pattern.covers_operands(operands)
        inside = self.pattern.operands
        return len(inside) == len(operands) and all(p.covers(o) for p, o in zip(inside, operands, strict=True))

    def match(self, scope: Scope, op: Op, inputs: tuple[int, ...], params: Mapping[str, Any]) -> Found | None:
        """The captures for an application that is about to be emitted, or None if the rule does not apply."""
        found: Found = {}
        if isinstance(self.pattern, Applied):
            fits = self.pattern.fits(scope, inputs, params, found)
        else:
            fits = self.pattern.fits(scope, op, inputs, params, found)
        return found if fits else None

    @property
    def counts(self) -> bool:
        """Whether it asks for numbers of users."""
        return any(
            (isinstance(part, Family) and part.once) or (isinstance(part, Applied) and part.passing)
            for part in self.pattern.parts()
        )

    def holds(self, recorder: Recorder, found: Found) -> bool:
        """Whether the condition holds for the captures of a match."""
        if not self._wanted[0]:
            return bool(self.when())
        wanted = self._seen(recorder, found, self._wanted[0])
        if any(isinstance(value, Counted) for value in wanted.values()):
            seen = {name: seen_of(v) if isinstance(v, Counted) else v for name, v in wanted.items()}
            return bool(self.when(**wanted) and self.when(**seen))
        return bool(self.when(**wanted))

    def replace(self, recorder: Recorder, found: Found) -> Any:
        """Run the right side on the captures of a match."""
        return self.replacement(**self._seen(recorder, found, self._wanted[1]))

    def _seen(self, recorder: Recorder, found: Found, names: tuple[str, ...]) -> Found:
        """Captures as the rule's functions see them: traced values in place of ids."""
        result: Found = {}
        for name in names:
            value = found[name]
            if name in self._variables:
                value = Sym(recorder, value)
            elif name in self._families:
                op, inputs, params = value
                value = Application(op, tuple([Sym(recorder, i) for i in inputs]), params)
            result[name] = value
        return result

    def __str__(self) -> str:
        return f"{self.name}: {self.pattern}"


def rule(
    name: str,
    kind: Literal["exact", "stabilise", "rearrange"],
    pattern: Callable[..., Any],
    replacement: Callable[..., Any],
    when: Callable[..., bool] = lambda: True,
    examples: Sequence[Example] = (),
) -> Rule:
    """A rule from two expressions; the parameters of ``pattern`` are its variables.

    >>> print(rule("multiply-by-one", "exact", lambda x: x * 1, lambda x: x))
    multiply-by-one: multiply(x, 1)
    """
    left = pattern(*(Variable(v) for v in inspect.signature(pattern).parameters))
    wanted = (tuple(inspect.signature(when).parameters), tuple(inspect.signature(replacement).parameters))
    parts = tuple(left.parts())
    variables = frozenset(part.name for part in parts if isinstance(part, Variable))
    families = frozenset(part.name for part in parts if isinstance(part, Family))
    return Rule(name, kind, left, replacement, when, tuple(examples), wanted, variables, families)


@dataclass(frozen=True, slots=True)
class Stage:
    """A named group of rules with one purpose."""

    name: str
    rules: tuple[Rule, ...]
