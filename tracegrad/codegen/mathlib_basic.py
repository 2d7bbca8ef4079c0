"""Formulas that are a handful of instructions: rounding, comparison, division, integer arithmetic, reduction steps."""

from __future__ import annotations

from llvmlite import ir

from tracegrad.codegen.mathlib_lane import Lane, copy_sign, select, two_sum

# What a reduction's step may do that nothing else may: change the order of the sum, forget the sign of a zero sum,
# fuse its product.
_REDUCTION = ("reassoc", "nsz", "contract")


def sqrt(x: Lane) -> Lane:
    """One instruction."""
    return x.call("llvm.sqrt")


def floor(x: Lane) -> Lane:
    """One instruction."""
    return x.call("llvm.floor")


def ceil(x: Lane) -> Lane:
    """One instruction."""
    return x.call("llvm.ceil")


def trunc(x: Lane) -> Lane:
    """One instruction."""
    return x.call("llvm.trunc")


def rint(x: Lane) -> Lane:
    """One instruction, in the default rounding mode."""
    return x.call("llvm.rint")


def unchanged(x: Lane, signed: bool) -> Lane:
    """What rounding does to an integer."""
    return x


def absolute(x: Lane) -> Lane:
    """Clear the sign bit."""
    return abs(x)


def absolute_integer(x: Lane, signed: bool) -> Lane:
    """Negate below zero; the least integer wraps to itself."""
    return select(x < 0, -x, x) if signed else x


def sign(x: Lane) -> Lane:
    """NaN and zero keep themselves, but the zero is +0 as NumPy's."""
    positive = select(x > 0.0, x.constant(1.0), x + 0.0)
    return select(x < 0.0, x.constant(-1.0), positive)


def sign_integer(x: Lane, signed: bool) -> Lane:
    """-1, 0 or 1."""
    positive = select(x.compare("!=", 0), x.constant(1), 0)
    return select(x < 0, x.constant(-1), positive) if signed else positive


def maximum(a: Lane, b: Lane) -> Lane:
    """NumPy's choice: the first operand on equality (so of two zeros) and when it is NaN."""
    return select((a >= b) | a.is_nan(), a, b)


def minimum(a: Lane, b: Lane) -> Lane:
    """The same choice as `maximum`."""
    return select((a <= b) | a.is_nan(), a, b)


def maximum_integer(a: Lane, b: Lane, signed: bool) -> Lane:
    """One instruction."""
    return a.call("llvm.smax" if signed else "llvm.umax", b)


def minimum_integer(a: Lane, b: Lane, signed: bool) -> Lane:
    """One instruction."""
    return a.call("llvm.smin" if signed else "llvm.umin", b)


def divide(a: Lane, b: Lane) -> Lane:
    """One instruction; IEEE 754 has a result for every pair."""
    return a / b


def floor_divide(a: Lane, b: Lane) -> Lane:
    """NumPy's ``npy_divmod``: the quotient is built from the exact remainder."""
    raw = a / b
    modulus = _fmod(a, b)
    quotient = (a - modulus) / b
    opposite = modulus.compare("!=", 0.0) & ((b < 0.0) ^ (modulus < 0.0))
    quotient = select(opposite, quotient - 1.0, quotient)
    below = floor(quotient)
    nearest = select(quotient - below > 0.5, below + 1.0, below)
    # A quotient of NaN is not zero here, as in C's `if (div)`.
    result = select(quotient.equals(0.0), copy_sign(a.constant(0.0), raw), nearest)
    return select(b.equals(0.0), raw, result)


def remainder(a: Lane, b: Lane) -> Lane:
    """The remainder with the divisor's sign, which a zero takes as well."""
    modulus = _fmod(a, b)
    shifted = select((b < 0.0) ^ (modulus < 0.0), modulus + b, modulus)
    signed = select(modulus.equals(0.0), copy_sign(modulus, b), shifted)
    return select(b.equals(0.0), modulus, signed)


def _fmod(a: Lane, b: Lane) -> Lane:
    return Lane(a.builder, a.builder.frem(a.value, b.value))


def _safe_divisor(a: Lane, b: Lane, signed: bool) -> Lane:
    """1 for the divisors that trap: zero, and -1 under the least integer (whose quotient wraps to itself)."""
    traps = b.equals(0) if signed is False else b.equals(0) | (b.equals(-1) & a.equals(-(1 << (a.value.type.width - 1))))
    return select(traps, b.constant(1), b)


def floor_divide_integer(a: Lane, b: Lane, signed: bool) -> Lane:
    """The truncated quotient, less 1 where the remainder has the wrong sign."""
    safe = _safe_divisor(a, b, signed)
    if signed:
        quotient = Lane(a.builder, a.builder.sdiv(a.value, safe.value))
        rest = a - quotient * safe
        quotient = select(rest.compare("!=", 0) & ((rest ^ safe) < 0), quotient - 1, quotient)
    else:
        quotient = Lane(a.builder, a.builder.udiv(a.value, safe.value))
    return select(b.equals(0), b.constant(0), quotient)


def remainder_integer(a: Lane, b: Lane, signed: bool) -> Lane:
    """The truncated remainder, plus the divisor where it has the wrong sign."""
    safe = _safe_divisor(a, b, signed)
    if signed:
        rest = Lane(a.builder, a.builder.srem(a.value, safe.value))
        rest = select(rest.compare("!=", 0) & ((rest ^ safe) < 0), rest + safe, rest)
    else:
        rest = Lane(a.builder, a.builder.urem(a.value, safe.value))
    return select(b.equals(0), b.constant(0), rest)


def power_integer(base: Lane, exponent: Lane, signed: bool) -> Lane:
    """Square and multiply, modulo the word; a loop over the exponent's bits, hence not vectorised."""
    builder, kind = base.builder, base.value.type
    before = builder.block
    head = builder.append_basic_block("power.head")
    body = builder.append_basic_block("power.body")
    after = builder.append_basic_block("power.after")
    builder.branch(head)
    builder.position_at_end(head)
    result, square, rest = (builder.phi(kind) for _ in range(3))
    builder.cbranch(builder.icmp_signed("==", rest, ir.Constant(kind, 0)), after, body)
    builder.position_at_end(body)
    odd = builder.trunc(rest, ir.IntType(1))
    next_result = builder.select(odd, builder.mul(result, square), result)
    next_square = builder.mul(square, square)
    next_rest = builder.lshr(rest, ir.Constant(kind, 1))
    builder.branch(head)
    for phi, first, following in (
        (result, ir.Constant(kind, 1), next_result),
        (square, base.value, next_square),
        (rest, exponent.value, next_rest),
    ):
        phi.add_incoming(first, before)
        phi.add_incoming(following, body)
    builder.position_at_end(after)
    return Lane(builder, result)


def _truth(x: Lane, value: bool) -> Lane:
    return Lane(x.builder, ir.Constant(ir.IntType(1), value))


def isnan(x: Lane) -> Lane:
    """x is unordered with itself."""
    return x.is_nan()


def isinf(x: Lane) -> Lane:
    """|x| is inf."""
    return abs(x).equals(float("inf"))


def isfinite(x: Lane) -> Lane:
    """|x| is below inf, which NaN is not."""
    return abs(x).compare("<", float("inf"))


def always(x: Lane, signed: bool) -> Lane:
    """True, whatever the integer."""
    return _truth(x, True)


def never(x: Lane, signed: bool) -> Lane:
    """False, whatever the integer."""
    return _truth(x, False)


def absorbing_multiply(g: Lane, p: Lane) -> Lane:
    """The product is computed in any case and dropped where g is 0.

    In this order product and choice are one masked instruction; NaN differs from 0 here.
    """
    return select(Lane(g.builder, g.builder.fcmp_unordered("!=", g.value, g.constant(0.0).value)), g * p, g)


def multiply_integer(g: Lane, p: Lane, signed: bool) -> Lane:
    """The wrapping product."""
    return g * p


def accumulate(total: Lane, term: Lane) -> Lane:
    """A sum whose order is free."""
    return Lane(total.builder, total.builder.fadd(total.value, term.value, flags=_REDUCTION))


def watch(seen: Lane, x: Lane) -> Lane:
    """0 for what is finite, else NaN."""
    return accumulate(seen, Lane(x.builder, x.builder.fmul(x.value, x.constant(0.0).value, flags=("contract",))))


def accumulate_integer(total: Lane, term: Lane, signed: bool) -> Lane:
    """The wrapping sum."""
    return total + term


def block_end(start: Lane, stop: Lane, block: int, group: int) -> Lane:
    """A few instructions on int64."""
    left = stop - start
    groups = (left & -group).call("llvm.smax", left.call("llvm.smin", group - 1))
    return start + groups.call("llvm.smin", block)


def rounding_error(a: Lane, b: Lane) -> Lane:
    """Knuth's sum, whose error is NaN where the sum overflows or is none."""
    _, error = two_sum(a, b)
    return select(abs(error).compare("<", float("inf")), error, 0.0)


def accumulate_product(total: Lane, factor: Lane) -> Lane:
    """A product whose order is free."""
    return Lane(total.builder, total.builder.fmul(total.value, factor.value, flags=_REDUCTION))


def accumulate_maximum(greatest: Lane, term: Lane) -> Lane:
    """The vectoriser knows a NaN-propagating maximum as this intrinsic, not as comparisons and selects."""
    return greatest.call("llvm.maximum", term)


def accumulate_minimum(least: Lane, term: Lane) -> Lane:
    """The same form as `accumulate_maximum`."""
    return least.call("llvm.minimum", term)
