"""Sums over rows or columns of matrix products: they are products of sums, which take a tenth of the work and no memory.

The gradient of what was broadcast into a product is such a sum, and the product is read by nothing else.
"""

from __future__ import annotations

from tracegrad.core.aval import Shape
from tracegrad.ops.broadcasting import reduce_sum, reshape_to
from tracegrad.ops.contractions import matmul_batched
from tracegrad.ops.maps import negative
from tracegrad.ops.views import permute
from tracegrad.rewrite.pattern import Application, Rule, example, family, parameter, rule
from tracegrad.symbolic import Sym


def _summed(x: Sym, axis: int) -> Sym:
    """The sum along an axis, which stays as one of size 1."""
    axis %= len(x.shape)
    whole: Sym = reshape_to(reduce_sum(x, axes=(axis,)), shape=(*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    return whole


def _product_of_sums(product: Application, axes: Shape) -> Sym:
    a, b = product.operands
    last = len(a.shape) - 1
    if last - 1 in axes:
        a = _summed(a, last - 1)
    if last in axes:
        b = _summed(b, last)
    whole = matmul_batched(a, b)
    batch = tuple(k for k in axes if k < last - 1)
    whole = reduce_sum(whole, axes=batch) if batch else whole
    result: Sym = reshape_to(whole, shape=tuple(n for k, n in enumerate(product.aval.shape) if k not in axes))
    return result


def _sums_many(product: Application, axes: Shape) -> bool:
    rows, columns = product.aval.shape[-2:]
    last = len(product.aval.shape) - 1
    return (last - 1 in axes and rows > 1) or (last in axes and columns > 1)


def _in_order(order: Shape, axes: Shape) -> bool:
    """Whether the axes that a transposed value's sum keeps have the order they had before."""
    kept = [a for k, a in enumerate(order) if k not in axes]
    return kept == sorted(kept)


RULES: tuple[Rule, ...] = (
    rule(
        "sum-of-negative",
        "stabilise",
        lambda: reduce_sum(family("node", negative, once=True), axes=parameter("axes")),
        lambda node, axes: -reduce_sum(node.operands[0], axes=axes),
        examples=[example(lambda x: reduce_sum(-x, axes=(1,)), (3, 4))],
    ),
    rule(
        "sum-of-transposed-product",
        "stabilise",
        lambda: reduce_sum(
            permute(family("product", matmul_batched, once=True), axes=parameter("order")), axes=parameter("axes")
        ),
        lambda product, order, axes: reduce_sum(product.on(product.operands), axes=tuple(sorted(order[a] for a in axes))),
        when=_in_order,
        examples=[example(lambda x, y: reduce_sum(permute(matmul_batched(x, y), axes=(1, 0)), axes=(0,)), (3, 2), (2, 4))],
    ),
    rule(
        "sum-of-product",
        "rearrange",
        lambda: reduce_sum(family("product", matmul_batched, once=True), axes=parameter("axes")),
        _product_of_sums,
        when=_sums_many,
        examples=[
            example(lambda x, y: reduce_sum(matmul_batched(x, y), axes=(0,)), (3, 2), (2, 4)),
            example(lambda x, y: reduce_sum(matmul_batched(x, y), axes=(0, 2)), (5, 3, 2), (5, 2, 4)),
            example(lambda x, y: reduce_sum(matmul_batched(x, y), axes=(1, 2)), (5, 3, 2), (5, 2, 4)),
        ],
    ),
)
