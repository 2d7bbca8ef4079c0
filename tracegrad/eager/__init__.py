"""The dynamic graph: tensors that compute at once and remember how, with PyTorch's names and semantics.

``import tracegrad.eager as torch`` runs code written for PyTorch's documented core; what differs is listed in the docs.
"""

from __future__ import annotations

from typing import Any

from tracegrad.eager import (
    autograd,
    creation,
    draws,
    dtypes,
    inquiry,
    linalg,
    nn,
    optim,
    random,
    ranges,
    special,
    typed,
    utils,
)
from tracegrad.eager.anomaly import is_anomaly_check_nan_enabled, is_anomaly_enabled
from tracegrad.eager.device import (
    backends,
    channels_last,
    contiguous_format,
    cuda,
    device,
    get_default_device,
    memory_format,
    preserve_format,
    set_default_device,
)
from tracegrad.eager.display import get_printoptions, printoptions, set_printoptions
from tracegrad.eager.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from tracegrad.eager.picture import make_dot
from tracegrad.eager.serialization import load, save
from tracegrad.eager.size import Size
from tracegrad.eager.surface import FUNCTIONS as _FUNCTIONS
from tracegrad.eager.surface import with_methods as _with_methods
from tracegrad.eager.tensor import Tensor, tensor

__all__ = [
    "Size",
    "Tensor",
    "autograd",
    "backends",
    "channels_last",
    "contiguous_format",
    "cuda",
    "device",
    "enable_grad",
    "get_default_device",
    "get_printoptions",
    "inference_mode",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "linalg",
    "load",
    "make_dot",
    "memory_format",
    "nn",
    "no_grad",
    "optim",
    "preserve_format",
    "printoptions",
    "random",
    "save",
    "set_default_device",
    "set_grad_enabled",
    "set_printoptions",
    "special",
    "tensor",
    "utils",
]

_with_methods(Tensor)
for _module in (draws, creation):
    for _name in _module.__all__:
        if _name.endswith("_") or _name.startswith("new_"):
            setattr(Tensor, _name, getattr(_module, _name))

_OF_THEIR_MODULES = {"as_dtype", "default_complex", "default_dtype", "fork_rng", "missing_dtype"}

# Names of the tables become attributes here at once: through __getattr__ each use would take 0.3 µs longer.
for _module in (creation, dtypes, inquiry, random, ranges, typed):
    globals().update(
        {
            name: getattr(_module, name)
            for name in _module.__all__
            if name not in _OF_THEIR_MODULES and not name.startswith("new_")
        }
    )
globals().update(_FUNCTIONS)
from math import e, inf, nan, pi  # noqa: E402, F401 - PyTorch has them too


def __getattr__(name: str) -> Any:
    """Say what is missing and why."""
    if name.startswith("__"):
        raise AttributeError(name)
    if name in dtypes.ABSENT:
        raise AttributeError(dtypes.missing_dtype(name))
    raise AttributeError(f"tracegrad.eager has no {name!r}; docs/pytorch.md lists what is there")
