"""Attention: weighted means of values, with weights by how keys agree with queries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import Shape, broadcast_shapes, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.nn.functional.common import refused
from tracegrad.eager.nn.functional.dropout import dropout
from tracegrad.errors import DtypeError
from tracegrad.functional.activations import peak_of
from tracegrad.ops.assembly import repeat
from tracegrad.ops.contractions import matmul
from tracegrad.ops.maps import add, exp, multiply, select
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.views import transpose

__all__ = ["scaled_dot_product_attention"]


def _weights(query: Any, key: Any, mask: Any, causal: bool, scale: float) -> Any:
    """The softmax of the scaled products; rows in which everything is masked are 0."""
    ndim = len(shape_of(key))
    scores = multiply(matmul(query, transpose(key, (*range(ndim - 2), ndim - 1, ndim - 2))), scale)
    if causal:
        rows, columns = shape_of(scores)[-2:]
        scores = select(np.tri(rows, columns, dtype=bool), scores, -math.inf)
    if mask is not None:
        scores = select(mask, scores, -math.inf) if mask.dtype.kind == "b" else add(scores, mask)
    each = exp(scores - peak_of(scores, -1))
    total = sum_of(each, -1, keepdims=True)
    return each / select(total == 0, 1, total)


@recorded_as("ScaledDotProductFlashAttentionForCpuBackward0")
def _attention(query: Any, key: Any, value: Any, mask: Any, causal: bool, scale: float) -> Any:
    return matmul(_weights(query, key, mask, causal, scale), value)


_safe_weights = recorded_as("SafeSoftmaxBackward0")(_weights)
_mm = recorded_as("MmBackward0")(matmul)
_stacked = recorded_as("UnsafeViewBackward0")(matmul)


def _check(query: Any, key: Any, value: Any, mask: Any) -> None:
    q, k, v = shape_of(query), shape_of(key), shape_of(value)
    if min(map(len, (q, k, v))) < 2:
        raise refused(
            f"scaled_dot_product_attention: Expected query, key, and value to all be at least 2 dimensional, but got "
            f"{list(q)}, {list(k)} and {list(v)}",
            "give (…, length, features)",
        )
    if len({query.dtype, key.dtype, value.dtype}) > 1:
        raise DtypeError(
            f"Expected query, key, and value to have the same dtype, but got query.dtype: {query.dtype} "
            f"key.dtype: {key.dtype} and value.dtype: {value.dtype} instead.",
            fix="cast them: x.to(query.dtype)",
            where=user_frame(),
        )
    if q[-1] != k[-1] or k[-2] != v[-2]:
        raise refused(
            f"scaled_dot_product_attention: query {list(q)}, key {list(k)} and value {list(v)} do not fit: queries and "
            "keys need equally many features, keys and values equal lengths",
            "give query (…, L, E), key (…, S, E) and value (…, S, F)",
        )
    if mask is None:
        return
    if mask.dtype.kind != "b" and mask.dtype != query.dtype:
        raise DtypeError(
            f"Expected attn_mask dtype to be bool or to match query dtype, but got attn_mask.dtype: {mask.dtype} and "
            f"query.dtype: {query.dtype} instead.",
            fix="give a bool mask, True where attention is allowed, or floats that are added",
            where=user_frame(),
        )
    wanted: Shape = (*broadcast_shapes(q[:-2], k[:-2]), q[-2], k[-2])
    if broadcast_shapes(shape_of(mask), wanted) != wanted:
        raise refused(
            f"attn_mask of size {list(shape_of(mask))} does not broadcast to the scores of size {list(wanted)}",
            "give a mask (L, S), or one per sample and head",
        )


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """``softmax(scale · query @ keyᵀ + mask) @ value``.

    Parameters
    ----------
    query: floats (…, L, E).
    key, value: floats (…, S, E) and (…, S, F).
    attn_mask: bools, True where attention is allowed, or floats that are added; broadcasts to (…, L, S).
    dropout_p: the probability with which a weight is dropped, always as in training.
    is_causal: whether a query attends to keys up to its own position only; excludes a mask.
    scale: 1 over the root of E by default.
    enable_gqa: whether heads (the third dim from the end) of keys and values are repeated to those of the query.

    Raises ShapeError and DtypeError where operands do not fit, ValueError for a mask together with ``is_causal``.

    >>> from tracegrad.eager import tensor
    >>> scaled_dot_product_attention(tensor([[1.0]]), tensor([[2.0]]), tensor([[3.0, 4.0]]))
    tensor([[3., 4.]])
    """
    if attn_mask is not None and is_causal:
        raise ValueError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if enable_gqa:
        key, value = _repeated_heads(query, key), _repeated_heads(query, value)
    _check(query, key, value, attn_mask)
    factor = 1.0 / math.sqrt(shape_of(query)[-1]) if scale is None else float(scale)
    alike = shape_of(query)[-1] == shape_of(value)[-1] and not getattr(attn_mask, "requires_grad", False)
    if len(shape_of(query)) == 4 and dropout_p == 0 and alike:
        # PyTorch has one kernel for this, and so one node
        return _attention(query, key, value, attn_mask, bool(is_causal), factor)
    weights = dropout(_safe_weights(query, key, attn_mask, bool(is_causal), factor), dropout_p)
    return (_mm if len(shape_of(weights)) == len(shape_of(value)) == 2 else _stacked)(weights, value)


def _repeated_heads(query: Any, x: Any) -> Any:
    heads, own = shape_of(query)[-3], shape_of(x)[-3]
    if heads % own:
        raise refused(
            f"enable_gqa: the query has {heads} heads, which is no multiple of the {own} of keys and values",
            "make it one",
        )
    return x if heads == own else repeat(x, heads // own, len(shape_of(x)) - 3)
