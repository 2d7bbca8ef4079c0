"""Size and direction of complex numbers: maps that are not holomorphic; see ``complexes`` for the convention of their rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import Aval
from tracegrad.core.op import FLAT, Kind, Op, Pointwise, Rule, Sample, Stacked, Values, keep
from tracegrad.ops.complexes import PARTS, SAMPLES, conj, is_complex
from tracegrad.ops.maps import absolute, select

# -- direction --------------------------------------------------------------------------------------------------------


def _safe(x: Any) -> Any:
    """The numbers, 1 for those that are 0."""
    return select(x == 0, np.ones((), x.dtype), x)


def _direction_pull(g: Any, out: Any, x: Any) -> Any:
    # ds = (dz − s²·conj(dz)) / 2|z|; at 0, where there is none, PyTorch's is 0
    if not is_complex(x):
        return g * np.zeros((), g.dtype)
    turned = conj(g) * conj(out * out)
    share = (g - turned) / (absolute(_safe(x)) * 2.0)
    return select(x == 0, np.zeros((), share.dtype), share)


direction: Op = Op(
    name="direction",
    kind=Kind.OPAQUE,
    infer=lambda x: x,
    promote=keep,
    eager=np.sign,
    partials=(Rule(_direction_pull),),
    batch=Stacked(),
    lower=None,
    numpy=(),
    torch=("", "SgnBackward0"),
    doc="z / |z|, and 0 of 0.",
    samples=SAMPLES,
)


def _angle_factor(out: Any, x: Any) -> Any:
    # arg z is the imaginary part of ln z; at 0, where it jumps, PyTorch's derivative is 0
    return select(x == 0, np.zeros((), x.dtype), -1j / _safe(x))


angle: Op = Op(
    name="angle",
    kind=Kind.OPAQUE,
    infer=lambda x: Aval(x.shape, PARTS[x.dtype]),
    promote=keep,
    eager=np.angle,
    partials=(Pointwise(_angle_factor),),
    batch=Stacked(),
    lower=None,
    numpy=(),
    torch=("", "AngleBackward0"),
    doc="The angle of complex numbers with the positive reals, from -π to π.",
    samples=SAMPLES,
)


def _real_angle(x: Any) -> Any:
    turn = np.asarray(np.pi, x.dtype)
    return np.where(np.isnan(x), x, np.where(x < 0, turn, np.zeros((), x.dtype)))[()]


real_angle: Op = Op(
    name="real_angle",
    kind=Kind.OPAQUE,
    infer=lambda x: x,
    promote=keep,
    eager=_real_angle,
    partials=(FLAT,),
    batch=Stacked(),
    lower=None,
    numpy=(),
    torch=("", "AngleBackward0"),
    doc="The angle of real numbers with the positive ones: 0 or π.",
    samples=(Sample((Values((3, 4)),), smooth=False), Sample((Values(()),), smooth=False)),
)
