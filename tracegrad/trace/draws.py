"""Random numbers of a trace: what is drawn from the caller's generators at each call, in the order of the program.

A ``Generator`` among the arguments is replaced by a stand-in while its function is traced. What a method of it draws becomes
an input of the graph, and a ``Draw`` says how a call draws it from the generator that it is given then. So the numbers, and
the state that the generator is left in, are those of the Python function.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from tracegrad.core.aval import Aval, supported
from tracegrad.core.source import user_frame
from tracegrad.errors import TraceError
from tracegrad.ops.random import REFUSED, Draws
from tracegrad.ops.sources import DRAWS, LANES, lane
from tracegrad.ops.sources import input as input_op
from tracegrad.symbolic import Recorder, Sym

DRAWING = frozenset(name for name in dir(np.random.Generator) if not name.startswith("_")) - frozenset(REFUSED)
"""Methods that draw."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw: a method of the generator that is leaf number ``leaf``, and what it is given."""

    leaf: int
    method: str
    args: tuple[Any, ...]
    keywords: Mapping[str, Any]

    def __call__(self, generator: Any) -> Any:
        """The numbers, which the generator gives and leaves behind it."""
        return getattr(generator, self.method)(*self.args, **self.keywords)


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
    return [*leaves, *[draw(leaves[draw.leaf]) for draw in draws]]


class TracedGenerator(Draws):
    """What a traced function sees of a ``Generator`` among its arguments.

    Parameters
    ----------
    recorder: of the trace.
    leaf: which argument it is.
    path: how a person writes it.
    draws: where draws are noted.
    asarray: an array or a list as a traced array.
    """

    def __init__(self, recorder: Recorder, leaf: int, path: str, draws: list[Draw], asarray: Callable[[Any], Any]) -> None:
        super().__init__(self._drawn, asarray, lambda value: Sym(recorder, value.id, weak=True))
        self.recorder = recorder
        self._leaf = leaf
        self._path = path
        self._draws = draws

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

    def _drawn(self, method: str, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Sym:
        """The traced value of a draw, another one for each element where a function is mapped."""
        name = f"{self._path}.{method}"
        if self.recorder.rule:
            raise TraceError(
                f"{name} draws in the rule for the derivative of {self.recorder.rule}, beside the draws of the function itself",
                fix=f"draw outside of {self.recorder.rule}, and pass it the numbers as an argument",
                where=user_frame(),
            )
        given = tuple([self._known(value, name) for value in args])
        named = {key: self._known(value, name) for key, value in keywords.items() if value is not None}
        example = getattr(np.random.Generator(np.random.PCG64(0)), method)(*given, **named)
        aval, kind = _aval(example, name), type(example)
        if "dtype" in named:
            named["dtype"] = np.dtype(named["dtype"])
        sizes = [size() for size, _ in self.recorder.levels]
        if sizes:
            shape = np.shape(example)
            if "size" not in named and shape:
                raise TraceError(
                    f"{name} in a function that tg.vmap maps", fix="draw with size=, or outside of it", where=user_frame()
                )
            named["size"] = (*sizes, *shape)
        whole = Aval((*sizes, *aval.shape), aval.dtype)
        position = DRAWS + len(self._draws)
        self._draws.append(Draw(self._leaf, method, given, named))
        node = self.recorder.emit(input_op, (), {"position": position, "aval": whole, "name": name})
        for (_, lanes), left in zip(self.recorder.levels, range(len(sizes), 0, -1), strict=True):
            aval_of_one = Aval(whole.shape[len(sizes) - left + 1 :], whole.dtype)
            params = {"position": LANES + len(self.recorder.graph), "aval": aval_of_one}
            element = self.recorder.emit(lane, (), params)
            lanes[element] = node
            node = element
        return Sym(self.recorder, node, weak=kind in (bool, int, float), boxed=kind is np.ndarray)

    def _known(self, value: Any, name: str) -> Any:
        """What a draw is given as a plain value; a TraceError where it depends on traced values."""
        if isinstance(value, Sym):
            found = self.recorder.concrete(value.id)
            if found is None:
                raise TraceError(
                    f"{name} of a value that is computed: what it draws, and how much, would depend on it",
                    fix="give it numbers that are known, or draw outside and pass the result in",
                    where=user_frame(),
                )
            return found.item() if value.weak else np.array(found) if value.shape else found
        if isinstance(value, (tuple, list)):
            return type(value)([self._known(part, name) for part in value])
        return value.item() if isinstance(value, np.generic) else value


TracedGenerator.__name__ = "Generator"  # what errors call it


def _aval(example: Any, name: str) -> Aval:
    array = np.asarray(example)
    if not isinstance(example, (np.ndarray, np.generic, bool, int, float)):
        raise TraceError(f"{name} gives a {type(example).__name__}", fix="draw numbers", where=user_frame())
    return Aval(array.shape, supported(array.dtype))
