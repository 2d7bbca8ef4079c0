"""A compiled program bound to one set of shapes: what a call runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracegrad.config import config
from tracegrad.core.aval import Aval, Shape
from tracegrad.errors import Frame
from tracegrad.ops import checks
from tracegrad.ops.decompositions import REFUSALS
from tracegrad.ops.matrices import element_text
from tracegrad.ops.matrix_factors import REFUSALS as FACTORS
from tracegrad.ops.matrix_planes import REFUSALS as PAIRS
from tracegrad.runtime.arena import ArenaPool, aligned
from tracegrad.runtime.load import start_threads


def behaved(array: NDArray[Any]) -> NDArray[Any]:
    """An array of the same contents as an entry takes it: contiguous, aligned, in the byte order of the machine."""
    return np.require(array, array.dtype.newbyteorder("="), ["C_CONTIGUOUS", "ALIGNED"])


@dataclass(eq=False, slots=True)
class Executable:
    """Allocates outputs, borrows an arena and makes the one native call; re-entrant.

    Parameters
    ----------
    entry: the native entry: inputs, constants, outputs, arena, plan.
    picks: which of the call's arguments the entry takes, in order.
    constants: arrays that belong to the program.
    outputs: shape and dtype of each output buffer; 0-d ones are buffers of one element.
    results: for each result of the program the output buffer that holds it, whether it is an array (or a 0-d result in a
        buffer of one element), and whether another result has the buffer already, so that this one is copied.
    avals: of the arguments the entry takes.
    plan: the table's words.
    arena_bytes: size of the arena.
    threaded: the words of the table that say how many threads a launch may use, of the launches that are worth more than one.
    places: user lines of the nodes that check positions or matrices; () where the program checks none.
    threads: how many threads a kernel may use, None for as many as ``config.threads`` says.
    irregular: whether an array came in that had to be copied first, so that arrays are looked at before the entry is tried:
        a try that fails costs 140 µs.
    """

    entry: Callable[..., None]
    picks: tuple[int, ...]
    constants: tuple[NDArray[Any], ...]
    outputs: tuple[tuple[Shape, np.dtype[Any]], ...]
    results: tuple[tuple[int, bool, bool], ...]
    avals: tuple[Aval, ...]
    plan: NDArray[np.int64]
    arena_bytes: int
    threaded: tuple[int, ...]
    places: dict[int, tuple[str, Frame | None]]
    threads: int | None = None
    irregular: bool = field(init=False, default=False)
    pool: ArenaPool = field(init=False, default_factory=ArenaPool)
    nothing: NDArray[np.uint8] = field(init=False, default_factory=lambda: aligned(1))
    """The arena of a program that needs none."""
    _words: dict[int | None, NDArray[np.int64]] = field(init=False, default_factory=dict)

    @property
    def made(self) -> list[Aval]:
        """Shape and dtype of each result."""
        return [Aval(self.outputs[k][0] if is_array else (), self.outputs[k][1]) for k, is_array, _ in self.results]

    def words(self) -> NDArray[np.int64]:
        """The table for as many threads as the function and the settings allow here and now."""
        bounds = [bound for bound in (self.threads, config.threads) if bound is not None]
        threads = min(bounds, default=None)
        if threads != 1 and self.threaded:
            start_threads()
        words = self._words.get(threads)
        if words is None:
            words = self.plan.copy()
            words[list(self.threaded)] = 0 if threads == 1 else (threads or 1)
            self._words[threads] = words
        return words

    def bind(self) -> Callable[..., list[Any]]:
        """The function a call runs: concrete arguments in, fresh arrays and NumPy scalars out.

        Its second argument, if given, has for each result an array to write it to, or None. The caller has checked them.

        It is a closure, as looking up a dozen attributes costs as much as the native call of a small program. It raises
        IndexError where a position that is known at run time only lies outside of its axis, LinAlgError for a matrix that
        an op of linear algebra cannot work on.
        """
        entry, picks, constants, outputs, results = self.entry, self.picks, self.constants, self.outputs, self.results
        pool, places, arena_bytes = self.pool, self.places, self.arena_bytes
        fixed = None if self.threaded else self.words()
        empty = np.empty
        in_order = picks == tuple(range(len(picks)))
        scalars = tuple(k for k, aval in enumerate(self.avals) if not aval.shape and aval.dtype.kind != "c")
        pairs = tuple((k, aval.dtype) for k, aval in enumerate(self.avals) if not aval.shape and aval.dtype.kind == "c")

        def run(arguments: Sequence[Any], into: Sequence[NDArray[Any] | None] = ()) -> list[Any]:
            taken = arguments if in_order and len(arguments) == len(picks) else [arguments[k] for k in picks]
            if self.irregular:
                taken = self._plain(taken)
            elif scalars:
                # the entry takes Python numbers
                taken = list(taken)
                for k in scalars:
                    if type(taken[k]) is not float:
                        taken[k] = taken[k].item() if isinstance(taken[k], (np.generic, np.ndarray)) else taken[k]
            if pairs and not self.irregular:
                # and an array of one complex number
                taken = list(taken)
                for k, dtype in pairs:
                    taken[k] = np.array(taken[k], dtype).reshape(1)
            if into:
                made = self._given(into)
            else:
                made = [empty(shape, dtype) for shape, dtype in outputs]
            words = fixed if fixed is not None else self.words()
            arena = pool.borrow(arena_bytes) if arena_bytes else self.nothing
            try:
                if places:
                    arena[:8] = 0
                try:
                    entry(*taken, *constants, *made, arena, words)
                except TypeError:
                    # strided, unaligned, byte-swapped: the entry wants contiguous arrays and plain scalars
                    entry(*self._plain(taken), *constants, *made, arena, words)
                    self.irregular = True
                if places:
                    self._check(arena)
            finally:
                if arena_bytes:
                    pool.give_back(arena)
            if into:
                return self._stored(made, into)
            return [(made[k].copy() if again else made[k]) if is_array else made[k][0] for k, is_array, again in results]

        return run

    def _given(self, into: Sequence[NDArray[Any] | None]) -> list[NDArray[Any]]:
        given = {
            k: array if is_array else array.reshape(1)
            for (k, is_array, again), array in zip(self.results, into, strict=True)
            if array is not None and not again
        }
        return [given[k] if k in given else np.empty(*like) for k, like in enumerate(self.outputs)]

    def _stored(self, made: Sequence[NDArray[Any]], into: Sequence[NDArray[Any] | None]) -> list[Any]:
        found: list[Any] = []
        for (k, is_array, again), array in zip(self.results, into, strict=True):
            if array is None:
                found.append((made[k].copy() if again else made[k]) if is_array else made[k][0])
                continue
            if again:
                array[...] = made[k] if is_array else made[k][0]
            found.append(array)
        return found

    def _plain(self, taken: Sequence[Any]) -> list[Any]:
        return [
            np.require(value, aval.dtype, ["C_CONTIGUOUS", "ALIGNED"]).reshape(aval.shape or 1)
            if aval.shape or aval.dtype.kind == "c"
            else np.asarray(value, aval.dtype)[()].item()
            for value, aval in zip(taken, self.avals, strict=True)
        ]

    def _check(self, arena: NDArray[np.uint8]) -> None:
        """Raise what the status words say: of positions the node; of matrices also which one, and LAPACK's number."""
        status = int(arena[:8].view(np.int64)[0])
        if not status:
            return
        name, where = self.places[status - 1]
        refusal = REFUSALS.get(name) or FACTORS.get(name) or PAIRS.get(name) or checks.REFUSALS.get(name)
        if refusal is not None:
            element, info = (int(word) for word in arena[8:24].view(np.int64))
            raise refusal(element_text(element - 1) if element else "", info).at(where)
        place = f"\n  at {where}" if where else ""
        raise IndexError(f"an index of {name} is out of bounds{place}")
