"""Programs that run with PyTorch and with ``tracegrad.eager``: what they show must be the same text.

The text that PyTorch gave stands above each program, so that the comparison runs where PyTorch is not installed; where it
is, the program runs there too and must give the same text again.
"""

import textwrap
import warnings

import pytest

import tracegrad.eager
from tracegrad.eager import autograd, nn, optim


class Show:
    """Writes down what a program shows."""

    def __init__(self):
        self.lines = []

    def __call__(self, *values):
        self.lines.append(" ".join(map(text, values)))

    def graph(self, y):
        """Names of the nodes behind a tensor, indented by their distance from it."""
        self._node(y.grad_fn, 0, "")

    def _node(self, node, depth, slot):
        if node is None:
            self.lines.append("  " * depth + "None")
            return
        end = f" {text(tuple(node.variable.shape))}" if hasattr(node, "variable") else ""
        self.lines.append("  " * depth + node.name().rpartition("::")[2] + slot + end)
        for following, k in node.next_functions:
            self._node(following, depth + 1, f" #{k}" if k else "")

    def refused(self, kind, phrase, function, *args, **kwargs):
        """The error of a call: its kind and phrase if it has both, else what happened."""
        try:
            result = function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is written down
            # the message alone: the line that it names may hold the phrase
            fits = isinstance(error, kind) and phrase in str(getattr(error, "message", error))
            self.lines.append(f"{kind.__name__}: {phrase}".rstrip(": ") if fits else f"{type(error).__mro__[:-3]} {error}")
        else:
            self.lines.append(f"not refused: {text(result)}")

    def warned(self, phrase, function, *args, **kwargs):
        """The warning of a call, and its result."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = function(*args, **kwargs)
        found = any(issubclass(w.category, UserWarning) and phrase in str(w.message) for w in caught)
        self.lines.append(f"{'warned' if found else [str(w.message) for w in caught]}: {text(result)}")
        return result


def text(value):
    """A value as both libraries show it."""
    if isinstance(value, (tuple, list)) and type(value).__name__ != "Size":
        inner = ", ".join(map(text, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if isinstance(value, str):
        return value
    if hasattr(value, "next_functions"):
        return value.name().rpartition("::")[2]
    if type(value).__name__ == "ndarray":
        return f"array {value.tolist()} {value.dtype}"
    return repr(value) if not type(value).__name__.lower().endswith("dtype") else str(value).removeprefix("torch.")


def transcript(torch, function):
    show = Show()
    function(torch, show)
    return "\n".join(line.rstrip() for line in show.lines)


class Namespace:
    """``tracegrad.eager`` with its rooms, as ``import torch`` has them."""

    autograd, nn, optim = autograd, nn, optim

    def __getattr__(self, name):
        return getattr(tracegrad.eager, name)


def program(expected):
    """A test of a program ``function(torch, show)`` by the text that it shows in PyTorch."""
    wanted = textwrap.dedent(expected).strip("\n")

    def decorate(function):
        @pytest.mark.parametrize("library", ["tracegrad", "pytorch"])
        def test(library):
            torch = Namespace() if library == "tracegrad" else pytest.importorskip("torch")
            with warnings.catch_warnings():
                if library == "pytorch":  # its own warnings are no matter of this library
                    warnings.simplefilter("ignore")
                assert transcript(torch, function) == wanted

        test.__doc__ = function.__doc__
        test.__name__ = test.__qualname__ = function.__name__
        test.program = function
        return test

    return decorate
