"""One step of each kind of recurrent layer, after the input's part was computed."""

from __future__ import annotations

from typing import Any

from tracegrad.eager.functions.cutting import chunk
from tracegrad.eager.nn import functional

__all__ = ["gru_step", "lstm_step", "plain_step"]


def plain_step(part: Any, h: Any, w_hh: Any, b_hh: Any, nonlinearity: str) -> Any:
    """The new state (batch, hidden).

    Parameters
    ----------
    part: what the input adds (batch, hidden).
    h: the state (batch, hidden).
    w_hh, b_hh: weight (hidden, hidden) and bias of the state.
    nonlinearity: ``"tanh"`` or ``"relu"``.
    """
    total = part + functional.linear(h, w_hh, b_hh)
    return functional.tanh(total) if nonlinearity == "tanh" else functional.relu(total)


def lstm_step(part: Any, h: Any, c: Any, w_hh: Any, b_hh: Any, w_hr: Any = None) -> tuple[Any, Any]:
    """The new hidden and cell states; the gates are input, forget, cell and output, in this order.

    Parameters
    ----------
    part: what the input adds to the gates (batch, 4 · hidden).
    h, c: the states (batch, hidden).
    w_hh, b_hh: weight (4 · hidden, hidden) and bias of the hidden state.
    w_hr: a matrix that the new hidden state is multiplied by, or None.
    """
    i, f, g, o = chunk(part + functional.linear(h, w_hh, b_hh), 4, 1)
    c = functional.sigmoid(f) * c + functional.sigmoid(i) * functional.tanh(g)
    h = functional.sigmoid(o) * functional.tanh(c)
    return (h if w_hr is None else functional.linear(h, w_hr)), c


def gru_step(part: Any, h: Any, w_hh: Any, b_hh: Any) -> Any:
    """The new state; the gates are reset, update and new, in this order.

    Parameters
    ----------
    part: what the input adds to the gates (batch, 3 · hidden).
    h: the state (batch, hidden).
    w_hh, b_hh: weight (3 · hidden, hidden) and bias of the state.
    """
    x_r, x_z, x_n = chunk(part, 3, 1)
    h_r, h_z, h_n = chunk(functional.linear(h, w_hh, b_hh), 3, 1)
    n = functional.tanh(x_n + functional.sigmoid(x_r + h_r) * h_n)
    return n + functional.sigmoid(x_z + h_z) * (h - n)
