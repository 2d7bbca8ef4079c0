"""Activation functions with PyTorch's signatures, each one node on the tape."""

from __future__ import annotations

import warnings
from typing import Any

from tracegrad import functional
from tracegrad.core.aval import shape_of
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions import pointwise, reductions
from tracegrad.eager.nn.functional.common import finished, refused
from tracegrad.ops.maps import absolute, add, divide, multiply, negative, select, subtract
from tracegrad.ops.maps import sigmoid as sigmoid_op
from tracegrad.ops.maps import tanh as tanh_op
from tracegrad.ops.views import reshape

__all__ = [
    "celu",
    "celu_",
    "elu",
    "elu_",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
]

# -- the nodes --------------------------------------------------------------------------------------------------------

_leaky_relu = recorded_as("LeakyReluBackward0")(functional.leaky_relu)
_elu = recorded_as("EluBackward0")(functional.elu)
_selu = recorded_as("EluBackward0")(functional.selu)
_celu = recorded_as("CeluBackward0")(functional.celu)
_gelu = recorded_as("GeluBackward0")(functional.gelu)
_silu = recorded_as("SiluBackward0")(functional.silu)
_mish = recorded_as("MishBackward0")(functional.mish)
_softplus = recorded_as("SoftplusBackward0")(functional.softplus)
_hardtanh = recorded_as("HardtanhBackward0")(functional.hardtanh)
_hardsigmoid = recorded_as("HardsigmoidBackward0")(functional.hardsigmoid)
_hardswish = recorded_as("HardswishBackward0")(functional.hardswish)
_hardshrink = recorded_as("HardshrinkBackward0")(functional.hardshrink)
_softshrink = recorded_as("SoftshrinkBackward0")(functional.softshrink)
_log_sigmoid = recorded_as("LogSigmoidBackward0")(functional.log_sigmoid)
_glu = recorded_as("GluBackward0")(functional.glu)
_prelu = recorded_as("PreluKernelBackward0")(functional.prelu)


@recorded_as("RreluWithNoiseBackward0")
def leaky_by(x: Any, slope: Any) -> Any:
    """``x`` where it is positive, elsewhere times a slope: a number, or one per element."""
    return select(x > 0, x, multiply(x, slope))


# -- rectifiers -------------------------------------------------------------------------------------------------------


def relu(input: Any, inplace: bool = False) -> Any:
    """``max(0, x)``, with slope 0 at 0.

    >>> from tracegrad.eager import tensor
    >>> relu(tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return finished(pointwise.relu, input, inplace)


def relu_(input: Any) -> Any:
    """``relu`` in place.

    >>> from tracegrad.eager import tensor
    >>> relu_(tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return finished(pointwise.relu, input, True)


def relu6(input: Any, inplace: bool = False) -> Any:
    """``x`` held between 0 and 6.

    >>> from tracegrad.eager import tensor
    >>> relu6(tensor([-1.0, 7.0]))
    tensor([0., 6.])
    """
    return finished(_hardtanh, input, inplace, 0.0, 6.0)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """``x`` where it is positive, ``negative_slope · x`` elsewhere.

    >>> from tracegrad.eager import tensor
    >>> leaky_relu(tensor([-1.0, 2.0]), 0.1)
    tensor([-0.1000,  2.0000])
    """
    return finished(_leaky_relu, input, inplace, float(negative_slope))


def leaky_relu_(input: Any, negative_slope: float = 0.01) -> Any:
    """``leaky_relu`` in place.

    >>> from tracegrad.eager import tensor
    >>> leaky_relu_(tensor([-1.0, 2.0]), 0.1)
    tensor([-0.1000,  2.0000])
    """
    return finished(_leaky_relu, input, True, float(negative_slope))


def prelu(input: Any, weight: Any) -> Any:
    """``x`` where it is positive, ``weight · x`` elsewhere, with one weight in all or one per channel (axis 1).

    Raises ShapeError for another number of weights.

    >>> from tracegrad.eager import tensor
    >>> prelu(tensor([-1.0, 2.0]), tensor([0.25]))
    tensor([-0.2500,  2.0000])
    """
    shape, count = shape_of(input), shape_of(weight)
    if len(count) > 1:
        raise refused(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {len(count)}",
            "give one weight, or one per channel",
        )
    if count in ((), (1,)):
        return _prelu(input, weight)
    channels = shape[1] if len(shape) > 1 else 1
    if count[0] != channels:
        raise refused(
            f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {count[0]} "
            f"and channel size = {channels}.",
            f"give one weight, or {channels}",
        )
    return _prelu(input, reshape(weight, (channels, *(1,) * (len(shape) - 2))))


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """``x`` where it is positive, ``alpha · (eˣ - 1)`` elsewhere.

    >>> from tracegrad.eager import tensor
    >>> elu(tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """
    return finished(_elu, input, inplace, float(alpha))


def elu_(input: Any, alpha: float = 1.0) -> Any:
    """``elu`` in place.

    >>> from tracegrad.eager import tensor
    >>> elu_(tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """
    return finished(_elu, input, True, float(alpha))


def selu(input: Any, inplace: bool = False) -> Any:
    """``elu`` with the slope and scale under which means and variances keep to 0 and 1.

    >>> from tracegrad.eager import tensor
    >>> selu(tensor([-1.0, 1.0]))
    tensor([-1.1113,  1.0507])
    """
    return finished(_selu, input, inplace)


def selu_(input: Any) -> Any:
    """``selu`` in place.

    >>> from tracegrad.eager import tensor
    >>> selu_(tensor([-1.0, 1.0]))
    tensor([-1.1113,  1.0507])
    """
    return finished(_selu, input, True)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """``x`` where it is positive, ``alpha · (e^(x/alpha) - 1)`` elsewhere.

    >>> from tracegrad.eager import tensor
    >>> celu(tensor([-1.0, 2.0]), 2.0)
    tensor([-0.7869,  2.0000])
    """
    return finished(_celu, input, inplace, float(alpha))


def celu_(input: Any, alpha: float = 1.0) -> Any:
    """``celu`` in place.

    >>> from tracegrad.eager import tensor
    >>> celu_(tensor([-1.0, 2.0]), 2.0)
    tensor([-0.7869,  2.0000])
    """
    return finished(_celu, input, True, float(alpha))


# -- smooth ones ------------------------------------------------------------------------------------------------------


def gelu(input: Any, approximate: str = "none") -> Any:
    """``x`` times the normal distribution's share below ``x``, by erf or with ``approximate="tanh"`` by tanh.

    >>> from tracegrad.eager import tensor
    >>> gelu(tensor([-1.0, 1.0]))
    tensor([-0.1587,  0.8413])
    """
    return _gelu(input, approximate)


def silu(input: Any, inplace: bool = False) -> Any:
    """``x · sigmoid(x)``.

    >>> from tracegrad.eager import tensor
    >>> silu(tensor([0.0, 1.0]))
    tensor([0.0000, 0.7311])
    """
    return finished(_silu, input, inplace)


def mish(input: Any, inplace: bool = False) -> Any:
    """``x · tanh(softplus(x))``.

    >>> from tracegrad.eager import tensor
    >>> mish(tensor([0.0, 1.0]))
    tensor([0.0000, 0.8651])
    """
    return finished(_mish, input, inplace)


def softplus(input: Any, beta: float = 1, threshold: float = 20) -> Any:
    """``ln(1 + e^(beta·x)) / beta``, and ``x`` itself where ``beta·x`` is above the threshold.

    >>> from tracegrad.eager import tensor
    >>> softplus(tensor([0.0, 99.0]))
    tensor([ 0.6931, 99.0000])
    """
    return _softplus(input, float(beta), float(threshold))


def logsigmoid(input: Any) -> Any:
    """``ln sigmoid(x)`` without underflow.

    >>> from tracegrad.eager import tensor
    >>> logsigmoid(tensor([-30.0, 0.0]))
    tensor([-30.0000,  -0.6931])
    """
    return _log_sigmoid(input)


def sigmoid(input: Any) -> Any:
    """``1 / (1 + e⁻ˣ)``.

    >>> from tracegrad.eager import tensor
    >>> sigmoid(tensor([0.0]))
    tensor([0.5000])
    """
    return sigmoid_op(input)


def tanh(input: Any) -> Any:
    """The hyperbolic tangent.

    >>> from tracegrad.eager import tensor
    >>> tanh(tensor([0.0]))
    tensor([0.])
    """
    return tanh_op(input)


def softsign(input: Any) -> Any:
    """``x / (1 + |x|)``.

    >>> from tracegrad.eager import tensor
    >>> softsign(tensor([-1.0, 3.0]))
    tensor([-0.5000,  0.7500])
    """
    return divide(input, add(absolute(input), 1))


def tanhshrink(input: Any) -> Any:
    """``x - tanh(x)``.

    >>> from tracegrad.eager import tensor
    >>> tanhshrink(tensor([1.0]))
    tensor([0.2384])
    """
    return subtract(input, tanh_op(input))


def glu(input: Any, dim: int = -1) -> Any:
    """The first half of ``x`` along ``dim`` times the sigmoid of the second; ShapeError for an odd size.

    >>> from tracegrad.eager import tensor
    >>> glu(tensor([2.0, 0.0]))
    tensor([1.])
    """
    shape = shape_of(input)
    if shape and -len(shape) <= dim < len(shape) and shape[dim] % 2:
        raise refused(
            f"Halving dimension must be even, but dimension {dim % len(shape)} is size {shape[dim]}",
            "give an input with an even size along dim",
        )
    return _glu(input, dim)


# -- piecewise linear ones --------------------------------------------------------------------------------------------


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """``x`` held between two numbers, with slope 0 on them; ValueError where they are in the wrong order.

    >>> from tracegrad.eager import tensor
    >>> hardtanh(tensor([-3.0, 0.5]))
    tensor([-1.0000,  0.5000])
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return finished(_hardtanh, input, inplace, float(min_val), float(max_val))


def hardtanh_(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """``hardtanh`` in place.

    >>> from tracegrad.eager import tensor
    >>> hardtanh_(tensor([-3.0, 0.5]))
    tensor([-1.0000,  0.5000])
    """
    return hardtanh(input, min_val, max_val, True)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """``(x + 3) / 6`` held between 0 and 1.

    >>> from tracegrad.eager import tensor
    >>> hardsigmoid(tensor([-4.0, 0.0]))
    tensor([0.0000, 0.5000])
    """
    return finished(_hardsigmoid, input, inplace)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """``x · hardsigmoid(x)``.

    >>> from tracegrad.eager import tensor
    >>> hardswish(tensor([1.5, 4.0]))
    tensor([1.1250, 4.0000])
    """
    return finished(_hardswish, input, inplace)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """``x`` beyond ``lambd`` on either side, 0 within.

    >>> from tracegrad.eager import tensor
    >>> hardshrink(tensor([-2.0, 0.1]))
    tensor([-2.,  0.])
    """
    return _hardshrink(input, float(lambd))


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """``x`` moved towards 0 by ``lambd``, 0 within it; ValueError for a negative one.

    >>> from tracegrad.eager import tensor
    >>> softshrink(tensor([-2.0, 0.1]))
    tensor([-1.5000,  0.0000])
    """
    if not lambd >= 0:
        raise ValueError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return _softshrink(input, float(lambd))


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """``x`` where it is above the threshold, ``value`` elsewhere.

    >>> from tracegrad.eager import tensor
    >>> threshold(tensor([-1.0, 2.0]), 0.0, 9.0)
    tensor([9., 2.])
    """
    return finished(pointwise.threshold, input, inplace, threshold, value)


def threshold_(input: Any, threshold: float, value: float) -> Any:
    """``threshold`` in place.

    >>> from tracegrad.eager import tensor
    >>> threshold_(tensor([-1.0, 2.0]), 0.0, 9.0)
    tensor([9., 2.])
    """
    return finished(pointwise.threshold, input, True, threshold, value)


# -- softmax ----------------------------------------------------------------------------------------------------------


def _softmax_dim(name: str, input: Any, dim: int | None, stacklevel: int) -> int:
    """The axis, or PyTorch's old choice of one, with its warning."""
    if dim is not None:
        return dim
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        UserWarning,
        stacklevel=stacklevel + 1,
    )
    return 0 if len(shape_of(input)) in (0, 1, 3) else 1


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """``eˣ / Σ eˣ`` along ``dim``; ``dtype`` is that to compute in.

    >>> from tracegrad.eager import tensor
    >>> softmax(tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return reductions.softmax(input, _softmax_dim("softmax", input, dim, _stacklevel), dtype)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """``softmax(-x)``.

    >>> from tracegrad.eager import tensor
    >>> softmin(tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return reductions.softmax(negative(input), _softmax_dim("softmin", input, dim, _stacklevel), dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """``ln softmax(x)`` along ``dim`` without underflow; ``dtype`` is that to compute in.

    >>> from tracegrad.eager import tensor
    >>> log_softmax(tensor([0.0, 1000.0]), dim=0)
    tensor([-1000.,     0.])
    """
    return reductions.log_softmax(input, _softmax_dim("log_softmax", input, dim, _stacklevel), dtype)
