"""NumPy functions in, native gradients out.

A decorated function is traced once into a static graph, its backward graph is derived symbolically from the
ops' own rules, both are fused and compiled into Numba kernels, and every later call is one native call.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
