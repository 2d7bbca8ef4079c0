"""The functions of ``numpy.linalg`` that are traced.

>>> import numpy as np
>>> import tracegrad as tg
>>> import tracegrad.numpy as tnp
>>> tg.grad(lambda a: tnp.linalg.slogdet(a)[1])(np.diag([1.0, 4.0]))
array([[1.  , 0.  ],
       [0.  , 0.25]])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tracegrad.numpy.names import getter, traced_names

if TYPE_CHECKING:
    from numpy.linalg import *  # noqa: F403 - their types are NumPy's

_NAMES = traced_names(np.linalg)
__all__ = sorted(_NAMES)  # noqa: PLE0605 - made from the registry

globals().update(_NAMES)
__getattr__: Any = getter("np.linalg", np.linalg)


def __dir__() -> list[str]:
    return __all__
