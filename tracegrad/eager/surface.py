"""PyTorch's names: which there are, what each does, and which are methods of tensors.

Elementwise functions are made from their ops, whose declarations hold PyTorch's names; the others are the functions of
``tracegrad.eager.functions``. Names are written as in PyTorch without ``torch.``: ``exp``, ``special.erf``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

from tracegrad.core.op import Kind, Op
from tracegrad.core.source import user_frame
from tracegrad.eager import inquiry, linalg, network_functions, random
from tracegrad.eager.functions import (
    analysis,
    complexes,
    contractions,
    counting,
    cutting,
    gamma,
    in_place,
    indexing,
    joining,
    linear_algebra,
    matrices,
    ordering,
    placing,
    pointwise,
    reductions,
    repeating,
    scans,
    scatter,
    shapes,
    special_functions,
)
from tracegrad.eager.misuse import explained, refusal, takes_other_tensors
from tracegrad.eager.nn import functional
from tracegrad.eager.shape_changes import SHAPE_CHANGES
from tracegrad.eager.tensor import pair, single
from tracegrad.errors import ShapeError
from tracegrad.ops import comparisons, maps, special

__all__ = ["FUNCTIONS", "FUNCTIONS_ONLY", "IN_PLACE", "METHODS", "METHODS_ONLY", "SURFACE", "with_methods"]

C = TypeVar("C", bound=type)
Function = Callable[..., Any]

OPS: tuple[ModuleType, ...] = (comparisons, maps, special)
"""Modules whose elementwise ops carry PyTorch's names."""

FAMILIES: tuple[tuple[str, ModuleType], ...] = (
    ("", analysis),
    ("", complexes),
    ("", contractions),
    ("", counting),
    ("", cutting),
    ("", gamma),
    ("", indexing),
    ("", joining),
    ("", linear_algebra),
    ("", matrices),
    ("", network_functions),
    ("", ordering),
    ("", placing),
    ("", pointwise),
    ("", reductions),
    ("", repeating),
    ("", scans),
    ("", scatter),
    ("", shapes),
    ("linalg.", linalg),
    ("special.", special_functions),
)
"""Modules whose functions carry PyTorch's names, and the namespace these stand in."""

OF_NETWORKS: tuple[str, ...] = (
    "adaptive_avg_pool1d",
    "avg_pool1d",
    "celu",
    "celu_",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_similarity",
    "hardshrink",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "pairwise_distance",
    "pdist",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu_",
    "rms_norm",
    "rrelu",
    "rrelu_",
    "selu",
    "selu_",
    "threshold_",
)
"""Functions of ``torch.nn.functional`` that PyTorch also has beside the others, with the same arguments."""

ALIASES: Mapping[str, str] = {
    "special.log_softmax": "log_softmax",
    "special.logit": "logit",
    "special.logsumexp": "logsumexp",
    "special.polygamma": "polygamma",
    "special.round": "round",
    "special.softmax": "softmax",
}
"""Second names of functions that are written out, and the first ones."""

_ELSEWHERE: Mapping[str, str] = {"multi_dot": "linalg.multi_dot"}
"""Functions whose namespace is not that of their module's others."""

METHODS_ONLY = frozenset(
    {
        "contiguous",
        "dim",
        "expand",
        "expand_as",
        "ndimension",
        "nelement",
        "repeat",
        "reshape_as",
        "size",
        "sum_to_size",
        "unfold",
        "view",
        "view_as",
    }
)
"""Methods without a function of the name in PyTorch's namespace."""

FUNCTIONS_ONLY = (
    (frozenset(OF_NETWORKS) - {"hardshrink", "prelu"})
    | frozenset(network_functions.__all__)
    | frozenset(
        {
            "atleast_1d",
            "atleast_2d",
            "atleast_3d",
            "bilinear",
            "block_diag",
            "broadcast_shapes",
            "broadcast_tensors",
            "bucketize",
            "cdist",
            "cartesian_prod",
            "cat",
            "chain_matmul",
            "column_stack",
            "combinations",
            "complex",
            "cumulative_trapezoid",
            "gradient",
            "imag",
            "concat",
            "concatenate",
            "dstack",
            "einsum",
            "hstack",
            "meshgrid",
            "polar",
            "real",
            "row_stack",
            "rsub",
            "searchsorted",
            "stack",
            "std_mean",
            "tensordot",
            "threshold",
            "trapezoid",
            "trapz",
            "unravel_index",
            "vander",
            "var_mean",
            "view_as_complex",
            "view_as_real",
            "vstack",
        }
    )
)
"""Functions that are no methods."""

# -- functions from ops -----------------------------------------------------------------------------------------------


def _described(function: Function, name: str, op: Op) -> Function:
    function.__name__ = name.rpartition(".")[2]
    function.__qualname__ = function.__name__
    function.__module__ = __name__
    function.__doc__ = op.doc
    return function


def _made(op: Op, name: str, make: Function) -> Function:
    return _described(make(op, refusal(name.rpartition(".")[2])), name, op)


def _from_op(op: Op) -> dict[str, Function]:
    """The functions of an elementwise op under each of PyTorch's names for it."""
    count = len(op.partials) if isinstance(op.partials, tuple) else 0
    make = {1: single, 2: pair}.get(count)
    if op.kind not in (Kind.MAP, Kind.LINE, Kind.MATRIX, Kind.OPAQUE) or make is None:
        return {}
    return {name: _made(op, name, make) for name in op.torch[0].split()}


def _collect() -> tuple[dict[str, Function], dict[str, Function]]:
    """The functions made from ops, which say themselves what they refuse, and those written out."""
    made: dict[str, Function] = {}
    for module in OPS:
        for value in vars(module).values():
            if isinstance(value, Op):
                made |= _from_op(value)
    written = {name: getattr(functional, name) for name in OF_NETWORKS}
    for prefix, module in FAMILIES:
        written |= {_ELSEWHERE.get(name, prefix + name): getattr(module, name) for name in module.__all__}
    # functions written out know more of PyTorch's arguments than those made from ops
    both = made | written
    return made, written | {name: both[first] for name, first in ALIASES.items()}


_MADE, _WRITTEN = _collect()
_EXPLAINED = {function: explained(function) for function in _WRITTEN.values()}

SURFACE: Mapping[str, Function] = MappingProxyType(
    dict(sorted((_MADE | {name: _EXPLAINED[f] for name, f in _WRITTEN.items()}).items()))
)
"""What PyTorch calls it, and the function; the first argument of most is ``input``."""

# -- methods ----------------------------------------------------------------------------------------------------------


def _where(self: Any, condition: Any, other: Any) -> Any:
    """The elements where the condition holds, those of ``other`` elsewhere."""
    return indexing.where(condition, self, other)


def _polygamma(self: Any, n: int) -> Any:
    """The ``n``-th derivative of digamma."""
    return pointwise.polygamma(n, self)


_OTHERWISE: Mapping[str, Function] = {
    "bernoulli": random.bernoulli,
    "is_nonzero": inquiry.is_nonzero,
    "multinomial": random.multinomial,
    "polygamma": _polygamma,
    "where": _where,
}
"""Methods whose tensor is not the function's first argument, or whose function is in no family."""

_PLAIN: Mapping[str, Function] = MappingProxyType(
    {name: f for name, f in sorted((_MADE | _WRITTEN).items()) if "." not in name and name not in FUNCTIONS_ONLY}
    | dict(_OTHERWISE)
)


def _as_method(name: str, called: str) -> Function:
    """A method that names what is no tensor among its arguments; one that takes no other tensor costs no more than before."""
    function = _PLAIN[name]
    made = name in _MADE and name not in _WRITTEN
    return function if made or not takes_other_tensors(function) else explained(function, method=True, name=called)


METHODS: Mapping[str, Function] = MappingProxyType({name: _as_method(name, name) for name in _PLAIN})
"""Methods of tensors, by name."""

_WRITERS = """
    abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr arccos arccosh arcsin arcsinh arctan
    arctan2 arctanh asin asinh atan atan2 atanh baddbmm bitwise_and bitwise_not bitwise_or bitwise_xor ceil
    clamp clamp_max clamp_min clip conj_physical copysign cos cosh cumprod cumsum deg2rad digamma div divide eq erf erfc
    erfinv exp exp2 expm1 fix float_power floor floor_divide fmod frac ge greater greater_equal gt heaviside
    hypot i0 igamma igammac index_add index_copy index_fill index_put index_reduce ldexp le lerp less less_equal
    lgamma log log10 log1p log2 logical_and logical_not logical_or logical_xor logit lt masked_fill
    masked_scatter mul multiply mvlgamma nan_to_num ne neg negative not_equal polygamma pow put rad2deg reciprocal relu
    remainder round rsqrt scatter scatter_add scatter_reduce sgn sigmoid sign sin sinc sinh sqrt square sub
    subtract tan tanh tril triu true_divide trunc xlogy
"""

IN_PLACE: tuple[str, ...] = tuple(name for name in _WRITERS.split() if name in METHODS)
"""Methods that exist with a trailing underscore, writing to their tensor."""


_WRITING_METHODS: Mapping[str, Function] = MappingProxyType(
    {
        **{f"{name}_": in_place.in_place(f"{name}_", _as_method(name, f"{name}_")) for name in IN_PLACE},
        **{name: getattr(in_place, name) for name in ("fill_", "fill_diagonal_", "zero_")},
        "copy_": explained(in_place.copy_, method=True),
        **SHAPE_CHANGES,
    }
)

_WRITING_FUNCTIONS = """
    abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ atan_ atanh_ ceil_ clamp_
    clamp_max_ clamp_min_ clip_ conj_physical_ cos_ cosh_ deg2rad_ erf_ erfc_ exp2_ exp_ expm1_ fill_ fix_ floor_ frac_
    i0_ index_put_ ldexp_ log10_ log1p_ log2_ log_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ relu_ round_
    rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_ zero_
"""
"""The writing methods that PyTorch has as functions, too."""

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {name: f for name, f in SURFACE.items() if "." not in name and name not in METHODS_ONLY}
    | {name: explained(_WRITING_METHODS[name]) for name in _WRITING_FUNCTIONS.split()}
)
"""The functions of the namespace itself, by name."""


def _turned(self: Any) -> Any:
    """The dims in reverse order."""
    return shapes.permute(self, tuple(reversed(range(shapes.dim(self)))))


def _matrices_turned(self: Any) -> Any:
    """The last two dims swapped."""
    return shapes.transpose(self, -2, -1)


def _hermitian(self: Any) -> Any:
    """The conjugate of a matrix with its dims swapped."""
    ndim = shapes.dim(self)
    if ndim not in (0, 2):
        raise ShapeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {ndim}-D tensor.",
            fix="for batches of matrices, consider using x.mH",
            where=user_frame(),
        )
    return complexes.adjoint(self) if ndim else complexes.conj(self)


_PROPERTIES: Mapping[str, Function] = {
    "H": _hermitian,
    "T": _turned,
    "imag": complexes.imag,
    "mH": complexes.adjoint,
    "mT": _matrices_turned,
    "real": complexes.real,
}


def _set_part(part: Function) -> Function:
    """What assigning to a part of a complex tensor does: a write to its storage."""

    def assign(self: Any, value: Any) -> None:
        write = in_place.copy_ if getattr(value, "bind_rank", 0) else in_place.fill_
        write(part(self), value)

    return assign


_SETTERS: Mapping[str, Function] = {"real": _set_part(complexes.real), "imag": _set_part(complexes.imag)}


def _swapped(function: Function) -> Function:
    """A binary function with its operands the other way round."""
    return lambda self, other: function(other, self)


_OPERATORS: Mapping[str, Function] = {
    "__getitem__": indexing.getitem,
    "__matmul__": matrices.matmul,
    "__rmatmul__": _swapped(matrices.matmul),
    "__pow__": pointwise.pow,
    "__rpow__": _swapped(pointwise.pow),
    "__mod__": pointwise.remainder,
    "__rmod__": _swapped(pointwise.remainder),
    "__rsub__": pointwise.rsub,
}
"""Operators that PyTorch records under names of their own."""


def with_methods(cls: C) -> C:
    """Give a class of tensors PyTorch's methods; names that it defines itself stay.

    Names with a trailing underscore write through the class's ``_become(result, other, writer)``.
    """
    own = set(vars(cls))
    given: dict[str, Any] = {
        **METHODS,
        **_WRITING_METHODS,
        # the example is one of the function
        **{name: property(f, _SETTERS.get(name), None, str(f.__doc__).partition("\n")[0]) for name, f in _PROPERTIES.items()},
        **_OPERATORS,
    }
    for name, value in given.items():
        if name not in own:
            setattr(cls, name, value)
    return cls


def signature_of(name: str) -> str:
    """A function's name and arguments as the docs show them.

    >>> signature_of("lerp")
    'lerp(input, end, weight)'
    """
    parameters = inspect.signature(SURFACE[name]).parameters.values()
    return f"{name}({', '.join(str(p.replace(annotation=inspect.Parameter.empty)) for p in parameters)})"
