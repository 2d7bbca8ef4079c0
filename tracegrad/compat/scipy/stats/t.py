"""``scipy.stats.t``, with boxes."""

from typing import Any

import scipy.stats as _stats

from tracegrad.compat.scipy.special import of_arguments
from tracegrad.compat.wrap import getter
from tracegrad.ops.maps import exp

__getattr__: Any = getter(__name__, _stats.t, globals())


def _pdf(ans: Any, x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    return __getattr__("pdf")(x, df, loc, scale)


def _ratio(ans: Any, x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    return exp(__getattr__("logpdf")(x, df, loc, scale) - ans)


cdf = of_arguments(_stats.t.cdf, {0: _pdf, 2: lambda ans, *args: -_pdf(ans, *args)})
"""``t.cdf(x, df, loc, scale)``, with its derivatives with respect to ``x`` and ``loc``."""
logcdf = of_arguments(_stats.t.logcdf, {0: _ratio, 2: lambda ans, *args: -_ratio(ans, *args)})
"""``t.logcdf(x, df, loc, scale)``, with its derivatives with respect to ``x`` and ``loc``."""
