"""Sequences of different lengths as one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tracegrad.eager.functions.joining import cat, stack
from tracegrad.eager.nn.modules.making import new_tensor

__all__ = ["pad_sequence"]


def pad_sequence(
    sequences: Sequence[Any] | Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Any:
    """Sequences (steps, …) as one tensor (longest, sequences, …), short ones filled up.

    Parameters
    ----------
    sequences: tensors whose sizes after the first axis are equal.
    batch_first: whether the result is (sequences, longest, …).
    padding_value: what they are filled up with.
    padding_side: ``"right"`` for the end, ``"left"`` for the start.

    Raises RuntimeError for what cannot be iterated over, no sequences, and other sides.

    >>> from tracegrad.eager.tensor import tensor
    >>> pad_sequence([tensor([1.0, 2.0]), tensor([3.0])], batch_first=True)
    tensor([[1., 2.],
            [3., 0.]])
    """
    if not isinstance(sequences, Iterable):
        text = f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        raise RuntimeError(text)  # noqa: TRY004 - PyTorch's kind of error
    given = list(sequences)
    if not given:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"padding_side should be either 'left' or 'right', but got {padding_side}")
    longest = max(x.shape[0] for x in given)
    padded = []
    for x in given:
        lacking = longest - x.shape[0]
        if lacking:
            rest = new_tensor((lacking, *x.shape[1:]), dtype=x.dtype, value=padding_value)
            x = cat([x, rest] if padding_side == "right" else [rest, x])
        padded.append(x)
    return stack(padded, 0 if batch_first else 1)
