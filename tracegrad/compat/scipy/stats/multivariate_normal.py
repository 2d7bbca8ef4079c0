"""``scipy.stats.multivariate_normal``, with boxes."""

from typing import Any

import numpy as np
import scipy.stats as _stats

from tracegrad.compat.calls import holds_box
from tracegrad.compat.wrap import getter
from tracegrad.ops import linalg

__getattr__: Any = getter(__name__, _stats.multivariate_normal, globals())


def entropy(mean: Any = None, cov: Any = 1) -> Any:
    """``multivariate_normal.entropy(mean, cov)``: it does not depend on the mean."""
    if not holds_box(cov):
        return _stats.multivariate_normal.entropy(mean, cov)
    return 0.5 * (linalg.slogdet(2 * np.pi * np.e * cov)[1])
