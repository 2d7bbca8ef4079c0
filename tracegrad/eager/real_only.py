"""What tensors say of ops that complex numbers do not go through, in PyTorch's words."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FrameType, MappingProxyType
from typing import Any

import numpy as np

from tracegrad.core.op import Op
from tracegrad.core.source import is_user_file
from tracegrad.errors import DtypeError
from tracegrad.ops import maps

_NO_CLAMP = "clamp is not supported for complex types"
_NO_ORDER = "{name} not implemented for complex tensors."
_NO_LINES = "{name} does not support complex dtypes on CPU"
_NO_ARGUMENT = "{name}(): does not support complex input"
_NO_ROUNDING = "{name} is not supported for complex inputs"
_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "argmax": _NO_ARGUMENT,
        "argmin": _NO_ARGUMENT,
        "argsort": "Sort does not support complex dtypes on CPU",
        "bitwise_not": "~ (operator.invert) is only implemented on integer and Boolean-type tensors",
        "ceil": _NO_ROUNDING,
        "clamp": _NO_CLAMP,
        "clamp_max": _NO_CLAMP,
        "clamp_min": _NO_CLAMP,
        "clip": _NO_CLAMP,
        "floor": _NO_ROUNDING,
        "fmax": _NO_ORDER,
        "fmin": _NO_ORDER,
        "maximum": _NO_ORDER,
        "minimum": _NO_ORDER,
        "msort": "Sort does not support complex dtypes on CPU",
        "relu": _NO_CLAMP,
        "sign": "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead.",
        "signbit": "signbit is not implemented for complex tensors.",
        "sort": "Sort does not support complex dtypes on CPU",
        "topk": _NO_LINES,
        "trunc": _NO_ROUNDING,
    }
)
"""What PyTorch says of functions where it is not that they are "not implemented for" the dtype."""


def _called() -> str:
    """The name of the function that the user has called, "" for operators and methods of modules."""
    frame: FrameType | None = sys._getframe(1)
    name = ""
    while frame is not None and not is_user_file(frame.f_code.co_filename):
        if frame.f_code.co_name in frame.f_globals.get("__all__", ()):
            name = frame.f_code.co_name
        frame = frame.f_back
    return name


def refuse_complex(op: Op, dtype: np.dtype[Any]) -> DtypeError:
    """The error of an op that complex numbers do not go through; it names what the user has called."""
    kind = "ComplexDouble" if dtype.itemsize == 16 else "ComplexFloat"
    fix = "torch.sgn(x), of which the size is 1" if op is maps.sign else "take x.abs(), or x.real and x.imag apart"
    name = _called() or op.torch[0].split(" ")[0] or op.name
    text = _TEXTS.get(name, "\"{name}\" not implemented for '{kind}'")
    return DtypeError(text.format(name=name, kind=kind), fix=fix)
