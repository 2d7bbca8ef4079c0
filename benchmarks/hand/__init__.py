"""Value and gradient written by hand in Numba: the yardstick of what the generated kernels should cost.

Each function is what a careful person writes who knows the formulas: one pass over the data where that is possible,
shared subexpressions, blocks that stay in the cache, ``prange`` over both cores where the work pays for it. The scalar
functions are tracegrad's own (``tracegrad.codegen.mathlib``) and so are the flags (``contract``; only the accumulation
of a sum may be reordered), so that what is compared is the fusion, not the maths library. They are not to be made slower.
"""

from benchmarks.hand.fits import hvp, logistic, mixture, student_t
from benchmarks.hand.maps import black_scholes, chain, rosenbrock
from benchmarks.hand.networks import layers, mlp
from benchmarks.hand.physics import heat, lotka_volterra, nbody
from benchmarks.hand.rows import cross_entropy, norm_gelu

__all__ = [
    "black_scholes",
    "chain",
    "cross_entropy",
    "heat",
    "hvp",
    "layers",
    "logistic",
    "lotka_volterra",
    "mixture",
    "mlp",
    "nbody",
    "norm_gelu",
    "rosenbrock",
    "student_t",
]
