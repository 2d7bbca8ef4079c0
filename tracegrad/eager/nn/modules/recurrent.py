"""Layers that walk along a sequence and carry a state from step to step."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from tracegrad.eager.functions.cutting import unbind
from tracegrad.eager.functions.joining import cat, stack
from tracegrad.eager.functions.shapes import squeeze, transpose, unsqueeze
from tracegrad.eager.nn import functional, init
from tracegrad.eager.nn.functional.common import refused
from tracegrad.eager.nn.modules.making import new_parameter, new_tensor, settings
from tracegrad.eager.nn.modules.module import Module
from tracegrad.eager.nn.modules.steps import gru_step, lstm_step, plain_step

__all__ = ["GRU", "LSTM", "RNN"]


class _Recurrent(Module):
    """Layers of one or two directions, each with its weights: ``weight_ih_l0``, ``weight_hh_l0_reverse`` and so on."""

    gates: int
    mode: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check()
        self.dropout = float(dropout)
        self._all_weights: list[list[str]] = []
        out_size = proj_size or hidden_size
        for layer in range(num_layers):
            in_size = input_size if layer == 0 else out_size * (2 if bidirectional else 1)
            for end in ("", "_reverse") if bidirectional else ("",):
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (self.gates * hidden_size, in_size),
                    "weight_hh": (self.gates * hidden_size, out_size),
                }
                if bias:
                    shapes |= {"bias_ih": (self.gates * hidden_size,), "bias_hh": (self.gates * hidden_size,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    setattr(self, f"{name}_l{layer}{end}", new_parameter(shape, device, dtype))
                self._all_weights.append([f"{name}_l{layer}{end}" for name in shapes])
        self.reset_parameters()

    def _check(self) -> None:
        rate: Any = self.dropout
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if rate > 0 and self.num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
                f"greater than 1, but got dropout={rate} and num_layers={self.num_layers}",
                stacklevel=4,
            )
        for name, kind in (("bias", bool), ("batch_first", bool), ("input_size", int), ("hidden_size", int)):
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise TypeError(f"{name} should be of type {kind.__name__}, got: {type(value).__name__}")
        for name in ("input_size", "hidden_size", "num_layers"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if self.proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if self.proj_size >= self.hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")

    def reset_parameters(self) -> None:
        """Draw all weights anew, evenly from ±1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: weights lie where they lie, whatever a GPU's library would like."""

    @property
    def all_weights(self) -> list[list[Any]]:
        """The weights of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def extra_repr(self) -> str:
        """The sizes, and what is not as usual."""
        return settings(
            self,
            f"{self.input_size}, {self.hidden_size}",
            proj_size=0,
            num_layers=1,
            bias=True,
            batch_first=False,
            dropout=0,
            bidirectional=False,
        )

    # -- running ------------------------------------------------------------------------------------------------------

    def _run(self, x: Any, states: Sequence[Any] | None) -> tuple[Any, list[Any]]:
        """The states of the last layer at each step, and each layer's last ones: as the user's input, batched or not."""
        batched = len(x.shape) == 3
        if not batched:
            x = unsqueeze(x, 1)
            states = None if states is None else [unsqueeze(state, 1) for state in states]
        elif self.batch_first:
            x = transpose(x, 0, 1)
        starts = self._starts(x, states)
        last: list[tuple[Any, ...]] = []
        for layer in range(self.num_layers):
            rows = []
            for reverse in (False, True) if self.bidirectional else (False,):
                place = len(last)
                row, state = self._walk(x, [start[place] for start in starts], self.all_weights[place], reverse)
                rows.append(row)
                last.append(state)
            x = rows[0] if len(rows) == 1 else cat(rows, -1)
            if self.dropout and layer < self.num_layers - 1:
                x = functional.dropout(x, self.dropout, self.training)
        ends = [stack([state[k] for state in last], 0) for k in range(len(starts))]
        if not batched:
            return squeeze(x, 1), [squeeze(end, 1) for end in ends]
        return (transpose(x, 0, 1) if self.batch_first else x), ends

    def _walk(self, x: Any, state: Sequence[Any], weights: list[Any], reverse: bool) -> tuple[Any, tuple[Any, ...]]:
        """One layer in one direction: its states at all steps, stacked, and the last one."""
        w_ih, w_hh = weights[:2]
        b_ih, b_hh = weights[2:4] if self.bias else (None, None)
        w_hr = weights[-1] if self.proj_size else None
        # what the input adds is the same product at every step, so it is computed for all at once
        steps = unbind(functional.linear(x, w_ih, b_ih), 0)
        current = tuple(state)
        row = []
        for part in reversed(steps) if reverse else steps:
            current = self._step(part, current, w_hh, b_hh, w_hr)
            row.append(current[0])
        return stack(row[::-1] if reverse else row, 0), current

    def _step(self, part: Any, state: tuple[Any, ...], w_hh: Any, b_hh: Any, w_hr: Any) -> tuple[Any, ...]:
        raise NotImplementedError

    def _sizes(self) -> tuple[int, ...]:
        """The last sizes of the states."""
        return (self.proj_size or self.hidden_size,)

    def _starts(self, x: Any, states: Sequence[Any] | None) -> Sequence[Any]:
        """The states to start from, zeros where none were given."""
        places = self.num_layers * (2 if self.bidirectional else 1)
        shapes = [(places, x.shape[1], size) for size in self._sizes()]
        if states is None:
            return [new_tensor(shape, dtype=x.dtype) for shape in shapes]
        for k, (state, shape) in enumerate(zip(states, shapes, strict=True)):
            if tuple(state.shape) != shape:
                which = "hidden" if len(shapes) == 1 else f"hidden[{k}]"
                raise refused(
                    f"Expected {which} size {shape}, got {list(state.shape)}",
                    "states have shape (num_layers · directions, batch, size), also with batch_first=True",
                )
        return states

    def _order(self) -> str:
        """The shape of a batch."""
        return f"(batch, steps, {self.input_size})" if self.batch_first else f"(steps, batch, {self.input_size})"

    def _check_input(self, x: Any, states: Sequence[Any] | None) -> None:
        rank = len(x.shape)
        if rank not in (2, 3):
            raise refused(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {rank}D instead: its shape is {list(x.shape)}",
                f"give {self._order()}, or (steps, {self.input_size}) without a batch",
            )
        weight = self.all_weights[0][0]
        if x.dtype != weight.dtype:
            given, wanted = f"torch.{x.dtype.name}", f"torch.{weight.dtype.name}"
            raise ValueError(
                f"RNN input dtype ({given}) does not match weight dtype ({wanted}). "
                f"Convert input: input.to({wanted}), or convert model: model.to({given})"
            )
        if x.shape[-1] != self.input_size:
            raise refused(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {x.shape[-1]}: "
                f"{type(self).__name__} of an input of shape {list(x.shape)} and weight_ih_l0 of shape {list(weight.shape)}",
                f"give {self._order()}" if rank == 3 else f"give (steps, {self.input_size})",
            )
        if x.shape[1 if rank == 3 and self.batch_first else 0] == 0:
            raise refused(
                f"Expected sequence length to be larger than 0 in RNN: the input has shape {list(x.shape)}",
                "give at least one step",
            )
        ranks = [len(state.shape) for state in states or ()]
        if any(r != rank for r in ranks):
            kind = "batched" if rank == 3 else "unbatched"
            fix = f"states have {rank} dims, as the input: " + ("(layers, batch, size)" if rank == 3 else "(layers, size)")
            if len(ranks) == 1:
                raise refused(f"For {kind} {rank}-D input, hx should also be {rank}-D but got {ranks[0]}-D tensor", fix)
            found = ", ".join(f"{r}-D" for r in ranks)
            raise refused(f"For {kind} {rank}-D input, hx and cx should also be {rank}-D but got ({found}) tensors", fix)


class RNN(_Recurrent):
    """Layers whose state is a function of input and state: h = tanh(W x + b + V h + c).

    Parameters
    ----------
    input_size, hidden_size: sizes of the input's last axis and of the state.
    num_layers: each layer after the first walks along the states of the one before.
    nonlinearity: ``"tanh"`` or ``"relu"``.
    bias: whether there are biases.
    batch_first: whether the input is (batch, steps, input_size) instead of (steps, batch, input_size).
    dropout: probability of dropout between layers.
    bidirectional: whether there is another walk from the end; states of both are joined.

    All weights start evenly from ±1/√hidden_size.

    >>> RNN(3, 4, num_layers=2)
    RNN(3, 4, num_layers=2)
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        self.nonlinearity = nonlinearity
        self.mode = f"RNN_{nonlinearity.upper()}"

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """Walk along a sequence.

        Parameters
        ----------
        input: (steps, batch, input_size), or without a batch; see ``batch_first``.
        hx: the states to start from (layers · directions, batch, hidden_size); zeros if None.

        Returns the last layer's states at each step, and each layer's last state. Raises RuntimeError and ValueError
        for shapes and dtypes that do not fit.
        """
        states = None if hx is None else [hx]
        self._check_input(input, states)
        row, (last,) = self._run(input, states)
        return row, last

    def _step(self, part: Any, state: tuple[Any, ...], w_hh: Any, b_hh: Any, w_hr: Any) -> tuple[Any, ...]:
        return (plain_step(part, state[0], w_hh, b_hh, self.nonlinearity),)


class LSTM(_Recurrent):
    """Layers with a cell that gates open and close: long short-term memory.

    Parameters
    ----------
    input_size, hidden_size: sizes of the input's last axis and of the states.
    num_layers, bias, batch_first, dropout, bidirectional: as those of RNN.
    proj_size: the hidden state is multiplied by a matrix to this size; 0 for not at all.

    >>> LSTM(3, 4, batch_first=True)
    LSTM(3, 4, batch_first=True)
    """

    gates = 4
    mode = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype
        )

    def forward(self, input: Any, hx: tuple[Any, Any] | None = None) -> tuple[Any, tuple[Any, Any]]:
        """Walk along a sequence.

        Parameters
        ----------
        input: (steps, batch, input_size), or without a batch; see ``batch_first``.
        hx: hidden and cell states to start from (layers · directions, batch, hidden_size); zeros if None.

        Returns the last layer's hidden states at each step, and a pair of each layer's last hidden and cell states.
        Raises RuntimeError and ValueError for shapes and dtypes that do not fit.
        """
        self._check_input(input, hx)
        row, (hidden, cell) = self._run(input, hx)
        return row, (hidden, cell)

    def _step(self, part: Any, state: tuple[Any, ...], w_hh: Any, b_hh: Any, w_hr: Any) -> tuple[Any, ...]:
        return lstm_step(part, state[0], state[1], w_hh, b_hh, w_hr)

    def _sizes(self) -> tuple[int, ...]:
        return (self.proj_size or self.hidden_size, self.hidden_size)


class GRU(_Recurrent):
    """Layers whose state is a mean of the old one and a new one, weighted by gates: gated recurrent units.

    Parameters
    ----------
    input_size, hidden_size: sizes of the input's last axis and of the state.
    num_layers, bias, batch_first, dropout, bidirectional: as those of RNN.

    >>> GRU(3, 4, bidirectional=True)
    GRU(3, 4, bidirectional=True)
    """

    gates = 3
    mode = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """Walk along a sequence; arguments, results and errors are those of RNN."""
        states = None if hx is None else [hx]
        self._check_input(input, states)
        row, (last,) = self._run(input, states)
        return row, last

    def _step(self, part: Any, state: tuple[Any, ...], w_hh: Any, b_hh: Any, w_hr: Any) -> tuple[Any, ...]:
        return (gru_step(part, state[0], w_hh, b_hh),)
