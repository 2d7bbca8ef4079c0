"""A compiled program bound to one set of shapes: what a call runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape
from tracegrad.errors import Frame
from tracegrad.runtime.arena import ArenaPool


@dataclass(frozen=True, slots=True)
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
    avals: of the arguments the entry takes, for the slow path.
    plan: the table's words.
    arena_bytes: size of the arena.
    places: user lines of the nodes that check positions; () where the program checks none.
    """

    entry: Callable[..., None]
    picks: tuple[int, ...]
    constants: tuple[np.ndarray[Any, Any], ...]
    outputs: tuple[tuple[Shape, np.dtype[Any]], ...]
    results: tuple[tuple[int, bool, bool], ...]
    avals: tuple[Aval, ...]
    plan: np.ndarray[Any, Any]
    arena_bytes: int
    pool: ArenaPool
    places: dict[int, tuple[str, Frame | None]]

    def bind(self) -> Callable[[Sequence[Any]], list[Any]]:
        """The function a call runs: concrete arguments in, fresh arrays and NumPy scalars out.

        It is a closure, as looking up a dozen attributes costs as much as the native call of a small program. It raises
        IndexError where a position that is known at run time only lies outside of its axis.
        """
        entry, picks, constants, outputs, results = self.entry, self.picks, self.constants, self.outputs, self.results
        plan, arena_bytes, pool, places = self.plan, self.arena_bytes, self.pool, self.places
        empty = np.empty
        in_order = picks == tuple(range(len(picks)))
        scalars = tuple(k for k, aval in enumerate(self.avals) if not aval.shape)

        def run(arguments: Sequence[Any]) -> list[Any]:
            taken = arguments if in_order and len(arguments) == len(picks) else [arguments[k] for k in picks]
            if scalars:
                # Numba takes Python numbers fastest: a NumPy scalar costs it 3 µs, a 0-d array 80
                taken = list(taken)
                for k in scalars:
                    if type(taken[k]) is not float:
                        taken[k] = taken[k].item() if isinstance(taken[k], (np.generic, np.ndarray)) else taken[k]
            made = [empty(shape, dtype) for shape, dtype in outputs]
            arena = pool.borrow(arena_bytes)
            try:
                if places:
                    arena[:8] = 0
                try:
                    entry(*taken, *constants, *made, arena, plan)
                except TypeError:
                    # strided, byte-swapped or 0-d arrays: the entry wants contiguous arrays and plain scalars
                    entry(*self._plain(taken), *constants, *made, arena, plan)
                if places:
                    self._check(int(arena[:8].view(np.int64)[0]))
            finally:
                pool.give_back(arena)
            return [(made[k].copy() if again else made[k]) if is_array else made[k][0] for k, is_array, again in results]

        return run

    def _plain(self, taken: Sequence[Any]) -> list[Any]:
        return [
            np.ascontiguousarray(value, aval.dtype) if aval.shape else np.asarray(value, aval.dtype)[()].item()
            for value, aval in zip(taken, self.avals, strict=True)
        ]

    def _check(self, status: int) -> None:
        if status:
            name, where = self.places[status - 1]
            place = f"\n  at {where}" if where else ""
            raise IndexError(f"an index of {name} is out of bounds{place}")
