"""``scipy.stats.poisson``, with boxes."""

from typing import Any

import scipy.stats as _stats

from tracegrad.compat.wrap import getter

__getattr__: Any = getter(__name__, _stats.poisson, globals())
