"""Where random numbers come from: generators, and the one of this thread.

Seeds fix the numbers, but not to those PyTorch draws. Each thread has a generator of its own, and asynchronous tasks
share that of their creator until one of them calls :func:`manual_seed`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

import numpy as np

from tracegrad.core.aval import one_int
from tracegrad.core.source import user_frame
from tracegrad.eager.creation import made
from tracegrad.eager.device import check_device
from tracegrad.eager.device import device as device_class
from tracegrad.eager.tensor import Tensor
from tracegrad.eager.traced import tracing
from tracegrad.errors import DtypeError, ShapeError, TraceError

__all__ = [
    "Generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]


class Generator:
    """A source of random numbers with a state of its own.

    >>> g = Generator().manual_seed(0)
    >>> a = g.numpy.random(2)
    >>> bool((g.manual_seed(0).numpy.random(2) == a).all())
    True
    """

    def __init__(self, device: Any = None) -> None:
        _outside_of_traces("a generator is made")
        self._device = check_device(device)
        self._seed = 67280421310721  # PyTorch's for new generators
        self.numpy: np.random.Generator = np.random.Generator(np.random.PCG64(self._seed))

    @property
    def device(self) -> device_class:
        """Where it draws: on the CPU."""
        return self._device

    def manual_seed(self, seed: int) -> Self:
        """Start again from a seed, an integer of up to 64 bits; returns the generator.

        Raises DtypeError for what is no integer, ShapeError for more bits.

        >>> Generator().manual_seed(3).initial_seed()
        3
        """
        _outside_of_traces("a generator is seeded")
        found = one_int(seed)
        if found is None:
            text = f"manual_seed expected a long, but got {type(seed).__name__}"
            raise DtypeError(text, fix="manual_seed(0)", where=user_frame())
        if not -(2**63) <= found < 2**64:
            raise ShapeError(f"Overflow when unpacking long long: {found}", fix="give a seed of 64 bits", where=user_frame())
        self._seed = found % 2**64
        self.numpy = np.random.Generator(np.random.PCG64(self._seed))
        return self

    def seed(self) -> int:
        """Start again from a seed that the system draws, and return that.

        >>> g = Generator()
        >>> g.seed() == g.initial_seed()
        True
        """
        return self.manual_seed(secrets.randbits(64)).initial_seed()

    def initial_seed(self) -> int:
        """The seed it started from."""
        return self._seed

    def get_state(self) -> Tensor:
        """Its state, in bytes.

        >>> g = Generator()
        >>> g.get_state().dtype
        dtype('uint8')
        """
        _outside_of_traces("the state of a generator is read")
        state: Any = self.numpy.bit_generator.state
        words = state["state"]
        numbers = (words["state"], 16), (words["inc"], 16), (state["uinteger"], 8), (state["has_uint32"], 8), (self._seed, 8)
        return made(np.frombuffer(b"".join(n.to_bytes(size, "little") for n, size in numbers), np.uint8).copy())

    def set_state(self, new_state: Any) -> None:
        """Go back to a state that ``get_state`` gave; DtypeError or ShapeError for anything else.

        >>> g = Generator()
        >>> state = g.get_state()
        >>> a = g.numpy.random(2)
        >>> g.set_state(state)
        >>> bool((g.numpy.random(2) == a).all())
        True
        """
        _outside_of_traces("the state of a generator is set")
        if not isinstance(new_state, Tensor) or new_state.dtype != np.uint8:
            raise DtypeError("RNG state must be a torch.ByteTensor", fix="give what get_state() returned", where=user_frame())
        raw = new_state._array.tobytes()
        if len(raw) != _STATE_BYTES:
            raise ShapeError(
                f"the state of a generator has {_STATE_BYTES} bytes, this one has {len(raw)}",
                fix="give what get_state() returned; states of PyTorch's generators are of another kind",
                where=user_frame(),
            )
        state, inc, uinteger, has, start = (
            int.from_bytes(raw[first:last], "little") for first, last in ((0, 16), (16, 32), (32, 40), (40, 48), (48, 56))
        )
        source = np.random.PCG64(start)
        source.state = {
            "bit_generator": "PCG64",
            "state": {"state": state, "inc": inc},
            "has_uint32": has,
            "uinteger": uinteger,
        }
        self._seed = start
        self.numpy = np.random.Generator(source)

    def __deepcopy__(self, memo: dict[int, Any]) -> Generator:
        twin = Generator(self._device)
        twin.set_state(self.get_state())
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.get_state().tolist(),)


def _outside_of_traces(what: str) -> None:
    """Raise TraceError while a program is traced, as this would then happen once and not at each call."""
    if tracing.get() is not None:
        raise TraceError(
            f"{what} inside of what is compiled, once for all calls",
            fix="do that before the call; torch.rand, torch.randn, x.uniform_() and dropout are drawn anew at each call",
            where=user_frame(),
        )


_STATE_BYTES = 56


def _restored(state: list[int]) -> Generator:
    generator = Generator()
    generator.set_state(made(np.array(state, np.uint8)))
    return generator


_current: ContextVar[Generator] = ContextVar("generator")


def default_generator() -> Generator:
    """The generator of this thread; it starts from a seed that the system draws."""
    found = _current.get(None)
    if found is None:
        found = Generator()
        found.seed()
        _current.set(found)
    return found


def manual_seed(seed: Any) -> Generator:
    """Fix the numbers that are drawn from now on, in this thread or asynchronous task; returns the generator.

    >>> manual_seed(0).initial_seed()
    0
    """
    _outside_of_traces("a generator is seeded")
    generator = Generator().manual_seed(int(seed) if isinstance(seed, float) else seed)
    _current.set(generator)
    return generator


def seed() -> int:
    """Start again from a seed that the system draws, and return that.

    >>> seed() == initial_seed()
    True
    """
    return default_generator().seed()


def initial_seed() -> int:
    """The seed that the numbers drawn now come from.

    >>> manual_seed(7).initial_seed() == initial_seed()
    True
    """
    return default_generator().initial_seed()


def get_rng_state() -> Tensor:
    """The state of this thread's generator, in bytes.

    >>> len(get_rng_state())
    56
    """
    return default_generator().get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Go back to a state that :func:`get_rng_state` gave.

    >>> state = get_rng_state()
    >>> a = source(None).random(2)
    >>> set_rng_state(state)
    >>> bool((source(None).random(2) == a).all())
    True
    """
    default_generator().set_state(new_state)


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """Undo at the end of a ``with`` block what was drawn or seeded in it.

    >>> with fork_rng():
    ...     a = source(None).random(2)
    >>> bool((source(None).random(2) == a).all())
    True
    """
    before, state = default_generator(), get_rng_state()
    try:
        yield
    finally:
        if enabled:
            before.set_state(state)
            _current.set(before)


def source(generator: Generator | None) -> np.random.Generator:
    """NumPy's generator behind the one given, by default this thread's; DtypeError for what is no Generator."""
    _outside_of_traces("a random number is drawn")
    return _behind(generator)


def check_generator(generator: Any) -> None:
    """DtypeError for what is no Generator and not None."""
    _behind(generator)


def _behind(generator: Any) -> np.random.Generator:
    if generator is None:
        return default_generator().numpy
    if not isinstance(generator, Generator):
        raise DtypeError(
            f"generator must be a torch.Generator, not {type(generator).__name__}",
            fix="generator=torch.Generator().manual_seed(0)",
            where=user_frame(),
        )
    return generator.numpy
