"""Where tensors are: on the CPU. What programs say about other devices is answered or refused here."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from tracegrad.core.source import user_frame
from tracegrad.errors import DeviceError, DtypeError

__all__ = [
    "backends",
    "channels_last",
    "check_device",
    "check_memory_format",
    "contiguous_format",
    "cuda",
    "device",
    "get_default_device",
    "memory_format",
    "preserve_format",
    "set_default_device",
]


class device:  # noqa: N801 - PyTorch's name
    """The CPU, the one device there is; ``with device("cpu"):`` is allowed and changes nothing.

    Parameters
    ----------
    type: "cpu", "cpu:0" or a device.
    index: number of the device, None where none was given.

    Raises DeviceError for devices of other types.

    >>> device("cpu"), device("cpu") == device("cpu:0"), str(device("cpu:0"))
    (device(type='cpu'), False, 'cpu:0')
    """

    __slots__ = ("index", "type")
    type: str
    index: int | None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        if isinstance(type, device):
            kind, number = type.type, type.index
        elif isinstance(type, str):
            kind, _, tail = type.partition(":")
            if kind != "cpu" or (":" in type and not tail.isdecimal()):
                raise _refusal(type)
            number = int(tail) if tail else None
        elif isinstance(type, int):
            raise _refusal(f"{type!r}, the number of an accelerator,")
        else:
            text = f"device() argument 'type' must be str, not {type.__class__.__name__}"
            raise DtypeError(text, fix="device('cpu')", where=user_frame())
        object.__setattr__(self, "type", kind)
        object.__setattr__(self, "index", number if index is None else index)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"attribute {name!r} of a device is not writable; make another: device('cpu')")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __repr__(self) -> str:
        return f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.type, self.index)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        return None


_CPU = device("cpu")


def _refusal(asked: str) -> DeviceError:
    """What this library is, for those who asked for another device."""
    return DeviceError(
        f"device {asked} is not here: tracegrad computes on the CPU, with NumPy's arrays and compiled kernels",
        fix="leave device out, or say device='cpu'; torch.cuda.is_available() is False here",
        where=user_frame(),
    )


def check_device(asked: Any) -> device:
    """The device that was asked for, None for any; DeviceError unless it is the CPU.

    >>> check_device(None), check_device("cpu")
    (device(type='cpu'), device(type='cpu'))
    """
    if asked is None or asked is _CPU:
        return _CPU
    return asked if isinstance(asked, device) else device(asked)


def get_default_device() -> device:
    """The device of new tensors.

    >>> get_default_device()
    device(type='cpu')
    """
    return _CPU


def set_default_device(device: Any) -> None:
    """Accept the CPU as the device of new tensors; DeviceError for any other.

    >>> set_default_device("cpu")
    """
    check_device(device)


class memory_format:  # noqa: N801 - PyTorch's name
    """In which order the elements of a tensor lie; the objects of this class are names."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"torch.{self._name}"


preserve_format = memory_format("preserve_format")
contiguous_format = memory_format("contiguous_format")
channels_last = memory_format("channels_last")


def check_memory_format(asked: memory_format | None) -> bool:
    """Whether the layout of the input is kept; DeviceError for layouts other than PyTorch's default ones.

    >>> check_memory_format(preserve_format), check_memory_format(contiguous_format)
    (True, False)
    """
    if asked is None or asked is preserve_format:
        return True
    if asked is contiguous_format:
        return False
    raise DeviceError(
        f"memory_format={asked!r} is not here: tensors lie as NumPy's arrays do, the last axis first",
        fix="leave memory_format out",
        where=user_frame(),
    )


class cuda:  # noqa: N801 - PyTorch's name
    """What programs ask of GPUs before they use one: there is none."""

    @staticmethod
    def is_available() -> bool:
        """Whether there is a GPU to compute on: no.

        >>> cuda.is_available()
        False
        """
        return False

    @staticmethod
    def device_count() -> int:
        """How many GPUs there are: none.

        >>> cuda.device_count()
        0
        """
        return 0

    @staticmethod
    def is_initialized() -> bool:
        """Whether a GPU is in use: no."""
        return False

    @staticmethod
    def manual_seed(seed: int) -> None:
        """Nothing: there is no GPU to seed."""

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        """Nothing: there are no GPUs to seed."""

    @staticmethod
    def empty_cache() -> None:
        """Nothing: there is no memory of a GPU to free."""

    @staticmethod
    def synchronize(device: Any = None) -> None:
        """Refuse to wait for a GPU with DeviceError, as PyTorch does where there is none."""
        raise _refusal("cuda")

    @staticmethod
    def current_device() -> int:
        """Refuse to name a GPU with DeviceError, as PyTorch does where there is none."""
        raise _refusal("cuda")


class _Cudnn:
    """Switches that programs set for the sake of GPUs; they read as things are here and take any value."""

    __slots__ = ()

    @property
    def deterministic(self) -> bool:
        """Whether results are the same in every run: yes."""
        return True

    @deterministic.setter
    def deterministic(self, value: bool) -> None:
        pass

    @property
    def benchmark(self) -> bool:
        """Whether convolutions are chosen by timing them: no."""
        return False

    @benchmark.setter
    def benchmark(self, value: bool) -> None:
        pass

    @property
    def enabled(self) -> bool:
        """Whether the library of GPU routines is in use: no."""
        return False

    @enabled.setter
    def enabled(self, value: bool) -> None:
        pass

    def is_available(self) -> bool:
        """Whether the library of GPU routines is there: no."""
        return False


class _Absent:
    """A backend that is not there."""

    __slots__ = ()

    def is_available(self) -> bool:
        """Whether it can be used: no."""
        return False

    def is_built(self) -> bool:
        """Whether it is part of this library: no."""
        return False


class backends:  # noqa: N801 - PyTorch's name
    """PyTorch's backends as programs ask for them.

    >>> backends.mps.is_available()
    False
    """

    cuda = _Absent()
    cudnn = _Cudnn()
    mkl = _Absent()
    mps = _Absent()
