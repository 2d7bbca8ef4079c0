"""Functions made of functions: gradients, Jacobians and products with them, of each other and to any order.

Each works on NumPy functions as they are, on compiled ones, and inside of functions that are being traced. Structures of
results and signatures are JAX's.
"""

from tracegrad.transforms.checkpoints import checkpoint
from tracegrad.transforms.custom import custom_jvp, custom_vjp
from tracegrad.transforms.derivatives import elementwise_grad, grad, jvp, linearize, stop_gradient, value_and_grad, vjp
from tracegrad.transforms.flat import ravel
from tracegrad.transforms.jacobians import hessian, hvp, jacfwd, jacobian, jacrev
from tracegrad.transforms.operators import hessian_operator, jacobian_operator
from tracegrad.transforms.sparse import sparse_hessian, sparse_jacobian
from tracegrad.transforms.vectorise import vmap

__all__ = [
    "checkpoint",
    "custom_jvp",
    "custom_vjp",
    "elementwise_grad",
    "grad",
    "hessian",
    "hessian_operator",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacobian_operator",
    "jacrev",
    "jvp",
    "linearize",
    "ravel",
    "sparse_hessian",
    "sparse_jacobian",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]
