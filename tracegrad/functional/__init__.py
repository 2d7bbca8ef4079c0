"""Functions of neural networks and statistics for arrays, Tensors and traced values alike.

Each is a composite of ops and has no derivative rule of its own: its derivative is that of its parts, and in a static
graph fusion makes it one kernel. Conventions: ``relu`` and ``leaky_relu`` have at 0 the slope of the negative side;
losses take ``reduction`` as ``"mean"``, ``"sum"`` or ``"none"``; classes lie along axis 1 (axis 0 of a vector), as in
PyTorch. Results have the dtype of their floats, as under NumPy's promotion. ``sigmoid``, ``tanh`` and ``stop_gradient`` are
ops themselves: the logistic function, the hyperbolic tangent, and the value itself taken for a constant by derivatives.

>>> import numpy as np
>>> sigmoid(0.0), tanh(0.0), stop_gradient(np.ones(2))
(np.float64(0.5), np.float64(0.0), array([1., 1.]))
"""

from tracegrad.functional.activations import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    logsumexp,
    mish,
    prelu,
    relu,
    selu,
    silu,
    softmax,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
    where,
)
from tracegrad.functional.layers import group_norm, layer_norm, linear, normalised_by, one_hot
from tracegrad.functional.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from tracegrad.ops.conv import conv2d
from tracegrad.ops.maps import sigmoid, stop_gradient, tanh
from tracegrad.ops.pooling import avg_pool2d, max_pool2d

__all__ = [
    "avg_pool2d",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv2d",
    "cross_entropy",
    "elu",
    "gelu",
    "glu",
    "group_norm",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "max_pool2d",
    "mish",
    "mse_loss",
    "nll_loss",
    "normalised_by",
    "one_hot",
    "prelu",
    "relu",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "softshrink",
    "softsign",
    "stop_gradient",
    "tanh",
    "tanhshrink",
    "threshold",
    "where",
]
