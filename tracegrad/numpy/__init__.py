"""NumPy's names that are traced: an explicit namespace for those who want one.

Traced functions may use ``numpy`` itself; this module holds the same functions, and only those that become part of a graph
or of a tape, with the creation functions, types and numbers that go with them. On plain arrays they are NumPy's. Any other
name raises an AttributeError that says what to write.

>>> import numpy as np
>>> import tracegrad as tg
>>> import tracegrad.numpy as tnp
>>> tg.grad(lambda x: tnp.sum(tnp.sin(x) ** 2))(np.array([0.0, np.pi / 4]))
array([0., 1.])
>>> tnp.sin is np.sin, "sin" in dir(tnp), hasattr(tnp, "busday_count")
(True, True, False)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tracegrad.numpy.names import getter, traced_names

if TYPE_CHECKING:
    from numpy import *  # noqa: F403 - their types are NumPy's
else:
    from tracegrad.numpy import fft, linalg

_NAMES = {**traced_names(np), "fft": fft, "linalg": linalg}
__all__ = sorted(_NAMES)  # noqa: PLE0605 - made from the registry

globals().update(_NAMES)
__getattr__: Any = getter("np", np)


def __dir__() -> list[str]:
    return __all__
