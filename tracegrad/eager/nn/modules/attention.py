"""Attention: results are means of values, weighted by how well queries fit keys."""

from __future__ import annotations

import math
import warnings
from typing import Any

from tracegrad.eager.functions.cutting import chunk
from tracegrad.eager.functions.joining import cat
from tracegrad.eager.functions.reductions import mean
from tracegrad.eager.functions.repeating import expand
from tracegrad.eager.functions.shapes import reshape, squeeze, transpose, unsqueeze
from tracegrad.eager.nn import functional, init
from tracegrad.eager.nn.functional.common import refused
from tracegrad.eager.nn.modules.linear import Linear
from tracegrad.eager.nn.modules.making import new_parameter, new_tensor
from tracegrad.eager.nn.modules.module import Module
from tracegrad.functional import where
from tracegrad.ops.comparisons import logical_not, logical_or
from tracegrad.ops.contractions import matmul
from tracegrad.ops.maps import cast

__all__ = ["MultiheadAttention", "NonDynamicallyQuantizableLinear"]


class NonDynamicallyQuantizableLinear(Linear):
    """Linear under the name that PyTorch prints for the last layer of attention."""


class MultiheadAttention(Module):
    """Attention in several parts of the features side by side.

    Parameters
    ----------
    embed_dim: size of the queries' and the result's last axis.
    num_heads: how many parts; AssertionError where they do not divide the features.
    dropout: probability of dropout on the weights.
    bias: whether the projections have biases.
    add_bias_kv: whether a learnt key and value are added.
    add_zero_attn: whether a key and value of zeros are added.
    kdim, vdim: sizes of keys and values, embed_dim if None.
    batch_first: whether inputs are (batch, steps, features) instead of (steps, batch, features).

    >>> MultiheadAttention(4, 2)
    MultiheadAttention(
      (out_proj): NonDynamicallyQuantizableLinear(in_features=4, out_features=4, bias=True)
    )
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        super().__init__()
        if embed_dim % num_heads:
            raise AssertionError("embed_dim must be divisible by num_heads")
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.batch_first = batch_first
        self.add_zero_attn = add_zero_attn
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        made = {"device": device, "dtype": dtype}
        apart = {"q_proj_weight": embed_dim, "k_proj_weight": self.kdim, "v_proj_weight": self.vdim}
        if self._qkv_same_embed_dim:
            self.in_proj_weight = new_parameter((3 * embed_dim, embed_dim), **made)
        for name, size in apart.items():
            self.register_parameter(name, None if self._qkv_same_embed_dim else new_parameter((embed_dim, size), **made))
        if not self._qkv_same_embed_dim:
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", new_parameter((3 * embed_dim,), **made) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, **made)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, new_parameter((1, 1, embed_dim), **made) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        if self.bias_k is not None:
            init.xavier_normal_(self.bias_k)
            init.xavier_normal_(self.bias_v)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """Attend to values.

        Parameters
        ----------
        query: (steps, batch, embed_dim), or without a batch; see ``batch_first``.
        key, value: (keys, batch, kdim) and (keys, batch, vdim).
        key_padding_mask: (batch, keys), true for keys to leave out, or floats to add to how well they fit.
        need_weights: whether the weights are returned.
        attn_mask: (steps, keys) or (batch · heads, steps, keys), of the same kind.
        average_attn_weights: whether the returned weights are the mean over heads.
        is_causal: says that ``attn_mask`` leaves out keys after the step.

        Returns the results in the shape of the queries, and the weights (batch, steps, keys), or with heads
        (batch, heads, steps, keys), or None. Raises AssertionError and RuntimeError for shapes that do not fit.
        """
        self._check(query, key, value, key_padding_mask)
        if is_causal and attn_mask is None:
            raise RuntimeError(
                "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
                "`generate_square_subsequent_mask` to create this mask."
            )
        batched = len(query.shape) == 3
        if batched and not self.batch_first:
            query, key, value = _each(lambda x: transpose(x, 0, 1), query, key, value)
        elif not batched:
            query, key, value = _each(lambda x: unsqueeze(x, 0), query, key, value)
            key_padding_mask = None if key_padding_mask is None else unsqueeze(key_padding_mask, 0)
        # the hint says what the mask is: without another one the mask itself is not looked at
        causal = is_causal and key_padding_mask is None and not need_weights
        q, k, v = self._projected(query, key, value)
        k, v, added = self._extended(k, v)
        left_out = None if causal else attn_mask
        masks = self._masks(left_out, key_padding_mask, q.shape[0], q.shape[1], key.shape[1], added)
        mask = _merged(masks, q.dtype)
        q, k, v = (self._by_head(x) for x in (q, k, v))
        if need_weights:
            weights = self._weights(q, k, mask)
            heads = matmul(weights, v)
        else:
            weights, p = None, self.dropout if self.training else 0.0
            allowed = logical_not(mask) if mask is not None and mask.dtype.kind == "b" else mask
            heads = functional.scaled_dot_product_attention(q, k, v, allowed, p, causal)
        joined = transpose(heads, 1, 2)
        out = self.out_proj(reshape(joined, (*joined.shape[:2], self.embed_dim)))
        if weights is not None and average_attn_weights:
            weights = mean(weights, 1)
        if not batched:
            return squeeze(out, 0), None if weights is None else squeeze(weights, 0)
        return (out if self.batch_first else transpose(out, 0, 1)), weights

    def _weights(self, q: Any, k: Any, mask: Any) -> Any:
        scores = matmul(q * (1.0 / math.sqrt(self.head_dim)), transpose(k, -2, -1))
        if mask is not None:
            scores = where(mask, -math.inf, scores) if mask.dtype.kind == "b" else scores + mask
        weights = functional.softmax(scores, dim=-1)
        return functional.dropout(weights, self.dropout, self.training) if self.dropout else weights

    def _order(self) -> str:
        """The shape of a batch of queries."""
        return f"(batch, steps, {self.embed_dim})" if self.batch_first else f"(steps, batch, {self.embed_dim})"

    def _check(self, query: Any, key: Any, value: Any, padding: Any) -> None:
        rank = len(query.shape)
        if rank not in (2, 3):
            raise refused(
                f"query should be unbatched 2D or batched 3D tensor but received {rank}-D query tensor: "
                f"its shape is {list(query.shape)}",
                f"give {self._order()}",
            )
        kind = "batched" if rank == 3 else "unbatched"
        if len(key.shape) != rank or len(value.shape) != rank:
            raise refused(
                f"For {kind} ({rank}-D) `query`, expected `key` and `value` to be {rank}-D but found {len(key.shape)}-D and "
                f"{len(value.shape)}-D tensors respectively",
                "give all three a batch, or none",
            )
        if padding is not None and len(padding.shape) != rank - 1:
            raise refused(
                f"For {kind} `query`, expected `key_padding_mask` to be `None` or {rank - 1}-D but found "
                f"{len(padding.shape)}-D tensor instead",
                "give (batch, keys), or (keys,) without a batch; attn_mask is the one for pairs",
            )
        if query.shape[-1] != self.embed_dim:
            raise refused(
                f"was expecting embedding dimension of {self.embed_dim}, but got {query.shape[-1]}: "
                f"the query has shape {list(query.shape)}",
                f"give {self._order()}",
            )
        if self._qkv_same_embed_dim and key.shape != value.shape:
            raise refused(
                f"key shape {tuple(key.shape)} does not match value shape {tuple(value.shape)}",
                "give one value per key; kdim= and vdim= allow other numbers of features",
            )
        if key.shape[:-1] != value.shape[:-1]:
            raise refused(
                f"key's sequence and batch dims {tuple(key.shape[:-1])} do not match value's {tuple(value.shape[:-1])}",
                "give one value per key",
            )

    def _projected(self, query: Any, key: Any, value: Any) -> list[Any]:
        """Queries, keys and values of the size of the results."""
        if self._qkv_same_embed_dim and query is key is value:
            return list(chunk(functional.linear(query, self.in_proj_weight, self.in_proj_bias), 3, -1))
        if self._qkv_same_embed_dim:
            weights = chunk(self.in_proj_weight, 3, 0)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases = (None,) * 3 if self.in_proj_bias is None else chunk(self.in_proj_bias, 3, 0)
        return [functional.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]

    def _extended(self, k: Any, v: Any) -> tuple[Any, Any, int]:
        """Keys and values (batch, keys, features) with those added that the settings ask for, and how many these are."""
        added = 0
        shape = (k.shape[0], 1, self.embed_dim)
        if self.bias_k is not None:
            k, v = cat([k, expand(self.bias_k, shape)], 1), cat([v, expand(self.bias_v, shape)], 1)
            added += 1
        if self.add_zero_attn:
            # zeros of their kind, traced where they are
            k, v = (cat([x, x[:, :1] * 0], 1) for x in (k, v))
            added += 1
        return k, v, added

    def _masks(self, attn: Any, padding: Any, batch: int, steps: int, keys: int, added: int) -> list[Any]:
        """The masks in shapes that broadcast to (batch, heads, steps, keys), added keys let through."""
        found = []
        if attn is not None and padding is not None and attn.dtype != padding.dtype:
            warnings.warn(
                "Support for mismatched key_padding_mask and attn_mask is deprecated. Use same type for both instead.",
                stacklevel=4,
            )
        for name, mask in (("attn_mask", attn), ("key_padding_mask", padding)):
            if mask is None:
                continue
            if mask.dtype.kind not in "bf":
                raise RuntimeError(f"only bool and floating types of {name} are supported")
            shape = tuple(mask.shape)
            rank = len(shape)
            wanted: tuple[int, ...]
            view: tuple[int, ...]
            if name == "key_padding_mask":
                wanted, view = (batch, keys), (batch, 1, 1, keys)
            elif rank == 2:
                wanted, view = (steps, keys), (1, 1, steps, keys)
            elif rank == 3:
                wanted, view = (batch * self.num_heads, steps, keys), (batch, self.num_heads, steps, keys)
            else:
                raise RuntimeError(f"attn_mask's dimension {rank} is not supported")
            if shape != wanted:
                raise refused(
                    f"The shape of the {rank}D {name} is {shape}, but should be {wanted}.",
                    f"there are {steps} queries and {keys} keys in each of {batch} rows, and {self.num_heads} heads",
                )
            mask = reshape(mask, view)
            if added:
                mask = cat([mask, new_tensor((*view[:-1], added), dtype=mask.dtype)], -1)
            found.append(mask)
        return found

    def _by_head(self, x: Any) -> Any:
        """(batch, steps, features) as (batch, heads, steps, features of the head)."""
        return transpose(reshape(x, (*x.shape[:2], self.num_heads, self.head_dim)), 1, 2)


def _merged(masks: list[Any], dtype: Any) -> Any:
    """One mask that leaves out, or adds, what all of them do; None for none."""
    if not masks:
        return None
    if any(mask.dtype.kind == "f" for mask in masks):
        # what is left out gets -∞ added
        masks = [cast(where(m, -math.inf, 0.0), dtype=dtype) if m.dtype.kind == "b" else m for m in masks]
        return masks[0] if len(masks) == 1 else masks[0] + masks[1]
    return masks[0] if len(masks) == 1 else logical_or(masks[0], masks[1])


def _each(change: Any, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """Change three inputs, those that are one object staying one: one product then projects them all."""
    new_query = change(query)
    new_key = new_query if key is query else change(key)
    return new_query, new_key, new_key if value is key else change(value)
