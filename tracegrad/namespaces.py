"""The declared surface: which function of NumPy, SciPy and math means which of ours, and what NumPy's protocols do.

``NUMPY_FUNCTIONS`` is one table for traced values and Tensors alike: every op's own ``numpy`` field, and the
functions with NumPy's signatures by their names. What it does not hold is refused with the nearest spelling, never
run on a frozen value.
"""

from __future__ import annotations

import difflib
import functools
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
from tracegrad.core.tree import flatten
from tracegrad.errors import EscapeError, TraceError, TracegradError
from tracegrad.functional import folds
from tracegrad.ops import (
    arranging,
    assembly,
    binning,
    calculus,
    choosing,
    comparisons,
    complexes,
    contractions,
    einsum,
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
    scipy_linalg,
    scipy_signal,
    scipy_special,
    scipy_stats,
    sequences,
    sorting,
    special_families,
    views,
)
from tracegrad.ops import special as special_ops
from tracegrad.ops.arguments import check_arguments
from tracegrad.ops.selected import FOLDS as SELECTED_FOLDS
from tracegrad.ops.selected import FUNCTIONS as SELECTED
from tracegrad.ops.selection import Selection
from tracegrad.symbolic import Recorder, Sym

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
    table |= special_families.FUNCTIONS
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
    table[np.result_type] = lambda *xs: np.result_type(*(getattr(x, "dtype", x) for x in xs))
    if hasattr(np, "astype"):
        table[np.astype] = _astype
    return table


NUMPY_FUNCTIONS: Mapping[Any, Function] = _make_table()
"""From the functions and ufuncs of NumPy and SciPy to ours."""

SCIPY_FUNCTIONS: Mapping[str, Function] = {
    **{f"scipy.linalg.{name}": getattr(scipy_linalg, name) for name in _SCIPY_LINALG.split()},
    **{f"scipy.linalg.{name}": getattr(matrix_equations, name) for name in _MATRIX_EQUATIONS.split()},
    **{f"scipy.linalg.{name}": getattr(scipy_factors, name) for name in _FACTORS.split()},
    **{f"scipy.signal.{name}": getattr(scipy_signal, name) for name in scipy_signal.__all__},
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
    ]
    if hasattr(np, name)
)
"""Functions whose results share memory with their operand, or are no arrays; all others give arrays of their own."""

SEQUENCES = frozenset(
    (np.concatenate, np.stack, np.hstack, np.vstack, np.column_stack, np.meshgrid, np.linalg.multi_dot)
    + (np.dstack, np.block, np.select, np.broadcast_arrays, np.lexsort),
)
"""Functions whose first argument is a sequence of arrays."""


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
}
"""What to write in place of a function that is not traced."""

UNKNOWN = "compose it of functions that are traced, or compute it outside and pass the result in as an argument"
"""For the others; tensors do not have them either. A like name is no hint: np.fmod is not nearly np.mod."""


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
        module = "numpy" if getattr(np, name, None) is function else "scipy.special"
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
    alike = difflib.get_close_matches(owner, owners, 3, 0.5)
    if alike:
        return f"these are: {', '.join(f'{each}.{method}' if f'{each}.{method}' in known else each for each in alike)}"
    return f"of scipy.stats these are: {', '.join(owners)}"


def refuse(function: Any, why: str = "") -> NoReturn:
    """Raise TraceError for a function that has no traced meaning, with a spelling that has where one is known."""
    name = name_of(function)
    fix = SPELLINGS.get(name.split(".", 1)[-1]) or _of_statistics(name) or UNKNOWN
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


def is_traced(value: Any) -> bool:
    """Whether a value is traced, or a list, tuple or dict that holds a traced one."""
    if isinstance(value, Sym):
        return True
    if isinstance(value, dict):
        return any(is_traced(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(is_traced(v) for v in value)
    return isinstance(value, slice) and (is_traced(value.start) or is_traced(value.stop) or is_traced(value.step))


class Protocols:
    """What NumPy's two protocols do with traced values, for one trace."""

    def __init__(self, recorder: Recorder, creation: Mapping[Any, Function] | None = None) -> None:
        self.recorder = recorder
        self.creation = creation or {}

    def array(self, value: Any) -> Any:
        """``np.array`` of nested lists with traced scalars and arrays in them."""
        return self.creation[np.array](value)

    def function(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``__array_function__``; a refusal is noted, as code that catches it would go on as NumPy would not."""
        try:
            with self.recorder.noting():
                return self._function(function, args, kwargs)
        except TracegradError as error:
            error.about(name_of(function))
            raise

    def ufunc(self, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``__array_ufunc__``, likewise."""
        try:
            with self.recorder.noting():
                return self._ufunc(ufunc, method, inputs, kwargs)
        except TracegradError as error:
            error.about(name_of(ufunc))
            raise

    def _function(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if function in self.creation:
            return self.creation[function](*args, **kwargs)
        ours = meaning_of(function)
        if args and isinstance(args[0], Selection) and not isinstance(ours, Op):
            ours = SELECTED.get(function) or args[0].refuse(f"the result of {name_of(function)}")
        if ours is None:
            return self._of_known(function, args, kwargs)
        if function is np.take and len(args) > 1 and isinstance(args[1], Selection):
            return self._take_selected(*args, **kwargs)
        if function is np.where and len(args) + len(kwargs) == 1:
            return positions.nonzero(*args, **kwargs)
        if function is np.where and len(args) + len(kwargs) == 2:
            refuse(function, "np.where of a condition and one choice: it takes both or neither")
        kwargs = dict(kwargs)
        out = kwargs.pop("out", None)
        if args and not takes_sequence(function) and isinstance(args[0], (list, tuple)) and is_traced(args[0]):
            args = (self.array(args[0]), *args[1:])
        if args and function in JOINING and isinstance(args[0], (list, tuple)):
            args = ([self._part(part) for part in args[0]], *args[1:])
        elif function is np.append:
            args = (*map(self._part, args[:2]), *args[2:])
            kwargs |= {name: self._part(kwargs[name]) for name in ("arr", "values") if name in kwargs}
        result = call_function(ours, function, args, kwargs)
        if out is not None:
            return self._store(out, result)
        if function in (np.where, np.select, np.copy) and isinstance(result, Sym):
            return Sym(result.recorder, result.id, boxed=True)  # an array, where others give a scalar
        return result if function in VIEWS else owned(result)

    def _of_known(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function without a traced meaning gives for values that are known while tracing; else it is refused."""
        wrap = self.creation.get(np.array)
        if wrap is None or not (hasattr(np, getattr(function, "__name__", "")) and name_of(function).startswith("np.")):
            refuse(function)
        given, structure = flatten((list(args), dict(kwargs)))
        plain = []
        for value in given:
            known = value.recorder.constant_value(value.id) if isinstance(value, Sym) else value
            if known is None or isinstance(value, Selection):
                refuse(function)
            plain.append(known)
        positional, named = structure.unflatten(plain)
        found = function(*positional, **named)
        return wrap(found) if isinstance(found, np.ndarray) else found

    @staticmethod
    def _take_selected(x: Sym, places: Selection, axis: int | None = None) -> Any:
        """``np.take`` at positions that a mask selects."""
        if axis not in (None, 0):
            places.refuse("the result along another axis than the first; np.moveaxis brings an axis to the front")
        return (x.reshape(-1) if axis is None else x)[places]

    def _part(self, part: Any) -> Any:
        """A list or a number among arrays that are joined: NumPy makes an array of it first."""
        return part if isinstance(part, (Sym, np.ndarray, Selection)) and not getattr(part, "weak", False) else self.array(part)

    def _ufunc(self, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        whole = {"axis": None} if kwargs.get("axis", 0) is None else {}
        kwargs = {k: v for k, v in kwargs.items() if v is not None} | whole
        outs = kwargs.pop("out", (None,))
        if len(outs) != 1:
            refuse(ufunc, f"{name_of(ufunc)} with {len(outs)} arguments beyond its {ufunc.nin} operands is not traced")
        (out,) = outs
        ours = NUMPY_FUNCTIONS.get(ufunc)
        if ours is None:
            refuse(ufunc)
        if method == "at":
            return self._at(ufunc, ours, *inputs)
        if method in folds.METHODS:
            result = self._fold(ufunc, ours, method, inputs, kwargs)
        elif method == "outer":
            first, second = (self.recorder.operand(x) for x in inputs)
            result = self._call(ufunc, ours, (first.reshape(first.shape + (1,) * second.ndim), second), kwargs, out)
        elif method == "__call__":
            result = self._call(ufunc, ours, inputs, kwargs, out)
        else:
            refuse(ufunc, f"{name_of(ufunc)}.{method} is not traced")
        return owned(result) if out is None else self._store(out, result, cast=False)

    def _fold(self, ufunc: np.ufunc, ours: Function, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``reduce``, ``accumulate`` and ``reduceat``."""
        if isinstance(inputs[0], Selection):
            if method != "reduce" or ufunc not in SELECTED_FOLDS:
                inputs[0].refuse(f"the result of {name_of(ufunc)}.{method}; np.sum and its kin take them")
            return SELECTED[SELECTED_FOLDS[ufunc]](*inputs, **{"axis": 0, **kwargs})
        if not folds.folds(ufunc, method):
            refuse(ufunc, f"{name_of(ufunc)}.{method} is not traced")
        return call_function(functools.partial(folds.METHODS[method], ufunc, ours), ufunc, inputs, kwargs)

    def _call(self, ufunc: np.ufunc, ours: Function, inputs: Any, kwargs: dict[str, Any], out: Any) -> Any:
        dtype = kwargs.pop("dtype", None)
        where = kwargs.pop("where", True)
        kwargs.pop("order", None)
        if kwargs.get("casting") == "same_kind":  # as it is without it
            del kwargs["casting"]
        if dtype is not None:
            inputs = tuple(self.recorder.operand(x).astype(dtype) for x in inputs)
        result = call_function(ours, ufunc, inputs, kwargs)
        if where is True:
            return result
        if out is None:
            refuse(ufunc, f"{name_of(ufunc)} with where= and without out= leaves elements undefined")
        return maps.select(where, result, self._writable(out))

    def _at(self, ufunc: np.ufunc, ours: Function, target: Any, key: Any, value: Any = None) -> None:
        """``np.add.at``: unlike ``x[key] += v`` it counts equal positions as often as they occur."""
        x = self._writable(target)
        index = self.recorder.operand(np.arange(math.prod(x.shape)).reshape(x.shape))[key]
        if isinstance(index, Selection):
            self._at_selected(ufunc, ours, x, index, value)
            return
        known = self.recorder.constant_value(index.id)
        spread = None
        if ufunc.nin > 1:
            amounts = self.recorder.operand(value)
            amounts = amounts.astype(x.dtype) if amounts.weak or ufunc in folds.AT else amounts
            spread = views.reshape(views.broadcast_to(amounts, index.shape), -1)
        positions = views.reshape(index, -1) if known is None else np.asarray(known).reshape(-1)
        flat = folds.at(ufunc, ours, views.reshape(x.strong(), -1), positions, spread)
        x.assign(views.reshape(flat, x.shape))

    def _at_selected(self, ufunc: np.ufunc, ours: Function, x: Sym, index: Selection, value: Any) -> None:
        """The same at positions that a mask selects: the others go to an element of their own behind the last."""
        size, shape = math.prod(x.shape), index.whole.shape
        places = maps.select(index._condition(), index.whole, size)
        if isinstance(value, Selection):
            if value.mask.id != index.mask.id:
                value.refuse("whether as many are selected by another mask")
            value = value.whole
        elif ufunc.nin > 1 and np.ndim(value):
            index.refuse("whether there is a value for each")
        spread = None
        if ufunc.nin > 1:
            amounts = self.recorder.operand(value).astype(x.dtype)
            spread = views.reshape(views.broadcast_to(amounts, shape), -1)
        longer = views.concatenate([views.reshape(x.strong(), -1), np.ones(1, x.dtype)])
        flat = folds.at(ufunc, ours, longer, views.reshape(places, -1), spread)
        x.assign(views.reshape(flat[:size], x.shape))

    def _writable(self, out: Any) -> Sym:
        if isinstance(out, tuple):
            (out,) = out
        if not isinstance(out, Sym):
            self.recorder.escape(
                EscapeError(
                    "a traced value is stored into an array from outside the trace (out=)",
                    fix="make the array inside the traced function, or use the result instead of out=",
                )
            )
        return out

    def _store(self, out: Any, result: Any, cast: bool = True) -> Sym:
        target = self._writable(out)
        target._check_writable()
        result = self.recorder.operand(result)
        return target.update_in_place(result.strong() if not cast else result.astype(target.dtype))  # type: ignore[no-any-return]


def owned(result: Any) -> Any:
    """The result of a NumPy function as memory of its own, no Python number any more."""
    if isinstance(result, Sym):
        return result.strong()
    if isinstance(result, (list, tuple)) and any(isinstance(r, Sym) for r in result):
        parts = [owned(r) for r in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result
