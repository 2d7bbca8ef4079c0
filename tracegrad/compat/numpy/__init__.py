"""NumPy with boxes: ``import tracegrad.compat.numpy as np``.

Every name is NumPy's own; with a box among its arguments a function is the op that has its derivative. Creation functions
take boxes too, in any nesting of lists.

>>> from tracegrad.compat import grad
>>> grad(lambda x: array([x, x**2]).sum())(3.0)
np.float64(7.0)
"""

from typing import Any

import numpy as np

from tracegrad.compat.boxes import ArrayBox as Box  # noqa: F401 - a name of the module
from tracegrad.compat.creation import (  # noqa: F401 - names of the module
    array,
    array_from_args,
    asanyarray,
    asarray,
    asarray_chkfinite,
    ascontiguousarray,
    asfortranarray,
    c_,
    concatenate_args,
    full,
    full_like,
    isscalar,
    make_diagonal,
    r_,
    row_stack,
    select,
    vectorize,
    where,
)
from tracegrad.compat.numpy import fft, linalg, random  # noqa: F401 - submodules
from tracegrad.compat.wrap import getter

__version__ = np.__version__
__all__ = list(np.__all__)

__getattr__: Any = getter(__name__, np, globals())


def __dir__() -> list[str]:
    return [*__all__, *globals()]
