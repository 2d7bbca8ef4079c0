"""The words of the vocabulary that call SciPy's special functions, as :mod:`tracegrad.core.capsules` finds them.

Such a call takes 20 ns to some µs, and the loop around it is not vectorised; it holds no lock, so that threads share the work.
Results are SciPy's in either precision: its loops of float32 widen the operands and round the result, but for some functions
from Boost, ``betainc`` for one, which are other functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from tracegrad.codegen.kinds import FLOAT64, INT64, WORD, Scalar, common, convert
from tracegrad.codegen.writer import TranslationError, Typed, Writer
from tracegrad.core.capsules import SIGNATURES, WORD_PREFIX, CFunction, found, ufunc_of

DOUBLE = ir.DoubleType()


class External(NamedTuple):
    """A call of one of SciPy's functions; of several results it gives the one of a number."""

    function: CFunction
    result: int

    def emit(self, writer: Writer, arguments: list[Any]) -> Typed:
        """Write the call; it gives the type of the operands."""
        operands = self.function.letters
        if len(arguments) != len(operands) or not all(isinstance(value.kind, Scalar) for value in arguments):
            raise TranslationError(f"the function takes {len(operands)} numbers")
        kind = reduce(common, [v.kind for v, letter in zip(arguments, operands, strict=True) if letter == "d"])
        kind = kind if kind.kind == "f" else FLOAT64
        real = kind if self.function.single else FLOAT64
        targets = [INT64 if letter == "l" else real for letter in operands]
        values = [convert(writer.builder, v.value, v.kind, target) for v, target in zip(arguments, targets, strict=True)]
        call = _looped if self.function.is_loop else _pointed if self.function.results > 1 else _called
        return Typed(kind, convert(writer.builder, call(writer, self, values), real, kind))


def _declared(writer: Writer, name: str, kind: Any) -> Any:
    known = writer.module.globals.get(name)
    if known is not None:
        return known
    function = ir.Function(writer.module, kind, name)
    function.attributes.add("nounwind")
    return function


def _called(writer: Writer, word: External, values: list[Any]) -> Any:
    skip = ir.IntType(32)
    real = next(value.type for value in values if value.type != WORD)
    symbol = word.function.symbol if real == DOUBLE else word.function.single
    function = _declared(writer, symbol, ir.FunctionType(real, [*(value.type for value in values), skip]))
    # A pure function to LLVM: what does not change in a loop is called once before it.
    function.attributes.add("readnone")
    return writer.builder.call(function, [*values, ir.Constant(skip, 0)])


def _pointed(writer: Writer, word: External, values: list[Any]) -> Any:
    places = [writer.reserve(DOUBLE) for _ in range(word.function.results)]
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in (*values, *places)])
    writer.builder.call(_declared(writer, word.function.symbol, kind), [*values, *places])
    return writer.builder.load(places[word.result])


def _looped(writer: Writer, word: External, values: list[Any]) -> Any:
    """A ufunc's loop over one element: ``(addresses, counts, strides, data)``."""
    builder, function, rest = writer.builder, word.function, iter(values)
    places = []
    for letter in function.operands:
        given = [next(rest) for _ in range(2 if letter == "D" else 1)]
        places.append(writer.reserve(given[0].type, len(given)))
        for k, value in enumerate(given):
            builder.store(value, builder.gep(places[-1], [ir.Constant(WORD, k)]))
    made = [writer.reserve(DOUBLE, 2)] if function.is_complex else [writer.reserve(DOUBLE) for _ in range(function.results)]
    places += made
    count = len(places)
    addresses, sizes, strides = writer.reserve(WORD, count), writer.reserve(WORD), writer.reserve(WORD, count)
    for k, place in enumerate(places):
        at = [ir.Constant(WORD, k)]
        builder.store(builder.ptrtoint(place, WORD), builder.gep(addresses, at))
        builder.store(ir.Constant(WORD, 8), builder.gep(strides, at))  # of one element, so that none is taken
    builder.store(ir.Constant(WORD, 1), sizes)
    symbol, byte = word.function.symbol, ir.IntType(8)
    data = writer.module.globals.get(f"{symbol}.data") or ir.GlobalVariable(writer.module, byte, f"{symbol}.data")
    pointers = [WORD.as_pointer(), WORD.as_pointer(), WORD.as_pointer(), byte.as_pointer()]
    loop = _declared(writer, symbol, ir.FunctionType(ir.VoidType(), pointers))
    builder.call(loop, [addresses, sizes, strides, data])
    if function.is_complex:
        return builder.load(builder.gep(made[0], [ir.Constant(WORD, word.result)]))
    return builder.load(made[word.result])


def _twin(word: str, function: CFunction, result: int) -> Callable[..., Any]:
    """The word in Python; its ``helper`` is the native form."""
    ufunc = ufunc_of(function.name)

    def twin(*operands: Any) -> Any:
        floats = [np.asarray(o).dtype for o, letter in zip(operands, function.letters, strict=True) if letter == "d"]
        kind = np.result_type(*floats) if all(d.kind == "f" for d in floats) else np.dtype(np.float64)
        with np.errstate(all="ignore"):
            real = kind.type if function.single else np.float64
            each = [int(o) if letter == "l" else real(o) for o, letter in zip(operands, function.letters, strict=True)]
            rest = iter(each)
            given = [complex(next(rest), next(rest)) if letter == "D" else next(rest) for letter in function.operands]
            value = ufunc(*given)
        if function.is_complex:
            return kind.type((value.real, value.imag)[result])
        return kind.type(value[result] if function.results > 1 else value)

    twin.__name__ = twin.__qualname__ = word
    twin.helper = External(function, result)  # type: ignore[attr-defined]
    return twin


def _words() -> dict[str, Callable[..., Any]]:
    words = {}
    for signature, names in SIGNATURES.items():
        for name in names.split():
            results = int(signature.partition(":")[2] or 1)
            for word, k in [(f"{WORD_PREFIX}{name}{f'_{k}' if results > 1 else ''}", k) for k in range(results)]:
                function = found(word)
                if function is not None:
                    words[word] = _twin(word, function, k)
    return words


globals().update(_words())
