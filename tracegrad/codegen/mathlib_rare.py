"""A slow formula for the few elements that need it, beside a fast one that the loop vectoriser still widens.

A branch in a loop's body is a mask to LLVM's vectoriser, and both sides are computed; a call stops it unless it knows a
vector form of the callee. So we give it one: `replace_rarely` calls a function that carries LLVM's
``vector-function-abi-variant`` attribute, which names its forms for several widths. Each tests its lanes, and in the
usual case returns what it was given; else all lanes go through the slow formula, and the mask chooses. A block of rare
arguments costs two to three times a usual one.

With AVX-512 the convention ``intel_ocl_bicc`` makes the call cheap: OpenCL's for such functions, it keeps zmm16 to
zmm31, where C's keeps none and all coefficients are read again after the call. (With AVX2 it would keep ymm8 to ymm15,
but for the ``vzeroupper`` that LLVM puts into callees and before calls.) Measured on 10**4 float64: log takes 0.69 ns
an element, 0.65 with no treatment of special arguments at all, and 0.90 where they are selected among; sin takes 1.11,
and 1.31 with C's convention.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from tracegrad.codegen.mathlib_lane import Lane, select
from tracegrad.codegen.microkernels_ir import VECTOR_BYTES

_LANES = (4, 8, 16) if VECTOR_BYTES > 16 else (2, 4, 8)
# weak_odr: one definition is kept where modules are linked, and none is dropped before the vectoriser has seen its
# name.
_LINKAGE = "weak_odr"
# In the names: where a process has loaded several objects, one definition serves them all, be they a user's own cached
# functions made with another version. To be raised with every change of a slow formula or of what it takes.
_EDITION = 2
_CONVENTION = "intel_ocl_bicc" if VECTOR_BYTES == 64 else ""
_ATTRIBUTES = ("nounwind", "noinline", "readnone")

Condition = Callable[..., Lane]
Formula = Callable[..., Lane]


def replace_rarely(usual: Lane, operands: Sequence[Lane], name: str, rare: Condition, formula: Formula) -> Lane:
    """Give `usual`, but formula(*operands) where rare(*operands); `name` is the formula's own, without its type."""
    kind, module = usual.value.type, usual.builder.module
    full_name = f"tracegrad.{_EDITION}.{name}.f{usual.format.width}"
    function = module.globals.get(full_name)
    if function is None:
        arity = len(operands)
        slow = _slow(module, full_name, ir.VectorType(kind, VECTOR_BYTES * 8 // usual.format.width), arity, rare, formula)
        function = _choice(module, full_name, kind, arity, rare, slow)
        for lanes in _LANES:
            _choice(module, f"{full_name}.x{lanes}", ir.VectorType(kind, lanes), arity, rare, slow)
        # llvmlite refuses attributes it does not list, and lists none with a value; its set is a set all the same.
        forms = ",".join(f"_ZGV_LLVM_N{n}v{'v' * arity}_{full_name}({full_name}.x{n})" for n in _LANES)
        set.add(function.attributes, f'"vector-function-abi-variant"="{forms}"')
    values = [usual.value, *(x.value for x in operands)]
    return Lane(usual.builder, usual.builder.call(function, values, cconv=_CONVENTION))


def _define(module: Any, name: str, kind: Any, arity: int) -> Any:
    function = ir.Function(module, ir.FunctionType(kind, [kind] * arity), name)
    function.linkage = _LINKAGE
    function.calling_convention = _CONVENTION
    for attribute in _ATTRIBUTES:
        function.attributes.add(attribute)
    return function, ir.IRBuilder(function.append_basic_block("entry"))


def _slow(module: Any, name: str, vector: Any, arity: int, rare: Condition, formula: Formula) -> Any:
    """(usual, x, …) -> the slow formula of (x, …) where they are rare, for one register: it serves every width."""
    function, builder = _define(module, f"{name}.slow", vector, arity + 1)
    usual, *operands = (Lane(builder, x) for x in function.args)
    builder.ret(select(rare(*operands), formula(*operands), usual).value)
    return function


def _choice(module: Any, name: str, kind: Any, arity: int, rare: Condition, slow: Any) -> Any:
    """(usual, x, …) -> usual, or what the slow function makes of it; of a scalar or a vector.

    Nothing lives on beyond the slow call: the usual way then has no register to save.
    """
    function, builder = _define(module, name, kind, arity + 1)
    some = rare(*(Lane(builder, x) for x in function.args[1:])).value
    if isinstance(kind, ir.VectorType):
        word = ir.IntType(kind.count)
        some = builder.icmp_unsigned("!=", builder.bitcast(some, word), ir.Constant(word, 0))
        if kind.count > slow.args[0].type.count:
            slow = _twice(module, f"{name}.slow", kind, arity, slow)
    with builder.if_then(some, likely=False):
        builder.ret(_call_slow(builder, slow, function.args))
    builder.ret(function.args[0])
    return function


def _twice(module: Any, name: str, kind: Any, arity: int, slow: Any) -> Any:
    """The slow function of twice as many elements, or four times, or eight."""
    half = ir.VectorType(kind.element, kind.count // 2)
    if half != slow.args[0].type:
        slow = _twice(module, f"{name}.half", half, arity, slow)
    function, builder = _define(module, name, kind, arity + 1)
    parts = []
    for start in (0, half.count):
        operands = [_shuffle(builder, x, range(start, start + half.count)) for x in function.args]
        parts.append(builder.call(slow, operands, cconv=_CONVENTION))
    builder.ret(_shuffle(builder, parts[0], range(kind.count), parts[1]))
    return function


def _call_slow(builder: Any, slow: Any, operands: Sequence[Any]) -> Any:
    """The slow function applied to as many elements as it takes, or fewer, the first filling the rest."""
    kind, lanes = operands[0].type, slow.args[0].type.count
    first, nothing = ir.Constant(ir.IntType(32), 0), ir.Constant(slow.args[0].type, ir.Undefined)
    if isinstance(kind, ir.VectorType):
        if kind.count == lanes:
            return builder.call(slow, operands, cconv=_CONVENTION, tail=True)
        places = [k if k < kind.count else 0 for k in range(lanes)]
        filled = [_shuffle(builder, x, places) for x in operands]
        return _shuffle(builder, builder.call(slow, filled, cconv=_CONVENTION), range(kind.count))
    filled = [_shuffle(builder, builder.insert_element(nothing, x, first), [0] * lanes) for x in operands]
    return builder.extract_element(builder.call(slow, filled, cconv=_CONVENTION), first)


def _shuffle(builder: Any, vector: Any, places: Sequence[int], other: Any = None) -> Any:
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined) if other is None else other, mask)
