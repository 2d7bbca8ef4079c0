"""Recurrent layers of one step, for those who walk along the sequence themselves."""

from __future__ import annotations

import math
from typing import Any

from tracegrad.eager.functions.shapes import squeeze, unsqueeze
from tracegrad.eager.nn import functional, init
from tracegrad.eager.nn.functional.common import refused
from tracegrad.eager.nn.modules.making import new_parameter, new_tensor, settings
from tracegrad.eager.nn.modules.module import Module
from tracegrad.eager.nn.modules.steps import gru_step, lstm_step, plain_step

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


class _Cell(Module):
    """Weights and biases of input and state, for so many gates."""

    gates: int

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = self.gates * hidden_size
        self.weight_ih = new_parameter((rows, input_size), device, dtype)
        self.weight_hh = new_parameter((rows, hidden_size), device, dtype)
        self.register_parameter("bias_ih", new_parameter((rows,), device, dtype) if bias else None)
        self.register_parameter("bias_hh", new_parameter((rows,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew, evenly from ±1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        """The sizes, and what is not as usual."""
        return settings(self, f"{self.input_size}, {self.hidden_size}", bias=True)

    def _prepared(self, x: Any, *states: Any) -> tuple[Any, ...]:
        """What the input adds to the gates, and the states, all with a batch; zeros for states that are None."""
        name = type(self).__name__
        for what, value in (("input", x), *((f"hx[{k}]" if len(states) > 1 else "hidden", s) for k, s in enumerate(states))):
            if value is not None and len(value.shape) not in (1, 2):
                raise refused(
                    f"{name}: Expected {what} to be 1D or 2D, got {len(value.shape)}D instead: "
                    f"its shape is {list(value.shape)}",
                    "a cell takes one step: (batch, features) or (features,)",
                )
        if x.shape[-1] != self.input_size:
            raise refused(
                f"input has inconsistent input_size: got {x.shape[-1]} expected {self.input_size}: {name} of an input of shape "
                f"{list(x.shape)} and weight_ih of shape {list(self.weight_ih.shape)}",
                f"give (batch, {self.input_size}) or ({self.input_size},)",
            )
        batched = len(x.shape) == 2
        part = functional.linear(x if batched else unsqueeze(x, 0), self.weight_ih, self.bias_ih)
        found = []
        for k, state in enumerate(states):
            if state is None:
                found.append(new_tensor((part.shape[0], self.hidden_size), dtype=x.dtype))
                continue
            state = state if len(state.shape) == 2 else unsqueeze(state, 0)
            if state.shape[0] != part.shape[0]:
                raise refused(
                    f"Input batch size {part.shape[0]} doesn't match hidden{k or ''} batch size {state.shape[0]}",
                    f"give a state of shape ({part.shape[0]}, {self.hidden_size})",
                )
            if state.shape[1] != self.hidden_size:
                raise refused(
                    f"hidden{k or ''} has inconsistent hidden_size: got {state.shape[1]}, expected {self.hidden_size}",
                    f"give a state of shape ({part.shape[0]}, {self.hidden_size})",
                )
            found.append(state)
        return (part, *found)


class RNNCell(_Cell):
    """One step of RNN.

    Parameters
    ----------
    input_size, hidden_size: sizes of the last axes of input and state.
    bias: whether there are biases.
    nonlinearity: ``"tanh"`` or ``"relu"``.

    >>> RNNCell(3, 4, nonlinearity="relu")
    RNNCell(3, 4, nonlinearity=relu)
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The state after an input (batch, input_size) or (input_size,), from a state or from zeros."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        part, h = self._prepared(input, hx)
        h = plain_step(part, h, self.weight_hh, self.bias_hh, self.nonlinearity)
        return h if len(input.shape) == 2 else squeeze(h, 0)

    def extra_repr(self) -> str:
        """The sizes, and what is not as usual."""
        return settings(self, f"{self.input_size}, {self.hidden_size}", bias=True, nonlinearity="tanh")


class LSTMCell(_Cell):
    """One step of LSTM; the parameters are those of RNNCell without the nonlinearity."""

    gates = 4

    def forward(self, input: Any, hx: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
        """Hidden and cell state after an input (batch, input_size) or (input_size,), from a pair of them or from zeros."""
        part, h, c = self._prepared(input, *((None, None) if hx is None else hx))
        h, c = lstm_step(part, h, c, self.weight_hh, self.bias_hh)
        return (h, c) if len(input.shape) == 2 else (squeeze(h, 0), squeeze(c, 0))


class GRUCell(_Cell):
    """One step of GRU; the parameters are those of RNNCell without the nonlinearity."""

    gates = 3

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The state after an input (batch, input_size) or (input_size,), from a state or from zeros."""
        part, h = self._prepared(input, hx)
        h = gru_step(part, h, self.weight_hh, self.bias_hh)
        return h if len(input.shape) == 2 else squeeze(h, 0)
