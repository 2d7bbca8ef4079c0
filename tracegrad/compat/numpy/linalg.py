"""``numpy.linalg``, with boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.compat.extend import defvjp, primitive
from tracegrad.compat.wrap import getter
from tracegrad.ops import complexes, linalg

__all__ = list(np.linalg.__all__)

__getattr__: Any = getter(__name__, np.linalg, globals())


def __dir__() -> list[str]:
    return list(__all__)


def _conj(x: Any) -> Any:
    return complexes.conj(x) if complexes.is_complex(x) else x


def _real(x: Any) -> Any:
    return complexes.real(x) if complexes.is_complex(x) else x


def _turned(x: Any) -> Any:
    return linalg.matrix_transpose(x)


def _eig_vjp(ans: Any, a: Any) -> Callable[[Any], Any]:
    """With V the vectors, of length 1, and M = V⁻¹ dA V: dw is the diagonal of M, and dV = V (F∘M) less what changes lengths.

    F has 1/(w_j − w_i) off the diagonal.
    """
    w, v = ans
    eye = np.eye(w.shape[-1])
    gaps = w[..., None, :] - w[..., :, None]
    factors = (1.0 - eye) / (gaps + eye)
    vt = _turned(v)

    def vjp(g: Any) -> Any:
        to_w, to_v = g
        products = vt @ to_v
        lengths = _real(products * eye).sum(-2)[..., None, :]
        inner = factors * (products - (vt @ _conj(v)) * lengths) + to_w[..., None, :] * eye
        result = linalg.solve(vt, inner @ vt)
        return result if complexes.is_complex(a) else _real(result)

    return vjp


eig = primitive(np.linalg.eig)
"""``np.linalg.eig`` of matrices whose eigenvalues differ; the phase of a vector has no derivative."""
defvjp(eig, _eig_vjp)


def eigvals(a: Any) -> Any:
    """``np.linalg.eigvals``."""
    return eig(a)[0]
