"""A slow path that few elements take, beside a fast one that the loop vectoriser still widens.

A call in a loop's body stops LLVM's vectoriser unless it knows a vector form of the callee. So we give it one: the
slow function carries LLVM's ``vector-function-abi-variant`` attribute, which names its forms for 2 to 16 lanes. Each
takes a mask, returns at once when no bit is set, and otherwise calls the scalar function for the lanes that are.
Measured on sin over 10**5 float64: 1.3 ns an element, against 3.8 when every element takes the slow path, 1.0 with no
slow path at all, and 9.2 for NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from tracegrad.codegen.mathlib_lane import Lane

_LANES = (2, 4, 8, 16)
# weak_odr: one definition is kept where modules are linked, and none is dropped before the vectoriser has seen its
# name.
_LINKAGE = "weak_odr"
_ATTRIBUTES = ("noinline", "nounwind", "readnone")


def replace_rarely(usual: Lane, rare: Lane, x: Lane, name: str, formula: Callable[[Lane], Lane]) -> Lane:
    """Give `usual`, but formula(x) where the condition `rare` holds; `name` is the formula's own, without its type."""
    builder = x.builder
    before = builder.block
    function = _scalar_function(builder.module, f"tracegrad.{name}.f{x.format.width}", x.value.type, formula)
    with builder.if_then(rare.value, likely=False):
        replacement = builder.call(function, [x.value])
        after = builder.block
    result = builder.phi(x.value.type)
    result.add_incoming(usual.value, before)
    result.add_incoming(replacement, after)
    return Lane(builder, result)


def _define(module: Any, name: str, kind: Any) -> Any:
    function = ir.Function(module, kind, name)
    function.linkage = _LINKAGE
    for attribute in _ATTRIBUTES:
        function.attributes.add(attribute)
    return function


def _scalar_function(module: Any, name: str, kind: Any, formula: Callable[[Lane], Lane]) -> Any:
    function = module.globals.get(name)
    if function is None:
        function = _define(module, name, ir.FunctionType(kind, [kind]))
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        builder.ret(formula(Lane(builder, function.args[0])).value)
        for lanes in _LANES:
            _vector_function(module, function, lanes)
        # llvmlite refuses attributes it does not list, and lists none with a value; its set is a set all the same.
        forms = ",".join(f"_ZGV_LLVM_M{lanes}v_{name}({name}.x{lanes})" for lanes in _LANES)
        set.add(function.attributes, f'"vector-function-abi-variant"="{forms}"')
    return function


def _vector_function(module: Any, scalar: Any, lanes: int) -> None:
    """(vector, mask) -> the vector with the scalar function applied where the mask is set."""
    vector = ir.VectorType(scalar.function_type.return_type, lanes)
    mask = ir.VectorType(ir.IntType(1), lanes)
    function = _define(module, f"{scalar.name}.x{lanes}", ir.FunctionType(vector, [vector, mask]))
    values, chosen = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    no_lane, some_lane = function.append_basic_block("none"), function.append_basic_block("some")
    word = ir.IntType(lanes)
    builder.cbranch(builder.icmp_unsigned("==", builder.bitcast(chosen, word), ir.Constant(word, 0)), no_lane, some_lane)
    builder.position_at_end(no_lane)
    builder.ret(values)
    builder.position_at_end(some_lane)
    result = values
    for lane in range(lanes):
        index = ir.Constant(ir.IntType(32), lane)
        before = builder.block
        with builder.if_then(builder.extract_element(chosen, index)):
            value = builder.call(scalar, [builder.extract_element(values, index)])
            replaced = builder.insert_element(result, value, index)
            after = builder.block
        merged = builder.phi(vector)
        merged.add_incoming(result, before)
        merged.add_incoming(replaced, after)
        result = merged
    builder.ret(result)
