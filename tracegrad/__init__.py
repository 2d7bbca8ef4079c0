"""NumPy functions in, native gradients out.

A decorated function is traced once into a static graph, its backward graph is derived symbolically from the
ops' own rules, both are fused and compiled into native kernels, and every later call is one native call.
"""

from tracegrad import debug, functional, optim
from tracegrad.bridge import CompiledStep, CompiledTensors, compile, compile_step  # noqa: A004 - PyTorch's name
from tracegrad.compiled import Compiled, GradCompiled
from tracegrad.config import config, get_num_threads, set_num_threads
from tracegrad.core.tree import register_pytree
from tracegrad.decorators import grad_compile, jit
from tracegrad.eager import Tensor, enable_grad, no_grad, set_grad_enabled, tensor
from tracegrad.errors import TracegradError
from tracegrad.transforms import (
    checkpoint,
    custom_jvp,
    custom_vjp,
    elementwise_grad,
    grad,
    hessian,
    hessian_operator,
    hvp,
    jacfwd,
    jacobian,
    jacobian_operator,
    jacrev,
    jvp,
    linearize,
    ravel,
    sparse_hessian,
    sparse_jacobian,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)

__version__ = "0.1.0"

__all__ = [
    "Compiled",
    "CompiledStep",
    "CompiledTensors",
    "GradCompiled",
    "Tensor",
    "TracegradError",
    "__version__",
    "checkpoint",
    "compile",
    "compile_step",
    "config",
    "custom_jvp",
    "custom_vjp",
    "debug",
    "elementwise_grad",
    "enable_grad",
    "functional",
    "get_num_threads",
    "grad",
    "grad_compile",
    "hessian",
    "hessian_operator",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacobian_operator",
    "jacrev",
    "jit",
    "jvp",
    "linearize",
    "no_grad",
    "optim",
    "ravel",
    "register_pytree",
    "set_grad_enabled",
    "set_num_threads",
    "sparse_hessian",
    "sparse_jacobian",
    "stop_gradient",
    "tensor",
    "value_and_grad",
    "vjp",
    "vmap",
]
