"""Random numbers of a trace: what is drawn from the caller's generators at each call, in the order of the program.

A ``Generator`` among the arguments is replaced by a stand-in while its function is traced. What a method of it draws becomes
an input of the graph, and a ``Draw`` says how a call draws it from the generator that it is given then. So the numbers, and
the state that the generator is left in, are those of the Python function. Parameters that are computed are computed before the
native call, on the interpreter, from a graph that the draw has of its own.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from tracegrad.core.aval import Aval, Shape, supported
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import interpret
from tracegrad.core.op import Kind
from tracegrad.core.source import user_frame
from tracegrad.errors import TraceError
from tracegrad.ops.custom import Derivative, with_derivative
from tracegrad.ops.random import REFUSED, Draws
from tracegrad.ops.sources import DRAWS, LANES, lane
from tracegrad.ops.sources import input as input_op
from tracegrad.symbolic import Recorder, Sym
from tracegrad.trace.inline import emit_again, inline
from tracegrad.trace.places import Place
from tracegrad.trace.reads import held

DRAWING = frozenset(name for name in dir(np.random.Generator) if not name.startswith("_")) - frozenset(REFUSED)
"""Methods that draw."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw: a method of the generator that is leaf number ``leaf``, and what it is given."""

    leaf: int
    method: str
    args: tuple[Any, ...]
    keywords: Mapping[str, Any]
    needs: Needs | None = None
    """The traced values among what it is given, None without any."""

    def __call__(self, generator: Any, found: Sequence[Any] = ()) -> Any:
        """The numbers, which the generator gives and leaves behind it; ``found`` are the leaves and what was drawn before."""
        if self.needs is None:
            return getattr(generator, self.method)(*self.args, **self.keywords)
        values = self.needs(found, getattr(generator, "recorder", None))
        args = [_filled(value, values) for value in self.args]
        return getattr(generator, self.method)(*args, **{key: _filled(v, values) for key, v in self.keywords.items()})


@dataclass(frozen=True, slots=True)
class Need:
    """Stands for a traced value among what a draw is given."""

    number: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What computes the traced values that a draw is given, and where its inputs are: places, or leaves and draws before."""

    graph: Graph
    sources: tuple[int | Place, ...]
    weak: tuple[bool, ...]

    def __call__(self, found: Sequence[Any], recorder: Recorder | None) -> list[Any]:
        """The values, in a trace traced ones."""
        given = [found[source] if isinstance(source, int) else held(source()) for source in self.sources]
        given = [getattr(value, "_array", value) for value in given]
        if recorder is not None:
            return list(inline(self.graph, recorder, given))
        values = interpret(self.graph, given)
        return [value.item() if weak else value for value, weak in zip(values, self.weak, strict=True)]


def _filled(value: Any, values: Sequence[Any]) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)([_filled(part, values) for part in value])
    return values[value.number] if isinstance(value, Need) else value


def is_generator(value: Any) -> bool:
    """Whether a leaf is drawn from; of a subclass the methods may be others."""
    return type(value) in (np.random.Generator, TracedGenerator)


def drawn(draws: Sequence[Draw], leaves: Sequence[Any], *, copies: bool = False) -> Sequence[Any]:
    """The leaves of a call, and behind them what is drawn at it.

    Parameters
    ----------
    draws: in the order of the program.
    leaves: the generators are among them.
    copies: whether to leave the generators as they are.
    """
    if not draws:
        return leaves
    if copies:
        made = {k: copy.deepcopy(leaves[k]) for k in {draw.leaf for draw in draws}}
        leaves = [made.get(k, leaf) for k, leaf in enumerate(leaves)]
    found = list(leaves)
    for draw in draws:
        found.append(draw(leaves[draw.leaf], found))
    return found


class TracedGenerator(Draws):
    """What a traced function sees of a ``Generator`` among its arguments.

    Parameters
    ----------
    recorder: of the trace.
    leaf: which argument it is.
    path: how a person writes it.
    draws: where draws are noted.
    asarray: an array or a list as a traced array.
    source: where the value of an input of the trace is found at a call.
    """

    def __init__(
        self,
        recorder: Recorder,
        leaf: int,
        path: str,
        draws: list[Draw],
        asarray: Callable[[Any], Any],
        source: Callable[[int], int | Place | None],
    ) -> None:
        super().__init__(self._drawn, asarray, lambda value: Sym(recorder, value.id, weak=True))
        self.recorder = recorder
        self._leaf = leaf
        self._path = path
        self._draws = draws
        self._source = source

    # isinstance(rng, np.random.Generator) holds
    __class__ = property(lambda self: np.random.Generator)

    def __repr__(self) -> str:
        return f"<traced Generator {self._path}>"

    def __copy__(self) -> NoReturn:
        self._refuse_copy()

    def __deepcopy__(self, memo: Any) -> NoReturn:
        self._refuse_copy()

    __reduce__ = __copy__

    def _refuse_copy(self) -> NoReturn:
        raise TraceError(
            f"{self._path} is copied while tracing",
            fix="spawn generators outside of the traced function, and pass each as an argument",
            where=user_frame(),
        )

    def _drawn(
        self, method: str, args: tuple[Any, ...], keywords: Mapping[str, Any], motions: Sequence[Callable[..., Any]] = ()
    ) -> Sym:
        """The traced value of a draw, another one for each element where a function is mapped."""
        name = f"{self._path}.{method}"
        if self.recorder.rule:
            raise TraceError(
                f"{name} draws in the rule for the derivative of {self.recorder.rule}, beside the draws of the function itself",
                fix=f"draw outside of {self.recorder.rule}, and pass it the numbers as an argument",
                where=user_frame(),
            )
        needed: list[Sym] = []
        given = tuple([self._known(value, name, needed) for value in args])
        named = {key: self._known(value, name, needed) for key, value in keywords.items() if value is not None}
        example = _example(method, given, named, needed, name)
        aval, kind = _aval(example, name), type(example)
        if "dtype" in named:
            named["dtype"] = np.dtype(named["dtype"])
        sizes = [size() for size, _ in self.recorder.levels]
        if sizes:
            own = named.get("size", ())
            named["size"] = (*sizes, *(own if isinstance(own, tuple) else (own,)))
        whole = Aval((*sizes, *aval.shape), aval.dtype)
        if sizes and (needed or not _gives(whole.shape, method, given, named)):
            raise TraceError(
                f"{name} of these arguments in a function that tg.vmap maps",
                fix="draw with size= and numbers for parameters, or outside of it",
                where=user_frame(),
            )
        position = DRAWS + len(self._draws)
        self._draws.append(Draw(self._leaf, method, given, named, self._needs(needed, name)))
        node = self.recorder.emit(input_op, (), {"position": position, "aval": whole, "name": name})
        for (_, lanes), left in zip(self.recorder.levels, range(len(sizes), 0, -1), strict=True):
            aval_of_one = Aval(whole.shape[len(sizes) - left + 1 :], whole.dtype)
            params = {"position": LANES + len(self.recorder.graph), "aval": aval_of_one}
            element = self.recorder.emit(lane, (), params)
            lanes[element] = node
            node = element
        if motions:
            node = self._moving(node, args, given, name, motions)
        elif needed:
            ids = [sym.id for sym in needed if sym.aval.differentiable]
            params = {"derivative": Derivative(None, True, len(ids), 1, 0, name, refused=True), "result": 0}
            node = self.recorder.emit(with_derivative, (node, *ids), params)
        return Sym(self.recorder, node, weak=kind in (bool, int, float), boxed=kind is np.ndarray)

    def _needs(self, needed: Sequence[Sym], name: str) -> Needs | None:
        """What computes the traced values that a draw is given; TraceError for those that no call knows."""
        if not needed:
            return None
        graph, ids = self.recorder.graph, [sym.id for sym in needed]
        roots = [graph[i] for i in sorted(graph.ancestors(ids)) if graph[i].op.kind is Kind.INPUT]
        sources = [self._source(root.params["position"]) for root in roots]
        places = [source for source in sources if source is not None]
        if len(places) < len(sources):
            raise TraceError(
                f"{name} of a value that is another one for each element of a map, or a tangent",
                fix="give it numbers, or draw outside and pass the result in",
                where=user_frame(),
            )
        made = Graph()
        known = {
            root.id: made.emit(input_op, (), {"position": k, "aval": root.aval}, root.where) for k, root in enumerate(roots)
        }
        found = emit_again(graph, made, known, ids)
        return Needs(made.freeze([found[i] for i in ids]), tuple(places), tuple([sym.weak for sym in needed]))

    def _moving(
        self, raw: int, args: Sequence[Any], given: Sequence[Any], name: str, motions: Sequence[Callable[..., Any]]
    ) -> int:
        """A draw that knows its derivatives in those of its parameters that are traced."""
        recorder = self.recorder
        traced = [k for k, value in enumerate(given) if isinstance(value, Need)]
        ids = [args[k].id for k in traced]
        avals = [recorder.graph[i].aval for i in (raw, *ids, *ids)]
        if not traced:
            return raw
        body = Graph()
        inner = Recorder(body, lambda: None)
        inputs = [Sym(inner, body.emit(input_op, (), {"position": k, "aval": aval})) for k, aval in enumerate(avals)]
        x, values, tangents = inputs[0], list(given), inputs[1 + len(ids) :]
        for k, value in zip(traced, inputs[1:], strict=False):
            values[k] = value
        parts = [motions[k](x, *values) * tangent for k, tangent in zip(traced, tangents, strict=True)]
        total = functools.reduce(lambda a, b: a + b, parts)
        derivative = Derivative(body.freeze([total.id]), True, len(ids), 1, 1 + len(ids), name)
        node = raw
        for _ in range(ORDERS):  # the draw among the residuals moves with the parameters, too
            node = recorder.emit(with_derivative, (raw, *ids, node, *ids), {"derivative": derivative, "result": 0})
        return node

    def _known(self, value: Any, name: str, needed: list[Sym]) -> Any:
        """What a draw is given as a plain value; a ``Need`` where it depends on traced values."""
        if isinstance(value, Sym):
            found = self.recorder.concrete(value.id)
            if found is None:
                needed.append(value)
                return Need(len(needed) - 1)
            return found.item() if value.weak else np.array(found) if value.shape else found
        if isinstance(value, (tuple, list)):
            return type(value)([self._known(part, name, needed) for part in value])
        return value.item() if isinstance(value, np.generic) else value


TracedGenerator.__name__ = "Generator"  # what errors call it


ORDERS = 3
"""The highest order of derivatives of a draw."""


def _gives(shape: Shape, method: str, args: Sequence[Any], keywords: Mapping[str, Any]) -> bool:
    """Whether a method draws numbers of a shape, given these."""
    try:
        found = getattr(np.random.Generator(np.random.PCG64(0)), method)(*args, **keywords)
        return tuple(np.shape(found)) == tuple(shape)
    except TypeError:  # it takes no size, or was given one by position
        return False


def _example(method: str, args: Sequence[Any], keywords: Mapping[str, Any], needed: Sequence[Sym], name: str) -> Any:
    """What a method draws, with some numbers in the places of values that are not known yet."""
    problem: Exception | None = None
    for number in (0.5, 1, 2, *(1 / sym.size for sym in needed if sym.shape)):
        values = [
            np.full(s.shape, number).astype(s.dtype) if s.shape else type(np.zeros((), s.dtype)[()].item())(number)
            for s in needed
        ]
        given, named = [_filled(v, values) for v in args], {key: _filled(v, values) for key, v in keywords.items()}
        try:
            return getattr(np.random.Generator(np.random.PCG64(0)), method)(*given, **named)
        except ValueError as error:
            problem = error
            if not needed:
                raise
    raise TraceError(
        f"{name} of values that are computed: {problem}",
        fix="give it numbers that are known, or draw outside and pass the result in",
        where=user_frame(),
    )


def _aval(example: Any, name: str) -> Aval:
    array = np.asarray(example)
    if not isinstance(example, (np.ndarray, np.generic, bool, int, float)):
        raise TraceError(f"{name} gives a {type(example).__name__}", fix="draw numbers", where=user_frame())
    return Aval(array.shape, supported(array.dtype))
