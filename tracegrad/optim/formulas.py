"""The formulas of PyTorch's optimisers, each written once: ``t`` is the step from 1, ``g`` the gradient."""

from __future__ import annotations

from typing import Any

from tracegrad.ops.maps import absolute, maximum, sqrt
from tracegrad.optim.formula import (
    Formula,
    Numbers,
    Options,
    Slot,
    Slots,
    absent,
    at_least_0,
    below_1,
    choose,
    downhill,
    known,
    like,
    mean,
    mean_square,
    precise,
    root,
)

__all__ = ["ADADELTA", "ADAGRAD", "ADAM", "ADAMAX", "NADAM", "RADAM", "RMSPROP", "SGD"]


def _kept_weight(options: Options) -> Any:
    """What decoupled weight decay leaves of a parameter; None where it leaves all."""
    weight = options["weight_decay"]
    decoupled = options.get("decoupled_weight_decay", False)
    return None if not decoupled or absent(weight) else 1.0 - options["lr"] * weight


def _decayed(p: Any, g: Any, kept: Any, options: Options) -> tuple[Any, Any]:
    """The parameter and the gradient after weight decay of either kind."""
    decoupled = options.get("decoupled_weight_decay", False)
    return (p if kept is None else p * like(kept, p)), downhill(p, g, options, decay=not decoupled)


# -- gradient descent -------------------------------------------------------------------------------------------------


def _sgd_check(options: Options) -> None:
    at_least_0(options, lr="learning rate", momentum="momentum value", weight_decay="weight_decay value")
    if options["nesterov"] and (absent(options["momentum"]) or not absent(options["dampening"])):
        raise ValueError("Nesterov momentum requires a momentum and zero dampening")


def _sgd_numbers(options: Options, count: Any) -> Numbers:
    dampening = options["dampening"]
    # the first step takes the gradient whole
    new = 1.0 if absent(dampening) else choose(count <= 1, 1.0, 1.0 - dampening)
    return options["lr"], options["momentum"], new


def _sgd_step(p: Any, g: Any, slots: Slots, numbers: Numbers, options: Options) -> tuple[Any, Slots]:
    """``v ← momentum·v + (1 - dampening)·g``, ``p ← p - lr·v``."""
    (velocity,) = slots
    rate, momentum, new = numbers
    g = direction = downhill(p, g, options)
    if velocity is not None:
        part = g if known(new) and new == 1 else g * like(new, p)
        velocity = velocity * like(momentum, p) + part
        direction = g + velocity * like(momentum, p) if options["nesterov"] else velocity
    return p - direction * like(rate, p), (velocity,)


SGD = Formula(
    "SGD",
    (Slot("velocity", lambda options: not absent(options["momentum"])),),
    _sgd_numbers,
    _sgd_step,
    _sgd_check,
)

# -- Adam and its kin -------------------------------------------------------------------------------------------------


def _adam_check(options: Options) -> None:
    at_least_0(options, lr="learning rate", eps="epsilon value")
    below_1(options["betas"])
    at_least_0(options, weight_decay="weight_decay value")


def _adam_numbers(options: Options, count: Any) -> Numbers:
    b1, b2 = options["betas"]
    return options["lr"] / (1.0 - b1**count), root(1.0 - b2**count), _kept_weight(options)


def _adam_step(p: Any, g: Any, slots: Slots, numbers: Numbers, options: Options) -> tuple[Any, Slots]:
    """``m ← b1·m + (1 - b1)·g``, ``v ← b2·v + (1 - b2)·g²``, ``p ← p - lr / (1 - b1ᵗ) · m / (√v / √(1 - b2ᵗ) + eps)``."""
    first, second, largest = slots
    rate, correction, kept = numbers
    b1, b2 = options["betas"]
    p, g = _decayed(p, g, kept, options)
    first = mean(first, g, b1)
    second = mean_square(second, g, b2)
    if largest is not None:
        largest = maximum(largest, second)
    size = sqrt(second if largest is None else largest) / like(correction, p) + like(options["eps"], p)
    return p - first * like(rate, p) / size, (first, second, largest)


ADAM = Formula(
    "Adam",
    (Slot("first"), Slot("second"), Slot("largest", lambda options: bool(options["amsgrad"]))),
    _adam_numbers,
    _adam_step,
    _adam_check,
)


def _adamax_numbers(options: Options, count: Any) -> Numbers:
    return (options["lr"] / (1.0 - options["betas"][0] ** count),)


def _adamax_step(p: Any, g: Any, slots: Slots, numbers: Numbers, options: Options) -> tuple[Any, Slots]:
    """``u ← max(b2·u, |g| + eps)``, ``p ← p - lr / (1 - b1ᵗ) · m / u``."""
    first, largest = slots
    b1, b2 = options["betas"]
    g = downhill(p, g, options)
    first = mean(first, g, b1)
    largest = maximum(largest * like(b2, p), absolute(g) + like(options["eps"], p))
    return p - first * like(numbers[0], p) / largest, (first, largest)


ADAMAX = Formula("Adamax", (Slot("first"), Slot("largest")), _adamax_numbers, _adamax_step, _adam_check)


def _nadam_check(options: Options) -> None:
    _adam_check(options)
    at_least_0(options, momentum_decay="momentum_decay value")


def _nadam_numbers(options: Options, count: Any) -> Numbers:
    b1, b2 = options["betas"]
    decay = options["momentum_decay"]
    now = b1 * (1.0 - 0.5 * 0.96 ** (count * decay))
    after = b1 * (1.0 - 0.5 * 0.96 ** ((count + 1.0) * decay))
    return options["lr"], now, after, 1.0 - b2**count, _kept_weight(options)


def _nadam_step(p: Any, g: Any, slots: Slots, numbers: Numbers, options: Options) -> tuple[Any, Slots]:
    """``μₜ = b1·(1 - 0.96^(t·decay) / 2)``; ``p ← p - lr·((1 - μₜ)·g / (1 - Πμ) + μₜ₊₁·m / (1 - Πμ·μₜ₊₁)) / (√v̂ + eps)``."""
    product, first, second = slots
    rate, now, after, correction, kept = numbers
    b1, b2 = options["betas"]
    p, g = _decayed(p, g, kept, options)
    product = product * like(now, product)
    first = mean(first, g, b1)
    second = mean_square(second, g, b2)
    size = sqrt(second / like(correction, p)) + like(options["eps"], p)
    whole = precise(product)
    p = p - g * like(rate * (1.0 - now) / (1.0 - whole), p) / size
    return p - first * like(rate * after / (1.0 - whole * after), p) / size, (product, first, second)


NADAM = Formula(
    "NAdam",
    (Slot("product", start=lambda options: 1.0, scalar=True), Slot("first"), Slot("second")),
    _nadam_numbers,
    _nadam_step,
    _nadam_check,
)


def _radam_numbers(options: Options, count: Any) -> Numbers:
    b1, b2 = options["betas"]
    left = 1.0 - b2**count
    limit = 2.0 / (1.0 - b2) - 1.0
    length = limit - 2.0 * count * b2**count / left
    steady = length > 5.0
    # where it is not steady any number above 4 does: no root of a negative number is taken
    n = choose(steady, length, 6.0)
    rectified = root((n - 4.0) * (n - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * n)) if _long(b2) else 1.0
    return options["lr"], 1.0 - b1**count, steady, rectified * root(left), _kept_weight(options)


def _long(b2: Any) -> bool:
    """Whether averages with this beta can become steady at all."""
    return not known(b2) or 2.0 / (1.0 - b2) - 1.0 > 5.0


def _radam_step(p: Any, g: Any, slots: Slots, numbers: Numbers, options: Options) -> tuple[Any, Slots]:
    """Adam with a rectified rate once the mean of squares is steady, momentum alone before."""
    first, second = slots
    rate, correction, steady, rectified, kept = numbers
    b1, b2 = options["betas"]
    p, g = _decayed(p, g, kept, options)
    first = mean(first, g, b1)
    second = mean_square(second, g, b2)
    move = first / like(correction, p) * like(rate, p)
    if not known(steady) or steady:
        scaled = like(rectified, p) / (sqrt(second) + like(options["eps"], p))
        move = move * choose(steady, scaled, like(1.0, p))
    return p - move, (first, second)


RADAM = Formula("RAdam", (Slot("first"), Slot("second")), _radam_numbers, _radam_step, _adam_check)

# -- rates per element ------------------------------------------------------------------------------------------------


def _rmsprop_check(options: Options) -> None:
    at_least_0(options, lr="learning rate", eps="epsilon value", momentum="momentum value")
    at_least_0(options, weight_decay="weight_decay value", alpha="alpha value")


def _rmsprop_step(p: Any, g: Any, slots: Slots, numbers: Numbers, options: Options) -> tuple[Any, Slots]:
    """``v ← α·v + (1 - α)·g²``, ``p ← p - lr·g / (√v + eps)``; centred, ``v`` less the square of the mean gradient."""
    square, velocity, centre = slots
    (rate,) = numbers
    alpha = options["alpha"]
    g = downhill(p, g, options)
    square = mean_square(square, g, alpha)
    if centre is not None:
        centre = mean(centre, g, alpha)
    size = sqrt(square if centre is None else square - centre * centre) + like(options["eps"], p)
    if velocity is None:
        return p - g * like(rate, p) / size, (square, velocity, centre)
    velocity = velocity * like(options["momentum"], p) + g / size
    return p - velocity * like(rate, p), (square, velocity, centre)


def _rate_alone(options: Options, count: Any) -> Numbers:
    return (options["lr"],)


RMSPROP = Formula(
    "RMSprop",
    (
        Slot("squares"),
        Slot("velocity", lambda options: not absent(options["momentum"])),
        Slot("centre", lambda options: bool(options["centered"])),
    ),
    _rate_alone,
    _rmsprop_step,
    _rmsprop_check,
)


def _adagrad_check(options: Options) -> None:
    at_least_0(options, lr="learning rate", lr_decay="lr_decay value", weight_decay="weight_decay value")
    at_least_0(options, initial_accumulator_value="initial_accumulator_value value", eps="epsilon value")


def _adagrad_numbers(options: Options, count: Any) -> Numbers:
    decay = options["lr_decay"]
    return (options["lr"] if absent(decay) else options["lr"] / (1.0 + (count - 1.0) * decay),)


def _adagrad_step(p: Any, g: Any, slots: Slots, numbers: Numbers, options: Options) -> tuple[Any, Slots]:
    """``s ← s + g²``, ``p ← p - lr / (1 + (t - 1)·lr_decay) · g / (√s + eps)``."""
    (total,) = slots
    g = downhill(p, g, options)
    total = total + g * g
    return p - g * like(numbers[0], p) / (sqrt(total) + like(options["eps"], p)), (total,)


ADAGRAD = Formula(
    "Adagrad",
    (Slot("total", start=lambda options: float(options["initial_accumulator_value"])),),
    _adagrad_numbers,
    _adagrad_step,
    _adagrad_check,
)


def _adadelta_check(options: Options) -> None:
    at_least_0(options, lr="learning rate")
    rho = options["rho"]
    if known(rho) and not 0.0 <= rho <= 1.0:
        raise ValueError(f"Invalid rho value: {rho}")
    at_least_0(options, eps="epsilon value", weight_decay="weight_decay value")


def _adadelta_step(p: Any, g: Any, slots: Slots, numbers: Numbers, options: Options) -> tuple[Any, Slots]:
    """``v ← ρ·v + (1 - ρ)·g²``, ``d = √(u + eps) / √(v + eps) · g``, ``u ← ρ·u + (1 - ρ)·d²``, ``p ← p - lr·d``."""
    square, moved = slots
    rho, eps = options["rho"], like(options["eps"], p)
    g = downhill(p, g, options)
    square = mean_square(square, g, rho)
    move = sqrt(moved + eps) / sqrt(square + eps) * g
    moved = mean_square(moved, move, rho)
    return p - move * like(numbers[0], p), (square, moved)


ADADELTA = Formula("Adadelta", (Slot("squares"), Slot("moved")), _rate_alone, _adadelta_step, _adadelta_check)
