"""Matrix product for kernels: register tiles in vector IR, and the loops around them.

A tile of the product is kept in registers while its sum runs: ``ROWS × 2`` vectors, each step loading two vectors of
one operand and broadcasting ``ROWS`` elements of the other, which is packed so that they are neighbours.

Sums run in an order that depends on the sizes alone. Imported by generated programs only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as ll
import numba
from llvmlite import ir
from numba import extending
from numba.core import cgutils, types

# Numba's own annotations know neither all options nor what an intrinsic takes.
njit: Any = numba.njit
intrinsic: Any = extending.intrinsic
settings: Any = numba.config

WORD = ir.IntType(64)

# ---------------------------------------------------------------- what the processor offers


def _features() -> dict[str, bool]:
    """Return the processor's features that Numba compiles for."""
    if settings.CPU_FEATURES is not None:
        return {name[1:]: name[0] == "+" for name in settings.CPU_FEATURES.split(",") if name}
    return dict(ll.get_host_cpu_features())


def _shape() -> tuple[int, int, bool]:
    """Return (bytes of a vector, rows of a tile, whether products and sums fuse)."""
    features = _features()
    if features.get("avx512f"):
        return 64, 12, True
    if features.get("avx"):
        return 32, 6, bool(features.get("fma"))
    return (16, 8, True) if features.get("neon") else (16, 6, False)


VECTOR_BYTES, ROWS, FUSED = _shape()
DOT_ROWS, DOT_COLUMNS = (4, 4) if VECTOR_BYTES == 64 else (3, 3)

DEPTH = 256
"""Steps of the sum for which a block of the first operand stays in the second-level cache."""
BLOCK_ROWS = 48
BLOCK_COLUMNS = 512


def helper(function: Callable[..., Any]) -> Any:
    """Make a function that kernels call: compiled with them."""
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, nogil=True, error_model="numpy", fastmath={"contract"})(
        function
    )


# ---------------------------------------------------------------- tiles


@intrinsic
def offset(typing_context: Any, pointer: Any, elements: Any) -> Any:
    """The pointer moved by a number of elements."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]], inbounds=True)

    return pointer(pointer, types.intp), codegen


@intrinsic
def stands_alone(typing_context: Any) -> Any:
    """Keep the helper that this is written in one function, optimised for size: it spares most of the compile time."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        builder.function.attributes.add("optsize")
        return context.get_dummy_value()

    return types.none(), codegen


@intrinsic
def tile_rows(typing_context: Any) -> Any:
    """``ROWS``, not as a literal, for which Numba would compile the callee again."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(WORD, ROWS)

    return types.intp(), codegen


@intrinsic
def vector_length(typing_context: Any, pointer: Any) -> Any:
    """How many elements of the pointer's type a vector holds."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(WORD, _lanes(signature.args[0].dtype))

    return types.intp(pointer), codegen


def _lanes(dtype: Any) -> int:
    return VECTOR_BYTES * 8 // int(dtype.bitwidth)


class _Tile:
    """Emits the parts that tiles share."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.builder = builder
        self.element = context.get_value_type(dtype)
        self.lanes = _lanes(dtype)
        self.vector = ir.VectorType(self.element, self.lanes)
        self.bytes = dtype.bitwidth // 8

    def load(self, pointer: Any, index: Any, more: int = 0) -> Any:
        """A vector from unaligned memory."""
        place = self.builder.gep(pointer, [self.builder.add(index, ir.Constant(WORD, more))], inbounds=True)
        return self.builder.load(self.builder.bitcast(place, self.vector.as_pointer()), align=self.bytes)

    def store(self, value: Any, pointer: Any, index: Any, more: int) -> None:
        """A vector to unaligned memory."""
        place = self.builder.gep(pointer, [self.builder.add(index, ir.Constant(WORD, more))], inbounds=True)
        self.builder.store(value, self.builder.bitcast(place, self.vector.as_pointer()), align=self.bytes)

    def splat(self, scalar: Any) -> Any:
        """A vector of one number."""
        empty = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, empty, mask)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """``a * b + c``."""
        if not FUSED:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        return self.builder.call(self.intrinsic("llvm.fma", self.vector, [self.vector] * 3), [a, b, c])

    def intrinsic(self, name: str, result: Any, arguments: list[Any]) -> Any:
        """LLVM's function of this name for this tile's vectors."""
        full = f"{name}.v{self.lanes}f{self.bytes * 8}"
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), full)

    def sum(self, value: Any) -> Any:
        """The sum of a vector's elements."""
        function = self.intrinsic("llvm.vector.reduce.fadd", self.element, [self.element, self.vector])
        return self.builder.call(function, [ir.Constant(self.element, 0.0), value], fastmath=("reassoc",))

    def loop(self, steps: Any, stride: int, count: int, step: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """Run ``step(index, sums) -> sums`` for the indices below ``steps``; returns ``count`` sums that began as 0."""
        builder = self.builder
        before = builder.block
        head, body = builder.append_basic_block("tile.head"), builder.append_basic_block("tile.body")
        after = builder.append_basic_block("tile.after")
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(WORD)
        index.add_incoming(ir.Constant(WORD, 0), before)
        sums = [builder.phi(self.vector) for _ in range(count)]
        for phi in sums:
            phi.add_incoming(ir.Constant(self.vector, [0.0] * self.lanes), before)
        builder.cbranch(builder.icmp_signed("<", index, steps), body, after)
        builder.position_at_end(body)
        following = step(index, sums)
        index.add_incoming(builder.add(index, ir.Constant(WORD, stride)), builder.block)
        for phi, value in zip(sums, following, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return sums


def _own_function(builder: Any, name: str, args: Any, emit: Callable[[Any, Any], None]) -> None:
    """Call a function of the module that ``emit(builder, arguments)`` writes once."""
    kind = ir.FunctionType(ir.VoidType(), [arg.type for arg in args])
    module = builder.module
    function = module.globals.get(name)
    if function is None:
        function = ir.Function(module, kind, name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        inside = ir.IRBuilder(function.append_basic_block("entry"))
        emit(inside, function.args)
        inside.ret_void()
    builder.call(function, args)


def _product_tile(context: Any, builder: Any, dtype: Any, args: Any, steps_of_b: Callable[[Any, Any], Any]) -> None:
    """Emit ``c[i, j] (+)= Σ_k a[k * ROWS + i] * b[steps_of_b(k) + j]``."""
    a, b, depth, c, row_stride, accumulate = args
    tile = _Tile(context, builder, dtype)

    def step(k: Any, sums: list[Any]) -> list[Any]:
        at = steps_of_b(builder, k)
        columns = [tile.load(b, at, v * tile.lanes) for v in range(2)]
        first = builder.mul(k, ir.Constant(WORD, ROWS))
        following = []
        for i in range(ROWS):
            place = builder.gep(a, [builder.add(first, ir.Constant(WORD, i))], inbounds=True)
            row = tile.splat(builder.load(place))
            following += [tile.multiply_add(row, columns[v], sums[2 * i + v]) for v in range(2)]
        return following

    sums = tile.loop(depth, 1, 2 * ROWS, step)
    places = [(builder.mul(row_stride, ir.Constant(WORD, i)), v) for i in range(ROWS) for v in range(2)]
    adding = builder.icmp_signed("!=", accumulate, ir.Constant(WORD, 0))
    with builder.if_else(adding) as (add, overwrite):
        with add:
            for (at, v), value in zip(places, sums, strict=True):
                tile.store(builder.fadd(tile.load(c, at, v * tile.lanes), value), c, at, v * tile.lanes)
        with overwrite:
            for (at, v), value in zip(places, sums, strict=True):
                tile.store(value, c, at, v * tile.lanes)


def _dot_tile(context: Any, builder: Any, dtype: Any, args: Any) -> None:
    """Emit ``c[i * DOT_COLUMNS + j] = Σ_s a[i * row_stride + s] * b[offsets[j] + s]``."""
    first, stride, second, table, count, out = args
    tile = _Tile(context, builder, dtype)
    rows = [builder.mul(stride, ir.Constant(WORD, i)) for i in range(DOT_ROWS)]
    begins = [builder.load(builder.gep(table, [ir.Constant(WORD, j)])) for j in range(DOT_COLUMNS)]

    def step(s: Any, sums: list[Any]) -> list[Any]:
        left = [tile.load(first, builder.add(row, s)) for row in rows]
        right = [tile.load(second, builder.add(begin, s)) for begin in begins]
        pairs = [(x, y) for x in left for y in right]
        return [tile.multiply_add(x, y, total) for (x, y), total in zip(pairs, sums, strict=True)]

    sums = tile.loop(count, tile.lanes, DOT_ROWS * DOT_COLUMNS, step)
    for place, value in enumerate(sums):
        builder.store(tile.sum(value), builder.gep(out, [ir.Constant(WORD, place)]))


@intrinsic
def packed_tile(typing_context: Any, a: Any, b: Any, depth: Any, c: Any, row_stride: Any, accumulate: Any) -> Any:
    """``c (+)= a @ b`` for one tile, both operands packed."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dtype = signature.args[0].dtype
        width = ir.Constant(WORD, 2 * _lanes(dtype))

        def emit(inside: Any, own: Any) -> None:
            _product_tile(context, inside, dtype, own, lambda b, k: b.mul(k, width))

        _own_function(builder, f"tracegrad.packed_tile.{dtype}", args, emit)
        return context.get_dummy_value()

    return types.none(a, b, types.intp, c, types.intp, types.intp), codegen


@intrinsic
def offset_tile(typing_context: Any, a: Any, b: Any, offsets: Any, depth: Any, c: Any, row_stride: Any) -> Any:
    """``c = a @ b`` for one tile; row k of ``b`` begins at ``offsets[k]``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dtype = signature.args[0].dtype

        def emit(inside: Any, own: Any) -> None:
            first, second, table, steps, out, stride = own
            plain = (first, second, steps, out, stride, ir.Constant(WORD, 0))
            _product_tile(context, inside, dtype, plain, lambda b, k: b.load(b.gep(table, [k], inbounds=True)))

        _own_function(builder, f"tracegrad.offset_tile.{dtype}", args, emit)
        return context.get_dummy_value()

    return types.none(a, b, offsets, types.intp, c, types.intp), codegen


@intrinsic
def dot_tile(typing_context: Any, a: Any, row_stride: Any, b: Any, offsets: Any, steps: Any, c: Any) -> Any:
    """``c[i * DOT_COLUMNS + j] = Σ_s a[i * row_stride + s] * b[offsets[j] + s]``, vectors running along the sum."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dtype = signature.args[0].dtype
        _own_function(builder, f"tracegrad.dot_tile.{dtype}", args, lambda b, own: _dot_tile(context, b, dtype, own))
        return context.get_dummy_value()

    return types.none(a, types.intp, b, offsets, types.intp, c), codegen


# ---------------------------------------------------------------- matrix product


@helper
def pack(source, stride, along, count, steps, width, packed):  # type: ignore[no-untyped-def]
    """Store ``source[i * stride + k * along]`` as panels of ``width`` neighbours i for each k, filled up with 0."""
    stands_alone()
    for panel in range(0, count, width):
        into = offset(packed, panel * steps)
        have = min(width, count - panel)
        begin = offset(source, panel * stride)
        if have < width:
            for place in range(steps * width):
                into[place] = 0
        if along == 1:
            for i in range(have):
                for k in range(steps):
                    into[k * width + i] = begin[i * stride + k]
        elif stride == 1:
            for k in range(steps):
                for i in range(have):
                    into[k * width + i] = begin[k * along + i]
        else:
            for k in range(steps):
                for i in range(have):
                    into[k * width + i] = begin[i * stride + k * along]


@helper
def gemm(a, a_row, a_col, b, b_row, b_col, c, c_row, c_col, m, n, depth, first, last, scratch):  # type: ignore[no-untyped-def]
    """Compute the blocks ``first ≤ block < last`` of ``c = a @ b``; blocks of rows count fastest."""
    stands_alone()
    width = 2 * vector_length(a)
    row_blocks = (m + BLOCK_ROWS - 1) // BLOCK_ROWS
    b_packed = scratch
    a_packed = offset(b_packed, min(BLOCK_COLUMNS, (n + 63) // 64 * 64) * min(DEPTH, depth))
    edge = offset(a_packed, 2 * BLOCK_ROWS * min(DEPTH, depth))
    block = first
    while block < last:
        column_block = block // row_blocks
        stop = min(last, (column_block + 1) * row_blocks)
        row_begin = (block - column_block * row_blocks) * BLOCK_ROWS
        row_end = min(m, (stop - column_block * row_blocks) * BLOCK_ROWS)
        column_begin = column_block * BLOCK_COLUMNS
        columns = min(BLOCK_COLUMNS, n - column_begin)
        if depth == 0:
            for i in range(row_begin, row_end):
                for j in range(column_begin, column_begin + columns):
                    c[i * c_row + j * c_col] = 0
        for k in range(0, depth, DEPTH):
            steps = min(DEPTH, depth - k)
            pack(offset(b, k * b_row + column_begin * b_col), b_col, b_row, columns, steps, width, b_packed)
            for top in range(row_begin, row_end, 2 * BLOCK_ROWS):
                rows = min(2 * BLOCK_ROWS, row_end - top)
                pack(offset(a, top * a_row + k * a_col), a_row, a_col, rows, steps, tile_rows(), a_packed)
                for j in range(0, columns, width):
                    for i in range(0, rows, ROWS):
                        into = offset(c, (top + i) * c_row + (column_begin + j) * c_col)
                        left, right = offset(a_packed, i * steps), offset(b_packed, j * steps)
                        if c_col == 1 and i + ROWS <= rows and j + width <= columns:
                            packed_tile(left, right, steps, into, c_row, k)
                        else:
                            packed_tile(left, right, steps, edge, width, 0)
                            copy_tile(edge, width, into, c_row, c_col, min(ROWS, rows - i), min(width, columns - j), k)
        block = stop


@helper
def copy_tile(tile, width, c, c_row, c_col, rows, columns, accumulate):  # type: ignore[no-untyped-def]
    """Store the part of a tile that lies in the result."""
    stands_alone()
    for i in range(rows):
        for j in range(columns):
            place = i * c_row + j * c_col
            c[place] = tile[i * width + j] + c[place] if accumulate else tile[i * width + j]
