"""Hand-written Numba."""

from __future__ import annotations

from typing import Any

from benchmarks import hand
from benchmarks.peers.program import Contender, Program, read_numpy


def build(program: Program, params: Any, data: tuple[Any, ...]) -> Contender:
    function = getattr(hand, program.by_hand)
    return Contender(lambda: function(params, *data), read_numpy)
