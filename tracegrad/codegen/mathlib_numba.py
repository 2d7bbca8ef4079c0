"""The functions of `mathlib` for use inside of njit: importing this module tells Numba of them.

They take float32 or float64 operands and give the same type, from the formulas that kernels have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import lower_builtin, type_callable

from tracegrad.codegen import mathlib
from tracegrad.codegen import mathlib_basic as basic
from tracegrad.codegen.mathlib_lane import Lane

__all__: list[str] = []


def _unify(context: Any, operands: tuple[Any, ...], integers: bool) -> Any:
    """The one operand type of a call: float32 stays, integers become float64 unless the function takes them."""
    kind = context.unify_types(*operands)
    if isinstance(kind, types.Float):
        return kind
    if isinstance(kind, (types.Integer, types.Boolean)):
        return kind if integers else types.float64
    return None


def _typer(arity: int, integers: bool, boolean_result: bool) -> Callable[[Any], Any]:
    def typing(context: Any) -> Any:
        def resolve(operands: tuple[Any, ...]) -> Any:
            kind = _unify(context, tuple(types.unliteral(operand) for operand in operands), integers)
            if kind is None:
                return None
            return (types.boolean if boolean_result else kind)(*[kind] * arity)

        # Numba reads the arity off the signature.
        return (lambda a: resolve((a,))) if arity == 1 else (lambda a, b: resolve((a, b)))

    return typing


def _lower(formula: mathlib.Formula, signed_argument: bool) -> Any:
    def lowering(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lanes = [Lane(builder, value) for value in values]
        if signed_argument:
            return formula(*lanes, signed=getattr(signature.args[0], "signed", False)).value
        return formula(*lanes).value

    return lowering


def _register(twin: Any, helper: mathlib.Helper) -> None:
    """Give a function of `mathlib` its meaning inside of njit."""
    type_callable(twin)(_typer(helper.arity, helper.integer is not None, helper.boolean_result))
    lower_builtin(twin, *[types.Float] * helper.arity)(_lower(helper.formula, signed_argument=False))
    if helper.integer is not None:
        for kind in (types.Integer, types.Boolean):
            lower_builtin(twin, *[kind] * helper.arity)(_lower(helper.integer, signed_argument=True))


for _twin in list(vars(mathlib).values()):
    if isinstance(_helper := getattr(_twin, "helper", None), mathlib.Helper):
        _register(_twin, _helper)


@type_callable(mathlib.block_end)
def _type_block_end(context: Any) -> Any:
    return lambda start, stop: types.int64(types.int64, types.int64)


@lower_builtin(mathlib.block_end, types.Integer, types.Integer)
def _lower_block_end(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    start, stop = (Lane(builder, value) for value in values)
    return basic.block_end(start, stop, mathlib.BLOCK, mathlib.GROUP).value


@type_callable(mathlib.where)
def _type_where(context: Any) -> Any:
    def typing(condition: Any, a: Any, b: Any) -> Any:
        kind = context.unify_types(types.unliteral(a), types.unliteral(b))
        return None if kind is None else kind(types.boolean, kind, kind)

    return typing


@lower_builtin(mathlib.where, types.Boolean, types.Any, types.Any)
def _lower_where(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    return builder.select(*values)
