"""Random tensors; the seeds fix the numbers, but not to those PyTorch draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.core.aval import broadcast_shapes, one_int
from tracegrad.core.source import user_frame
from tracegrad.eager.creation import chosen_dtype, like, made
from tracegrad.eager.device import check_device, memory_format
from tracegrad.eager.distributions import (
    DistributionError,
    bernoulli_array,
    integer_array,
    normal_array,
    only_floats,
    uniform_array,
    with_replacement,
    without_replacement,
)
from tracegrad.eager.dtypes import int64
from tracegrad.eager.generators import (
    Generator,
    fork_rng,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
    source,
)
from tracegrad.eager.scalars import count_of, number
from tracegrad.eager.size import size_of
from tracegrad.eager.tensor import Tensor
from tracegrad.eager.traced import tracing, values_known
from tracegrad.errors import DtypeError, ShapeError, TraceError
from tracegrad.ops.comparisons import less
from tracegrad.ops.maps import cast

__all__ = [
    "Generator",
    "bernoulli",
    "binomial",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "poisson",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "seed",
    "set_rng_state",
]

Array = np.ndarray[Any, Any]


def drawn(draw: Callable[[np.random.Generator], Array], generator: Generator | None, requires_grad: bool = False) -> Tensor:
    """A random tensor; while a program is traced an input of it, drawn anew at each call."""
    trace = tracing.get()
    return made(draw(source(generator)), requires_grad) if trace is None else trace.drawn(draw, generator)


def _laid_as(found: Tensor, drawn: Array) -> Array:
    """Numbers in the layout of another tensor."""
    result = np.empty_like(found._array)
    result[...] = drawn
    return result


def rand(
    *shape: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers drawn evenly from [0, 1).

    >>> rand(2, 3).shape == (2, 3)
    True
    """
    check_device(device)
    sizes = size_of("rand", shape, size)
    d = chosen_dtype(dtype)
    return drawn(lambda rng: uniform_array(rng, sizes, d), generator, requires_grad)


def randn(
    *shape: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normally distributed numbers of mean 0 and variance 1.

    >>> randn((2, 3)).dtype
    dtype('float32')
    """
    check_device(device)
    sizes = size_of("randn", shape, size)
    d = chosen_dtype(dtype)
    return drawn(lambda rng: normal_array(rng, sizes, d), generator, requires_grad)


def randint(
    *bounds: Any,
    low: Any = None,
    high: Any = None,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers from ``low``, by default 0, up to, but without, ``high``: ``randint(high, size)``, ``randint(low, high, size)``.

    Raises DistributionError for empty ranges and for bounds beyond the dtype.

    >>> manual_seed(0).initial_seed(), randint(5, 6, (3,))
    (0, tensor([5, 5, 5]))
    """
    check_device(device)
    given = list(bounds)
    if size is None:
        size = given.pop() if given else None
    if len(given) == 2 and low is None and high is None:
        low, high = given
    elif len(given) == 1 and high is None:
        high = given[0]
    elif len(given) == 1 and low is None:
        low = given[0]
    elif given:
        raise DtypeError(
            "randint() got too many bounds", fix="randint(high, size) or randint(low, high, size)", where=user_frame()
        )
    if high is None or not isinstance(size, (tuple, list)):
        raise DtypeError(
            f"randint(): argument 'size' must be tuple of ints, not {type(size).__name__}"
            if high is not None
            else "randint() missing the bound 'high'",
            fix="randint(high, size) or randint(low, high, size), with a tuple of sizes",
            where=user_frame(),
        )
    first, last = _bound("randint", "low", 0 if low is None else low), _bound("randint", "high", high)
    d = chosen_dtype(dtype, int64)
    sizes = size_of("randint", (size,))
    return drawn(lambda rng: integer_array(rng, sizes, d, first, last), generator, requires_grad)


def _bound(function: str, name: str, value: Any) -> int:
    found = one_int(value)
    if found is None:
        text = f"{function}(): argument '{name}' must be int, not {type(value).__name__}"
        raise DtypeError(text, fix=f"{name}=10", where=user_frame())
    return found


def randperm(
    n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """The integers from 0 to n − 1 in random order.

    >>> sorted(randperm(3).tolist())
    [0, 1, 2]
    """
    check_device(device)
    count, d = count_of("randperm", "n", n), chosen_dtype(dtype, int64)
    return drawn(lambda rng: rng.permutation(count).astype(d), generator, requires_grad)


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format | None = None,
) -> Tensor:
    """Numbers drawn evenly from [0, 1), in the shape and dtype of another tensor.

    >>> rand_like(Tensor([1.0, 2.0])).shape == (2,)
    True
    """
    found = like("rand_like", input, dtype, device, memory_format, False)
    return drawn(lambda rng: _laid_as(found, uniform_array(rng, found.shape, found.dtype)), generator, requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format | None = None,
) -> Tensor:
    """Normally distributed numbers in the shape and dtype of another tensor.

    >>> randn_like(Tensor([1.0, 2.0])).shape == (2,)
    True
    """
    found = like("randn_like", input, dtype, device, memory_format, False)
    return drawn(lambda rng: _laid_as(found, normal_array(rng, found.shape, found.dtype)), generator, requires_grad)


def randint_like(
    input: Tensor,
    *bounds: Any,
    low: Any = None,
    high: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format | None = None,
) -> Tensor:
    """Integers from ``low`` up to, but without, ``high`` in the shape and dtype of another tensor.

    >>> randint_like(Tensor([1.0, 2.0]), 5, 6)
    tensor([5., 5.])
    """
    found = like("randint_like", input, dtype, device, memory_format, requires_grad)
    result = randint(*bounds, low=low, high=high, size=found.shape, generator=generator, dtype=found.dtype)
    return result if tracing.get() is not None else made(_laid_as(found, result._array), requires_grad)


# -- tensors of parameters in, draws out ------------------------------------------------------------------------------


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normally distributed numbers: of the means and deviations in tensors, or of two numbers and a size.

    Raises DistributionError for a negative deviation. No gradient flows to the parameters.

    >>> normal(0.0, 1.0, (2, 3)).shape == normal(Tensor([[0.0] * 3] * 2)).shape
    True
    """
    check_device(device)
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if not isinstance(size, (tuple, list)):
            raise DtypeError(
                "normal() of two numbers needs a tuple as size",
                fix="normal(0.0, 1.0, (2, 3)), or give mean or std as a tensor",
                where=user_frame(),
            )
        spread = number("normal", "std", std)
        sizes, d, centre = size_of("normal", (size,)), chosen_dtype(dtype), number("normal", "mean", mean)
        return drawn(lambda rng: normal_array(rng, sizes, d, centre, spread), generator, requires_grad)
    if size is not None:
        raise DtypeError("normal() of tensors has their shape", fix="leave size out", where=user_frame())
    leading = mean if isinstance(mean, Tensor) else std
    shape, d = broadcast_shapes(tuple(np.shape(mean)), tuple(np.shape(std))), leading.dtype
    middle, spread = values_known(mean), values_known(std)
    if middle is not None and spread is not None:
        return drawn(lambda rng: normal_array(rng, shape, d, middle, spread), generator)
    standard = drawn(lambda rng: normal_array(rng, shape, d), generator)
    return cast(standard * _fixed(std) + _fixed(mean), dtype=d)  # type: ignore[no-any-return]


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """Ones with the probabilities that the tensor holds, or ``p``; the dtype is the tensor's.

    Raises DistributionError for probabilities outside [0, 1]. No gradient flows to them.

    >>> bernoulli(Tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    if p is None:
        only_floats("bernoulli_tensor_cpu_p_", input.dtype)
    return bernoulli_as(input, input if p is None else p, generator)


def bernoulli_as(x: Tensor, p: Any, generator: Generator | None) -> Tensor:
    """Zeros and ones in the shape and dtype of a tensor, of probabilities that may be traced."""
    shape, d, chance = tuple(x.shape), x.dtype, values_known(p)
    if chance is not None:
        return drawn(lambda rng: bernoulli_array(rng, shape, d, chance), generator)
    points = drawn(lambda rng: rng.random(shape), generator)
    return cast(less(points, _fixed(p)), dtype=d)  # type: ignore[no-any-return]


def _fixed(parameter: Any) -> Any:
    """A parameter of a distribution: no gradient flows to it."""
    return parameter.detach() if isinstance(parameter, Tensor) else parameter


def _needed(x: Any, function: str) -> Array:
    """The values of parameters that decide what is drawn."""
    found = values_known(x)
    if found is None:
        raise TraceError(
            f"{function} draws by the values of {x!r}, and they are not known while tracing",
            fix="draw before the call and pass the numbers as an argument; bernoulli and normal take traced parameters",
            where=user_frame(),
        )
    return found


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of events of the rates that the tensor holds; no gradient flows to them.

    >>> poisson(Tensor([0.0]))
    tensor([0.])
    """
    rates = _needed(input, "poisson")
    only_floats("poisson_cpu", rates.dtype)
    if not np.all(rates >= 0):
        raise DistributionError(
            "invalid Poisson rate, expected rate to be non-negative", fix="give rates of 0 or more", where=user_frame()
        )
    return drawn(lambda rng: np.asarray(rng.poisson(rates)).astype(rates.dtype), generator)


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of successes in ``count`` trials of probability ``prob``; no gradient flows to them.

    >>> binomial(Tensor([3.0]), Tensor([1.0]))
    tensor([3.])
    """
    trials, chance = _needed(count, "binomial"), _needed(prob, "binomial")
    only_floats("binomial", trials.dtype)
    if not (np.all((chance >= 0) & (chance <= 1)) and np.all(trials >= 0)):
        raise DistributionError(
            "binomial expects counts of 0 or more and probabilities in [0, 1]",
            fix="give counts as floats and probabilities, such as sigmoid(x)",
            where=user_frame(),
        )
    whole = trials.astype(np.int64)
    return drawn(lambda rng: np.asarray(rng.binomial(whole, chance)).astype(trials.dtype), generator)


def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Tensor:
    """Indices drawn with the weights in the rows of a tensor, of which they need not sum to one.

    Parameters
    ----------
    input: weights of shape ``(n,)`` or ``(rows, n)``.
    num_samples: how many indices per row.
    replacement: whether an index may be drawn more than once.
    generator: where the randomness comes from.

    Returns int64 of shape ``(num_samples,)`` or ``(rows, num_samples)``. Raises ShapeError for other ranks and too
    many samples, DistributionError for weights that are negative, not finite or all zero.

    >>> multinomial(Tensor([0.0, 0.0, 3.0]), 2, replacement=True)
    tensor([2, 2])
    """
    weights = _needed(input, "multinomial")
    count = one_int(num_samples)
    if weights.ndim not in (1, 2):
        raise ShapeError(
            f"prob_dist must be 1 or 2 dim, this one has shape {weights.shape}", fix="reshape it", where=user_frame()
        )
    if weights.dtype.kind != "f":
        text = f"multinomial only supports floating-point dtypes for input, got: {weights.dtype}"
        raise DtypeError(text, fix="x.float()", where=user_frame())
    if count is None or count <= 0:
        raise ShapeError("cannot sample n_sample <= 0 samples", fix="draw at least one", where=user_frame())
    if not replacement and count > weights.shape[-1]:
        raise ShapeError(
            f"cannot sample n_sample > prob_dist.size(-1) samples without replacement: {count} of {weights.shape[-1]}",
            fix="draw fewer, or with replacement=True",
            where=user_frame(),
        )
    if not np.all(np.isfinite(weights) & (weights >= 0)):
        raise DistributionError(
            "probability tensor contains either `inf`, `nan` or element < 0",
            fix="give weights of 0 or more",
            where=user_frame(),
        )
    rows = np.atleast_2d(weights).astype(np.float64)
    totals = rows.sum(1, keepdims=True)
    if not np.all(totals > 0):
        raise DistributionError(
            "invalid multinomial distribution (sum of probabilities <= 0)", fix="give some weight above 0", where=user_frame()
        )
    draw = with_replacement if replacement else without_replacement
    shape = (*weights.shape[:-1], count)
    return drawn(lambda rng: draw(rows, count, rng).reshape(shape), generator)
