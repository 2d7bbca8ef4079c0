"""HIPS autograd's names on tracegrad's eager tape: change the import, keep the program.

``import autograd.numpy as np`` becomes ``import tracegrad.compat.numpy as np``, and ``from autograd import grad`` becomes
``from tracegrad.compat import grad``. Values are concrete, so Python's ``if`` and ``while`` work on them.

What differs: integers are refused where autograd would round a gradient to them, or lose it; values that would leave the record
unnoticed (``float(x)``, an assignment into an array) raise with the line; containers are Python's own, so that ``tuple`` and
``isinstance`` of autograd are not needed; forward mode is the transpose of reverse mode, and needs no rules of its own;
decompositions of complex matrices have no derivative.

>>> import tracegrad.compat.numpy as np
>>> def tanh(x):
...     return (1.0 - np.exp(-2 * x)) / (1.0 + np.exp(-2 * x))
>>> print(grad(tanh)(1.0).round(4), grad(grad(tanh))(1.0).round(4))
0.42 -0.6397
"""

from tracegrad.compat import builtins, extend
from tracegrad.compat.absent import refusing
from tracegrad.compat.builtins import dict, isinstance, list, tuple, type  # noqa: A004 - HIPS autograd's names
from tracegrad.compat.extend import primitive
from tracegrad.compat.operators import (
    checkpoint,
    deriv,
    elementwise_grad,
    grad,
    grad_and_aux,
    grad_named,
    hessian,
    hessian_tensor_product,
    hessian_vector_product,
    holomorphic_grad,
    jacobian,
    make_ggnvp,
    make_hvp,
    make_jvp,
    make_jvp_reversemode,
    make_vjp,
    multigrad,
    multigrad_dict,
    tensor_jacobian_product,
    value_and_grad,
    value_and_multigrad,
    vector_jacobian_product,
)

__all__ = [
    "builtins",
    "checkpoint",
    "deriv",
    "dict",
    "elementwise_grad",
    "extend",
    "grad",
    "grad_and_aux",
    "grad_named",
    "hessian",
    "hessian_tensor_product",
    "hessian_vector_product",
    "holomorphic_grad",
    "isinstance",
    "jacobian",
    "list",
    "make_ggnvp",
    "make_hvp",
    "make_jvp",
    "make_jvp_reversemode",
    "make_vjp",
    "multigrad",
    "multigrad_dict",
    "primitive",
    "tensor_jacobian_product",
    "tuple",
    "type",
    "value_and_grad",
    "value_and_multigrad",
    "vector_jacobian_product",
]

__getattr__ = refusing(__name__)
