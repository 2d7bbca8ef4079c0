"""One module for each contender: ``build(program, params, data)`` gives a `Contender`; it is imported in its own process.

Each is used as its documentation says for speed: inputs where the library wants them, compiled where it compiles.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender's module, the title of its column, and whether it compiles."""

    module: str
    title: str
    compiles: bool = True


ENTRIES = {
    "tracegrad": Entry("benchmarks.peers.contenders.by_tracegrad", "tracegrad"),
    "hand": Entry("benchmarks.peers.contenders.by_hand", "Numba by hand"),
    "jax": Entry("benchmarks.peers.contenders.by_jax", "JAX"),
    "torch": Entry("benchmarks.peers.contenders.by_torch", "PyTorch eager", compiles=False),
    "torch.compile": Entry("benchmarks.peers.contenders.by_torch_compile", "torch.compile"),
    "autograd": Entry("benchmarks.peers.contenders.by_autograd", "HIPS autograd", compiles=False),
    "pytensor": Entry("benchmarks.peers.contenders.by_pytensor", "PyTensor"),
}
