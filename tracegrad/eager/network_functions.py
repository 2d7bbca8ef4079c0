"""Functions of networks that PyTorch has beside the others with arguments of their own: state in another order, and flags.

The same functions of ``torch.nn.functional`` do the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracegrad.eager.nn import functional

__all__ = [
    "alpha_dropout",
    "batch_norm",
    "dropout",
    "embedding",
    "feature_alpha_dropout",
    "group_norm",
    "instance_norm",
    "layer_norm",
]


def batch_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Any:
    """``nn.functional.batch_norm`` with the weights before the running statistics; the last flag has no effect.

    >>> from tracegrad.eager import tensor
    >>> batch_norm(tensor([[1.0], [3.0]]), None, None, None, None, True, 0.1, 1e-5, False)
    tensor([[-1.0000],
            [ 1.0000]])
    """
    return functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Any:
    """``nn.functional.instance_norm`` with the weights before the running statistics; the last flag has no effect.

    >>> from tracegrad.eager import tensor
    >>> instance_norm(tensor([[[1.0, 3.0]]]), None, None, None, None, True, 0.1, 0.0, False)
    tensor([[[-1.,  1.]]])
    """
    return functional.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def layer_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-05,
    cudnn_enable: bool = True,
) -> Any:
    """``nn.functional.layer_norm``; the last flag has no effect.

    >>> from tracegrad.eager import tensor
    >>> layer_norm(tensor([1.0, 3.0]), (2,), eps=0.0)
    tensor([-1.,  1.])
    """
    return functional.layer_norm(input, normalized_shape, weight, bias, eps)


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-05, cudnn_enabled: bool = True
) -> Any:
    """``nn.functional.group_norm``; the last flag has no effect.

    >>> from tracegrad.eager import tensor
    >>> group_norm(tensor([[1.0, 3.0]]), 1, eps=0.0)
    tensor([[-1.,  1.]])
    """
    return functional.group_norm(input, num_groups, weight, bias, eps)


def embedding(weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False) -> Any:
    """``nn.functional.embedding`` with the weight first; a negative ``padding_idx`` is none.

    >>> from tracegrad.eager import tensor
    >>> embedding(tensor([[1.0], [2.0]]), tensor([1, 0, 1]))
    tensor([[2.],
            [1.],
            [2.]])
    """
    padding = padding_idx if padding_idx >= 0 else None
    return functional.embedding(indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


def dropout(input: Any, p: float, train: bool) -> Any:
    """``nn.functional.dropout``.

    >>> from tracegrad.eager import tensor
    >>> dropout(tensor([1.0, 2.0]), 0.5, False)
    tensor([1., 2.])
    """
    return functional.dropout(input, p, train)


def alpha_dropout(input: Any, p: float, train: bool) -> Any:
    """``nn.functional.alpha_dropout``.

    >>> from tracegrad.eager import tensor
    >>> alpha_dropout(tensor([1.0, 2.0]), 0.5, False)
    tensor([1., 2.])
    """
    return functional.alpha_dropout(input, p, train)


def feature_alpha_dropout(input: Any, p: float, train: bool) -> Any:
    """``nn.functional.feature_alpha_dropout``.

    >>> from tracegrad.eager import tensor
    >>> feature_alpha_dropout(tensor([[[1.0, 2.0]]]), 0.5, False)
    tensor([[[1., 2.]]])
    """
    return functional.feature_alpha_dropout(input, p, train)
