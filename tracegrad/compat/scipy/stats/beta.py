"""``scipy.stats.beta``, with boxes."""

from typing import Any

import scipy.stats as _stats

from tracegrad.compat.scipy.special import of_arguments
from tracegrad.compat.wrap import getter

__getattr__: Any = getter(__name__, _stats.beta, globals())


def _slope(ans: Any, x: Any, a: Any, b: Any) -> Any:
    return __getattr__("pdf")(x, a, b)


cdf = of_arguments(_stats.beta.cdf, {0: _slope})
"""``beta.cdf(x, a, b)``, with its derivative with respect to ``x``."""
