"""``scipy.stats.poisson``, with boxes."""

from typing import Any

import numpy as np
import scipy.stats as _stats

from tracegrad.compat.scipy.special import of_arguments
from tracegrad.compat.wrap import getter

__getattr__: Any = getter(__name__, _stats.poisson, globals())


def _slope(ans: Any, k: Any, mu: Any) -> Any:
    return -__getattr__("pmf")(np.floor(k), mu)


cdf = of_arguments(_stats.poisson.cdf, {1: _slope})
"""``poisson.cdf(k, mu)``, with its derivative with respect to ``mu``."""
