"""The declared surface: which function of NumPy, SciPy and math means which of ours.

``NUMPY_FUNCTIONS`` is one table for traced values and Tensors alike: every op's own ``numpy`` field, and the
functions with NumPy's signatures by their names. What it does not hold is refused with the nearest spelling, never
run on a frozen value.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
from scipy import special

from tracegrad import functional
from tracegrad.core.op import Op
from tracegrad.core.source import user_frame
from tracegrad.errors import TraceError
from tracegrad.ops import (
    arranging,
    assembly,
    binning,
    calculus,
    choosing,
    comparisons,
    complexes,
    contractions,
    distances,
    eigenvalues,
    einsum,
    filters,
    fits,
    fourier,
    indexing,
    linalg,
    maps,
    matrix_equations,
    nans,
    padding,
    pointwise,
    positions,
    reductions,
    scans,
    scipy_factors,
    scipy_integrate,
    scipy_linalg,
    scipy_ndimage,
    scipy_signal,
    scipy_special,
    scipy_stats,
    sequences,
    series,
    sorting,
    special_complex,
    special_families,
    strided,
    views,
)
from tracegrad.ops import special as special_ops
from tracegrad.ops.arguments import check_arguments

Function = Callable[..., Any]

_BY_NAME: tuple[tuple[ModuleType, str], ...] = (
    (reductions, "sum prod mean max min argmax argmin var std any all ptp count_nonzero average"),
    (views, "broadcast_to reshape transpose expand_dims squeeze flip concatenate stack"),
    (assembly, "moveaxis swapaxes ravel atleast_1d atleast_2d atleast_3d hstack vstack column_stack append split array_split"),
    (assembly, "tile repeat roll diagonal diag trace tril triu around meshgrid"),
    (arranging, "rollaxis matrix_transpose fliplr flipud rot90 dstack hsplit vsplit dsplit unstack block broadcast_arrays"),
    (
        arranging,
        "resize delete insert diagflat kron vecmat matvec fill_diagonal put_along_axis put putmask place ix_ unravel_index",
    ),
    (indexing, "take take_along_axis"),
    (contractions, "matmul dot vdot inner outer tensordot"),
    (einsum, "einsum einsum_path"),
    (scans, "cumsum cumprod cumulative_sum cumulative_prod"),
    (sorting, "sort argsort lexsort searchsorted"),
    (binning, "bincount histogram histogram_bin_edges"),
    (fits, "poly polyfit apply_along_axis apply_over_axes"),
    (sequences, "linspace logspace geomspace"),
    (choosing, "select piecewise choose partition argpartition digitize"),
    (strided, "diag_indices_from triu_indices_from tril_indices_from"),
    (positions, "nonzero flatnonzero argwhere extract compress unique isin intersect1d setdiff1d union1d"),
    (padding, "pad"),
    (choosing, "median quantile percentile nanmedian nanquantile nanpercentile"),
    (nans, "nansum nanprod nancumsum nancumprod nanmean nanvar nanstd nanmax nanmin nanargmax nanargmin"),
    (pointwise, "fabs signbit deg2rad rad2deg radians degrees angle fmod divmod modf float_power ldexp fmax fmin heaviside"),
    (pointwise, "left_shift right_shift"),
    (pointwise, "nan_to_num sign iscomplex isreal real_if_close isposinf isneginf isclose allclose array_equal array_equiv"),
    (calculus, "ediff1d trapezoid gradient polyval polyder polyint polyadd polysub polymul interp unwrap"),
    (calculus, "convolve correlate cov corrcoef"),
)
"""Functions with the name and the signature of NumPy's, by the module that has them."""

_LINALG = (
    "cholesky cond cross det diagonal eigh eigvalsh inv lstsq matrix_norm matrix_power matrix_rank matrix_transpose multi_dot "
    "norm pinv qr slogdet solve svd svdvals trace vecdot vector_norm"
)
"""Functions of ``np.linalg``, likewise."""

_FFT = "fft ifft rfft irfft hfft ihfft fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn fftshift ifftshift fftfreq rfftfreq"
"""Functions of ``np.fft``, likewise."""

_SCIPY_SPECIAL = (
    "gamma rgamma beta betaln exp1 expi dawsn erfi spence ellipk ellipe rel_entr kl_div huber pseudo_huber boxcox boxcox1p "
    "inv_boxcox inv_boxcox1p softplus log_expit exp10 exprel cosm1 erfcinv chdtr chdtrc gdtr gdtrc pdtr pdtrc"
)
_SCIPY_LINALG = (
    "solve inv det solve_triangular cholesky cho_factor cho_solve pinv eigh eigvalsh svd svdvals qr norm expm block_diag "
    "toeplitz hankel circulant khatri_rao"
)
_MATRIX_EQUATIONS = (
    "solve_sylvester solve_continuous_lyapunov solve_discrete_lyapunov solve_banded solveh_banded solve_toeplitz "
    "sinhm coshm tanhm sinm cosm tanm expm_frechet polar"
)
_FACTORS = "lu lu_factor lu_solve lstsq orth null_space schur matrix_balance bandwidth sqrtm logm fractional_matrix_power funm"
_SPECIAL = "gammainc gammaincc zeta"
"""Functions of ``scipy.special`` that are more than their op."""


def _ops() -> Iterable[Op]:
    for module in (maps, comparisons, special_ops, special_families):
        yield from (value for value in vars(module).values() if isinstance(value, Op))


def _positive(x: Any) -> Any:
    return +x


def _square(x: Any) -> Any:
    return maps.multiply(x, x)


def _copy(x: Any, order: str = "K", subok: bool = False) -> Any:
    return x.copy()


def _astype(x: Any, dtype: Any, /, *, copy: bool = True) -> Any:
    return x.astype(dtype)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    low, high = (min if a_min is None else a_min), (max if a_max is None else a_max)
    return maps.clip(a, low, high)


def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    if axis is None and not axisa == axisb == axisc:
        raise TraceError("np.cross along different axes is not traced", fix="move the axes to the end first: np.moveaxis")
    return linalg.cross(a, b, axis=axisa if axis is None else axis)


def _logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    if return_sign:
        raise TraceError("logsumexp with return_sign is not traced", fix="write np.log(np.sum(b * np.exp(a)))")
    weighted = a if b is None else maps.add(a, maps.log(b))
    if keepdims and not np.ndim(weighted):  # SciPy makes a vector of a scalar
        weighted = views.reshape(weighted, (1,))
    return functional.logsumexp(weighted, axis, keepdims)


def _polygamma(n: Any, x: Any) -> Any:
    return special_ops.polygamma(n, x.astype(np.float64))


def _multigammaln(a: Any, d: int) -> Any:
    return special_ops.multigammaln(a.astype(np.float64), d)


def _softmax(x: Any, axis: Any = None) -> Any:
    return functional.softmax(x, axis)


def _log_softmax(x: Any, axis: Any = None) -> Any:
    return functional.log_softmax(x, axis)


def _require(a: Any, dtype: Any = None, requirements: Any = None, *, like: Any = None) -> Any:
    return a if dtype is None or np.dtype(dtype) == a.dtype else a.astype(dtype)


def _make_table() -> dict[Any, Function]:
    table: dict[Any, Function] = {function: op for op in _ops() for function in op.numpy}
    for module, names in _BY_NAME:
        for name in names.split():
            if hasattr(np, name):  # some are younger than NumPy 2.0
                table[getattr(np, name)] = getattr(module, name)
    table |= {np.reciprocal: maps.reciprocal, np.sinc: special_ops.sinc, np.i0: special_ops.i0}
    for name in _SPECIAL.split():
        table[getattr(special, name)] = getattr(special_ops, name)
    for name in _SCIPY_SPECIAL.split():
        if hasattr(special, name):
            table[getattr(special, name)] = getattr(scipy_special, name)
    table |= {np.linalg.eig: eigenvalues.eig, np.linalg.eigvals: eigenvalues.eigvals}
    table |= {np.linalg.tensorsolve: scipy_linalg.tensorsolve, np.linalg.tensorinv: scipy_linalg.tensorinv}
    for name in _LINALG.split():
        if hasattr(np.linalg, name):
            table[getattr(np.linalg, name)] = getattr(linalg, name)
    for name in _FFT.split():
        table[getattr(np.fft, name)] = getattr(fourier, name)
    if hasattr(np, "vecdot"):
        table[np.vecdot] = linalg.vecdot
    table |= {np.linalg.matmul: contractions.matmul, np.linalg.outer: contractions.outer, np.vander: linalg.vander}
    table |= {np.linalg.tensordot: contractions.tensordot, np.cross: _cross}
    table |= {**special_families.FUNCTIONS, **special_complex.FUNCTIONS, **series.FUNCTIONS}
    table |= {special.logsumexp: _logsumexp, special.softmax: _softmax, special.log_softmax: _log_softmax}
    table |= {special.polygamma: _polygamma, special.multigammaln: _multigammaln}
    table |= {special.expm1: maps.expm1, special.log1p: maps.log1p, special.exp2: maps.exp2, special.sinc: special_ops.sinc}
    table |= {np.positive: _positive, np.square: _square, np.copy: _copy, np.clip: _clip, np.round: assembly.around}
    table |= {
        np.amax: reductions.max,
        np.amin: reductions.min,
        np.shape: lambda a: a.shape,
        np.ndim: lambda a: len(a.shape),
    }
    table |= {np.size: lambda a, axis=None: math.prod(a.shape) if axis is None else a.shape[axis]}
    table |= {np.isscalar: lambda element: not element.shape and not getattr(element, "boxed", False)}
    table |= {np.iscomplexobj: complexes.is_complex, np.isrealobj: lambda x: not complexes.is_complex(x)}
    table |= {np.conjugate: lambda x: x.conj(), np.real: lambda val: complexes.real(val) if complexes.is_complex(val) else val}
    table |= {np.diff: calculus.differences, np.fix: maps.trunc, special.cbrt: maps.cbrt}
    table[np.imag] = lambda val: complexes.imag(val) if complexes.is_complex(val) else maps.scale(np.zeros((), val.dtype), val)
    table[np.require] = _require
    table[np.lib.stride_tricks.sliding_window_view] = arranging.sliding_window_view
    table[np.lib.stride_tricks.as_strided] = strided.as_strided
    table[np.result_type] = lambda *xs: np.result_type(*(getattr(x, "dtype", x) for x in xs))
    if hasattr(np, "astype"):
        table[np.astype] = _astype
    return table


NUMPY_FUNCTIONS: Mapping[Any, Function] = _make_table()
"""From the functions and ufuncs of NumPy and SciPy to ours."""

SCIPY_FUNCTIONS: Mapping[str, Function] = {
    **{f"scipy.linalg.{name}": getattr(scipy_linalg, name) for name in _SCIPY_LINALG.split()},
    **{f"scipy.linalg.{name}": getattr(matrix_equations, name) for name in _MATRIX_EQUATIONS.split()},
    "scipy.linalg.eig": eigenvalues.scipy_eig,
    "scipy.linalg.eigvals": eigenvalues.scipy_eigvals,
    **{f"scipy.linalg.{name}": getattr(scipy_factors, name) for name in _FACTORS.split()},
    **{f"scipy.signal.{name}": getattr(module, name) for module in (scipy_signal, filters) for name in module.__all__},
    **{f"scipy.integrate.{name}": getattr(scipy_integrate, name) for name in scipy_integrate.__all__},
    **{f"scipy.ndimage.{name}": getattr(scipy_ndimage, name) for name in scipy_ndimage.__all__},
    **{f"scipy.spatial.distance.{name}": getattr(distances, name) for name in distances.__all__},
    **{f"scipy.stats.{name}": function for name, function in scipy_stats.FUNCTIONS.items()},
}
"""Functions of modules that are loaded only where the user's code loads them, by their names."""


def meaning_of(function: Any) -> Function | None:
    """Ours in place of a function of NumPy or SciPy, None where there is none."""
    return NUMPY_FUNCTIONS.get(function) or SCIPY_FUNCTIONS.get(name_of(function))


VIEWS = frozenset(
    getattr(np, name)
    for name in [
        "broadcast_to",
        "reshape",
        "transpose",
        "expand_dims",
        "squeeze",
        "flip",
        "moveaxis",
        "swapaxes",
        "ravel",
        "atleast_1d",
        "atleast_2d",
        "atleast_3d",
        "split",
        "array_split",
        "diagonal",
        "shape",
        "ndim",
        "size",
        "hsplit",
        "vsplit",
        "dsplit",
        "unstack",
        "fliplr",
        "flipud",
        "rot90",
        "rollaxis",
        "matrix_transpose",
        "broadcast_arrays",
        "real",
        "imag",
    ]
    if hasattr(np, name)
)
"""Functions whose results share memory with their operand, or are no arrays; all others give arrays of their own."""

BOXED = frozenset(
    (np.where, np.select, np.copy, np.piecewise, np.tensordot, np.linalg.tensordot, np.i0, np.real_if_close, np.cross)
    + (np.roll, np.resize, np.tile, np.apply_along_axis)
)
"""Functions that give an array of no axes, which may be written to, where others give a scalar."""

SEQUENCES = frozenset(
    (np.concatenate, np.stack, np.hstack, np.vstack, np.column_stack, np.meshgrid, np.linalg.multi_dot)
    + (np.dstack, np.block, np.select, np.broadcast_arrays, np.lexsort),
)
"""Functions whose first argument is a sequence of arrays."""


WINDOWS = frozenset((np.lib.stride_tricks.sliding_window_view, np.lib.stride_tricks.as_strided))
"""Functions whose results would share each element's memory several times."""

OF_ARRAYS = frozenset((np.dot, np.vdot, np.inner, np.outer, np.tensordot, np.meshgrid))
"""Functions whose first two arguments are arrays, or all of them, so that a list among them is one."""

JOINING = frozenset((np.concatenate, np.stack, np.hstack, np.vstack, np.column_stack, np.dstack))
"""Those that make arrays of what is in it."""


def takes_sequence(function: Any) -> bool:
    """Whether a list or tuple as first argument is no array."""
    return function in SEQUENCES or name_of(function) in ("scipy.linalg.cho_solve", "scipy.linalg.lu_solve")


MATH_FUNCTIONS: Mapping[Any, Function] = {
    math.exp: maps.exp,
    math.expm1: maps.expm1,
    math.log1p: maps.log1p,
    math.log2: maps.log2,
    math.log10: maps.log10,
    math.log: lambda x, base=None: maps.log(x) if base is None else maps.divide(maps.log(x), maps.log(base)),
    math.sqrt: maps.sqrt,
    math.sin: maps.sin,
    math.cos: maps.cos,
    math.tan: maps.tan,
    math.asin: maps.arcsin,
    math.acos: maps.arccos,
    math.atan: maps.arctan,
    math.atan2: maps.arctan2,
    math.sinh: maps.sinh,
    math.cosh: maps.cosh,
    math.tanh: maps.tanh,
    math.asinh: maps.arcsinh,
    math.acosh: maps.arccosh,
    math.atanh: maps.arctanh,
    math.erf: maps.erf,
    math.erfc: special_ops.erfc,
    math.lgamma: special_ops.lgamma,
    math.pow: maps.power,
    math.fabs: maps.absolute,
    math.copysign: maps.copysign,
    math.hypot: lambda *xs: maps.sqrt(sum(x * x for x in xs)),
    math.radians: lambda x: maps.multiply(x, math.pi / 180),
    math.degrees: lambda x: maps.multiply(x, 180 / math.pi),
    math.isnan: comparisons.isnan,
    math.isinf: comparisons.isinf,
    math.isfinite: comparisons.isfinite,
    math.floor: lambda x: maps.floor(x).astype(np.int64),
    math.ceil: lambda x: maps.ceil(x).astype(np.int64),
    math.trunc: lambda x: maps.trunc(x).astype(np.int64),
    math.fsum: sum,
    math.prod: lambda xs, start=1: math.prod(xs, start=start),
}
"""What the functions of ``math`` mean for traced scalars; their results are Python numbers, so they stay weak."""

SPELLINGS = {
    "vectorize": "the function itself: its operations work on whole arrays",
    "lib.scimath.sqrt": "np.sqrt(x), of x.astype(np.complex128) where x may be negative",
    "trim_zeros": "of coefficients that are traced np.polyval(c, x), in the place of np.poly1d(c)(x)",
}
"""What to write in place of a function that is not traced."""

UNKNOWN = "compose it of functions that are traced, or compute it outside and pass the result in as an argument"
"""For the others; tensors do not have them either. A like name is no hint: np.fmod is not nearly np.mod."""


SOLVERS = (
    "call it outside of the traced function, with what tg.grad, tg.jacobian and tg.hvp give it, or take a fixed number of "
    "steps here; on the dynamic graph primitive and defvjp of tracegrad.compat.extend give it a derivative"
)
"""What to write in place of code that iterates on values."""


def is_solver(name: str) -> bool:
    """Whether a name is that of a function of SciPy that iterates until its values say that it is done.

    >>> is_solver("scipy.optimize.brentq"), is_solver("scipy.linalg.solve")
    (True, False)
    """
    return name.startswith(("scipy.optimize.", "scipy.integrate.", "scipy.sparse.linalg."))


def name_of(function: Any) -> str:
    """What a person calls a function: ``np.linalg.norm``, ``scipy.special.gammaln``, ``math.gamma``."""
    name = getattr(function, "__name__", repr(function))
    owner = getattr(function, "__self__", None)
    if isinstance(getattr(owner, "name", None), str) and "rv_" in " ".join(c.__name__ for c in type(owner).__mro__):
        name = f"{owner.name}.{name}"  # type: ignore[union-attr]
    elif type(owner).__name__.endswith("_gen"):  # distributions of several variables have no name of their own
        name = f"{type(owner).__name__.removesuffix('_gen')}.{name}"
    module = getattr(function, "__module__", None) or ""
    if isinstance(function, np.ufunc):  # those of SciPy do not say where they live
        module = "numpy" if getattr(np, name, None) is function else "scipy.special" if hasattr(special, name) else ""
    module = ".".join(part for part in module.split(".") if not part.startswith("_"))
    return f"{module}.{name}".replace("numpy.", "np.", 1) if module else name


def _of_statistics(name: str) -> str:
    """What of ``scipy.stats`` is traced that is near to a name: methods of the distribution, or names that are alike."""
    if not name.startswith("scipy.stats."):
        return ""
    owner, _, method = name.removeprefix("scipy.stats.").partition(".")
    known = [each.removeprefix("scipy.stats.") for each in SCIPY_FUNCTIONS if each.startswith("scipy.stats.")]
    own = [each for each in known if each.startswith(f"{owner}.")]
    if own:
        return f"of {owner} these are: {', '.join(own)}"
    owners = sorted({each.partition(".")[0] for each in known})
    alike = difflib.get_close_matches(owner, owners, 3, 0.5 if method else 0.7)
    if not alike and not method:
        return UNKNOWN
    if alike:
        return f"these are: {', '.join(f'{each}.{method}' if f'{each}.{method}' in known else each for each in alike)}"
    return f"of scipy.stats these are: {', '.join(owners)}"


def refuse(function: Any, why: str = "") -> NoReturn:
    """Raise TraceError for a function that has no traced meaning, with a spelling that has where one is known."""
    name = name_of(function)
    fix = SPELLINGS.get(name.split(".", 1)[-1]) or _of_statistics(name) or (SOLVERS if is_solver(name) else UNKNOWN)
    raise TraceError(why or f"{name} is not traced", fix=fix, where=user_frame())


def call_function(ours: Function, theirs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call our function in place of NumPy's; arguments that it does not take are refused by name."""
    kwargs = dict(kwargs)
    if not args:  # the names NumPy gives to its first operand
        first = next((n for n in ("a", "arr", "array", "ary", "m", "arrays", "tup") if n in kwargs), None)
        if first is not None and not isinstance(ours, Op) and first not in inspect.signature(ours).parameters:
            args = (kwargs.pop(first),)
    if isinstance(ours, Op):
        if kwargs:
            refuse(theirs, f"{name_of(theirs)} is traced without {', '.join(f'{k}=' for k in kwargs)}")
        return ours(*args)
    signature = inspect.signature(ours)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        names = ", ".join(name for name in signature.parameters if not name.startswith("_"))
        why = f"{name_of(theirs)} is traced with fewer arguments: {error}"
        raise TraceError(why, fix=f"the arguments it is traced with are {names}", where=user_frame()) from None
    check_arguments(bound.arguments, getattr(ours, "__name__", ""))
    return ours(*args, **kwargs)
