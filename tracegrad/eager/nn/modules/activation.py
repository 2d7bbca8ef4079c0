"""Nonlinear functions as layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracegrad.eager.nn import functional
from tracegrad.eager.nn import init as fill
from tracegrad.eager.nn.modules.making import named, new_parameter
from tracegrad.eager.nn.modules.module import Module

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


class _Plain(Module):
    """A function without settings."""

    _function: Callable[..., Any]

    def __init__(self) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """The function of each element."""
        return self._function(input)


class _InPlace(Module):
    """A function that may write its result over its input.

    Parameters
    ----------
    inplace: whether it does.
    """

    _function: Callable[..., Any]
    _shown: tuple[str, ...] = ()
    """The settings that are printed before ``inplace``, which are the function's arguments in this order."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        """The function of each element."""
        return self._function(input, *(getattr(self, name) for name in self._shown), inplace=self.inplace)

    def extra_repr(self) -> str:
        """The settings that are not as usual."""
        texts = [named(self, *self._shown)] if self._shown else []
        return ", ".join([*texts, "inplace=True"] if self.inplace else texts)


class Tanh(_Plain):
    """The hyperbolic tangent."""

    _function = staticmethod(functional.tanh)


class Sigmoid(_Plain):
    """The logistic function 1 / (1 + e⁻ˣ)."""

    _function = staticmethod(functional.sigmoid)


class LogSigmoid(_Plain):
    """The logarithm of the logistic function."""

    _function = staticmethod(functional.logsigmoid)


class Softsign(_Plain):
    """x / (1 + |x|)."""

    _function = staticmethod(functional.softsign)


class Tanhshrink(_Plain):
    """x - tanh x."""

    _function = staticmethod(functional.tanhshrink)


class ReLU(_InPlace):
    """max(x, 0).

    >>> ReLU(inplace=True)
    ReLU(inplace=True)
    """

    _function = staticmethod(functional.relu)


class Hardsigmoid(_InPlace):
    """The line x/6 + 1/2 between 0 and 1."""

    _function = staticmethod(functional.hardsigmoid)

    def extra_repr(self) -> str:
        """Nothing, as in PyTorch."""
        return ""


class Hardswish(_InPlace):
    """x times the line x/6 + 1/2 between 0 and 1."""

    _function = staticmethod(functional.hardswish)

    def extra_repr(self) -> str:
        """Nothing, as in PyTorch."""
        return ""


class SELU(_InPlace):
    """The ELU whose constants keep mean 0 and variance 1."""

    _function = staticmethod(functional.selu)


class SiLU(_InPlace):
    """x times its logistic function."""

    _function = staticmethod(functional.silu)


class Mish(_InPlace):
    """x · tanh(ln(1 + eˣ))."""

    _function = staticmethod(functional.mish)


class LeakyReLU(_InPlace):
    """x where it is positive, ``negative_slope · x`` elsewhere.

    >>> LeakyReLU(0.1)
    LeakyReLU(negative_slope=0.1)
    """

    _function = staticmethod(functional.leaky_relu)
    _shown = ("negative_slope",)

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope


class ELU(_InPlace):
    """x where it is positive, alpha (eˣ - 1) elsewhere."""

    _function = staticmethod(functional.elu)
    _shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha


class CELU(_InPlace):
    """x where it is positive, alpha (e^(x/alpha) - 1) elsewhere."""

    _function = staticmethod(functional.celu)
    _shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha


class Hardtanh(_InPlace):
    """x between ``min_val`` and ``max_val``; AssertionError where these are not in order."""

    _function = staticmethod(functional.hardtanh)
    _shown = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        if not max_val > min_val:
            raise AssertionError("max_val must be greater than min_val")
        self.min_val = min_val
        self.max_val = max_val


class ReLU6(Hardtanh):
    """x between 0 and 6."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        """Whether it works in place."""
        return "inplace=True" if self.inplace else ""


class Threshold(_InPlace):
    """x where it is above ``threshold``, ``value`` elsewhere."""

    _function = staticmethod(functional.threshold)
    _shown = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value


class Softplus(Module):
    """ln(1 + e^(beta x)) / beta, and x where beta x is above ``threshold``.

    >>> Softplus()
    Softplus(beta=1.0, threshold=20.0)
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Any) -> Any:
        """The function of each element."""
        return functional.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """The settings."""
        return named(self, "beta", "threshold")


class _Shrink(Module):
    """Zero where |x| is at most ``lambd``."""

    _function: Callable[..., Any]

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Any) -> Any:
        """The function of each element."""
        return self._function(input, self.lambd)

    def extra_repr(self) -> str:
        """The threshold."""
        return str(self.lambd)


class Softshrink(_Shrink):
    """Zero where |x| is at most ``lambd``, elsewhere x moved towards 0 by it."""

    _function = staticmethod(functional.softshrink)


class Hardshrink(_Shrink):
    """Zero where |x| is at most ``lambd``, elsewhere x."""

    _function = staticmethod(functional.hardshrink)


class GELU(Module):
    """x times the normal distribution's share below x.

    Parameters
    ----------
    approximate: ``"none"``, or ``"tanh"`` for a formula with tanh.

    >>> GELU()
    GELU(approximate='none')
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Any) -> Any:
        """The function of each element."""
        return functional.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        """The formula."""
        return f"approximate={self.approximate!r}"


class PReLU(Module):
    """x where it is positive, ``weight · x`` elsewhere.

    Parameters
    ----------
    num_parameters: 1, or one weight for each channel.
    init: what the weights start at.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = new_parameter((num_parameters,), device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weights to what they start at."""
        fill.constant_(self.weight, self.init)

    def forward(self, input: Any) -> Any:
        """The function of each element; channels lie along axis 1."""
        return functional.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """How many weights there are."""
        return named(self, "num_parameters")


class _Along(Module):
    """A function along an axis."""

    _function: Callable[..., Any]

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        """The function along the axis."""
        return self._function(input, dim=self.dim, _stacklevel=5)

    def extra_repr(self) -> str:
        """The axis."""
        return named(self, "dim")


class Softmax(_Along):
    """eˣ over its sum along an axis.

    >>> Softmax(dim=1)
    Softmax(dim=1)
    """

    _function = staticmethod(functional.softmax)


class LogSoftmax(_Along):
    """The logarithm of Softmax."""

    _function = staticmethod(functional.log_softmax)


class Softmin(_Along):
    """Softmax of -x."""

    _function = staticmethod(functional.softmin)


class GLU(Module):
    """The first half along an axis times the logistic function of the second."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        """One half weighted by the other; the axis must have an even size."""
        return functional.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return named(self, "dim")


class Softmax2d(_Plain):
    """Softmax over the channels of images (batch, channels, height, width) or without a batch; ValueError for others."""

    def forward(self, input: Any) -> Any:
        """The input with channels that sum to 1."""
        if len(input.shape) not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {len(input.shape)}D instead")
        return functional.softmax(input, dim=-3)
