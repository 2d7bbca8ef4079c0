"""Identities that keep every bit, on NaN, infinities and signed zeros too."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import Shape
from tracegrad.ops.broadcasting import broadcast, reshape_to
from tracegrad.ops.comparisons import logical_not
from tracegrad.ops.maps import maximum, minimum, power, scale, scale_both, select, stop_gradient
from tracegrad.ops.reductions import reduce_max, reduce_min, reduce_prod
from tracegrad.ops.views import embed, flip, join, permute, reshape, reverse, strided_slice, transpose, update
from tracegrad.rewrite.pattern import Rule, example, family, number, parameter, rule
from tracegrad.rewrite.rules.facts import with_leading_axes
from tracegrad.symbolic import Sym


def _integers(x: Sym) -> bool:
    return x.dtype.kind in "iu"


INTEGER = ("int64",)

NEUTRAL: tuple[Rule, ...] = (
    rule("times-one", "exact", lambda x: x * 1, lambda x: x),
    rule("divide-by-one", "exact", lambda x: x / 1, lambda x: x),
    rule("divide-by-minus-one", "exact", lambda x: x / -1, lambda x: -x),
    # x + 0.0 is not x at x = -0.0, but x + (-0.0) is
    rule("add-minus-zero", "exact", lambda x: x + -0.0, lambda x: x),
    rule(
        "add-integer-zero",
        "exact",
        lambda x: x + 0,
        lambda x: x,
        when=_integers,
        examples=[example(lambda x: x + 0, (9,), dtypes=INTEGER)],
    ),
    rule(
        "subtract-integer-zero",
        "exact",
        lambda x: x - 0,
        lambda x: x,
        when=_integers,
        examples=[example(lambda x: x - 0, (9,), dtypes=INTEGER)],
    ),
    rule("minus-zero-minus", "exact", lambda x: -0.0 - x, lambda x: -x),
    rule("power-zero", "exact", lambda x: power(x, number("c", 0.0, lambda c: c == 0)), lambda x: 1),
    rule("power-one", "exact", lambda x: power(x, 1), lambda x: x),
    # differentiation is over when graphs are rewritten
    rule("stop-gradient", "exact", lambda x: stop_gradient(x), lambda x: x),
    rule("maximum-with-itself", "exact", lambda x: maximum(x, x), lambda x: x),
    rule("minimum-with-itself", "exact", lambda x: minimum(x, x), lambda x: x),
    rule(
        "not-not",
        "exact",
        lambda x: logical_not(logical_not(x)),
        lambda x: x,
        examples=[example(lambda x: logical_not(logical_not(x)), (9,), dtypes=("bool",))],
    ),
)

# -- the driver's product: a zero cotangent stays as it is, otherwise it is a product -----------------------------


def _nonzero(c: Any) -> bool:
    return bool(c != 0)


def _positive(c: Any) -> bool:
    return bool(np.isfinite(c) and c > 0)


SCALE: tuple[Rule, ...] = (
    rule("scale-of-one", "exact", lambda p: scale(1, p), lambda p: p),
    rule("scale-of-minus-one", "exact", lambda p: scale(-1, p), lambda p: -p),
    rule("scale-by-one", "exact", lambda g: scale(g, 1), lambda g: g),
    rule("scale-of-zero", "exact", lambda p: scale(number("c", 0.0, lambda c: c == 0), p), lambda p, c: c),
    rule("scale-both-of-one", "exact", lambda p: scale_both(1, p), lambda p: p),
    rule("scale-both-by-one", "exact", lambda g: scale_both(g, 1), lambda g: g),
    rule("scale-both-of-constant", "exact", lambda p: scale_both(number("c", 2.5, _positive), p), lambda p, c: p * c),
    rule("scale-both-by-constant", "exact", lambda g: scale_both(g, number("c", 2.5, _positive)), lambda g, c: g * c),
    rule(
        "scale-of-constant",
        "exact",
        lambda p: scale(number("c", -2.5, _nonzero), p),
        lambda p, c: p * c,
    ),
    rule(
        "scale-by-positive-constant",
        "exact",
        lambda g: scale(g, number("c", 2.5, _positive)),
        lambda g, c: g * c,
    ),
    rule(
        "scale-of-chosen-constant",
        "exact",
        lambda condition, p: scale(select(condition, number("c", 1.0, _nonzero), number("z", 0.0, lambda z: z == 0)), p),
        lambda condition, p, c, z: select(condition, p * c, z),
    ),
    rule(
        "scale-of-constant-or-chosen",
        "exact",
        lambda condition, p: scale(select(condition, number("z", 0.0, lambda z: z == 0), number("c", 1.0, _nonzero)), p),
        lambda condition, p, c, z: select(condition, z, p * c),
    ),
)

SELECT: tuple[Rule, ...] = (
    rule("where-true", "exact", lambda x, y: select(number("", True, bool), x, y), lambda x: x),
    rule("where-false", "exact", lambda x, y: select(number("", False, np.logical_not), x, y), lambda y: y),
    rule("where-same", "exact", lambda condition, x: select(condition, x, x), lambda x: x),
    rule(
        "where-not",
        "exact",
        lambda condition, x, y: select(logical_not(condition), x, y),
        lambda condition, x, y: select(condition, y, x),
    ),
    rule(
        "where-in-where",
        "exact",
        lambda condition, x, y, z: select(condition, select(condition, x, y), z),
        lambda condition, x, z: select(condition, x, z),
    ),
    rule(
        "where-in-else",
        "exact",
        lambda condition, x, y, z: select(condition, x, select(condition, y, z)),
        lambda condition, x, z: select(condition, x, z),
    ),
)

# -- views of stretched, padded and joined values ---------------------------------------------------------------------


def _transpose_small(x: Sym, shape: Shape, axes: Shape) -> Sym:
    result: Sym = broadcast(transpose(with_leading_axes(x, len(shape)), axes), shape=tuple(shape[a] for a in axes))
    return result


def _slice_small(x: Sym, shape: Shape, starts: Shape, sizes: Shape, steps: Shape) -> Sym:
    lead = len(shape) - len(x.shape)
    own = [n != 1 or m == 1 for n, m in zip(x.shape, shape[lead:], strict=True)]
    cut = strided_slice(
        x,
        starts=tuple(a if o else 0 for a, o in zip(starts[lead:], own, strict=True)),
        sizes=tuple(n if o else 1 for n, o in zip(sizes[lead:], own, strict=True)),
        steps=tuple(s if o else 1 for s, o in zip(steps[lead:], own, strict=True)),
    )
    result: Sym = broadcast(cut, shape=sizes)
    return result


def _flip_small(x: Sym, shape: Shape, axes: Shape) -> Sym:
    lead = len(shape) - len(x.shape)
    own = tuple(a - lead for a in axes if a >= lead and x.shape[a - lead] != 1)
    result: Sym = broadcast(flip(x, own) if own else x, shape=shape)
    return result


def _same_but_ones(shape: Shape, target: Shape) -> bool:
    return [n for n in shape if n != 1] == [n for n in target if n != 1]


def _reshape_small(x: Sym, shape: Shape, target: Shape) -> Sym:
    own = (1,) * (len(shape) - len(x.shape)) + tuple(x.shape)
    kept = iter([n for n, m in zip(own, shape, strict=True) if m != 1])
    result: Sym = broadcast(reshape(x, tuple(1 if n == 1 else next(kept) for n in target)), shape=target)
    return result


def _ends(starts: Shape, sizes: Shape, steps: Shape) -> Shape:
    return tuple(a + max(n - 1, 0) * s for a, n, s in zip(starts, sizes, steps, strict=True))


def _apart(x: Sym, starts2: Shape, steps2: Shape, starts: Shape, sizes: Shape, steps: Shape) -> bool:
    """Whether a slice and the one that was written do not meet: their ranges differ along some axis."""
    ends, ends2 = _ends(starts, sizes, steps), _ends(starts2, tuple(x.shape), steps2)
    return any(e < b or e2 < a for a, e, b, e2 in zip(starts, ends, starts2, ends2, strict=True))


def _part(parts: Any, starts: Shape, sizes: Shape, steps: Shape) -> tuple[int, int]:
    """The number of the joined value that a slice lies in, or -1, and where that value begins."""
    axis = parts.params["axis"]
    begin, last = starts[axis], _ends(starts, sizes, steps)[axis]
    offset = 0
    for k, x in enumerate(parts.operands):
        if offset <= begin and last < offset + x.shape[axis]:
            return k, offset
        offset += x.shape[axis]
    return -1, 0


def _slice_part(parts: Any, starts: Shape, sizes: Shape, steps: Shape) -> Sym:
    k, offset = _part(parts, starts, sizes, steps)
    begin = tuple(a - offset if d == parts.params["axis"] else a for d, a in enumerate(starts))
    result: Sym = strided_slice(parts.operands[k], starts=begin, sizes=sizes, steps=steps)
    return result


def _slice(x: Any) -> Any:
    return strided_slice(x, starts=parameter("starts"), sizes=parameter("sizes"), steps=parameter("steps"))


VIEWS: tuple[Rule, ...] = (
    rule(
        "transpose-of-stretched",
        "exact",
        lambda x: permute(broadcast(x, shape=parameter("shape")), axes=parameter("axes")),
        _transpose_small,
        examples=[example(lambda x: permute(broadcast(x, shape=(2, 3, 4)), axes=(2, 0, 1)), (3, 1))],
    ),
    rule(
        "slice-of-stretched",
        "exact",
        lambda x: _slice(broadcast(x, shape=parameter("shape"))),
        _slice_small,
        examples=[
            example(
                lambda x: strided_slice(broadcast(x, shape=(2, 5, 4)), starts=(1, 1, 0), sizes=(1, 2, 2), steps=(1, 2, 3)),
                (5, 1),
            )
        ],
    ),
    rule(
        "flip-of-stretched",
        "exact",
        lambda x: reverse(broadcast(x, shape=parameter("shape")), axes=parameter("axes")),
        _flip_small,
        examples=[
            example(lambda x: reverse(broadcast(x, shape=(2, 3, 4)), axes=(0, 1)), (3, 1)),
            example(lambda x: reverse(broadcast(x, shape=(2, 3)), axes=(0,)), (3,)),
        ],
    ),
    rule(
        "reshape-of-stretched",
        "exact",
        lambda x: reshape_to(broadcast(x, shape=parameter("shape")), shape=parameter("target")),
        _reshape_small,
        when=lambda shape, target: _same_but_ones(shape, target),
        examples=[example(lambda x: reshape_to(broadcast(x, shape=(2, 3, 1, 4)), shape=(1, 2, 3, 4, 1)), (3, 1, 1))],
    ),
    rule(
        "slice-of-embedded",
        "exact",
        lambda x: _slice(embed(x, shape=parameter("shape"), starts=parameter("starts2"), steps=parameter("steps2"))),
        lambda x: x,
        when=lambda x, starts, sizes, steps, starts2, steps2: (starts, sizes, steps) == (starts2, tuple(x.shape), steps2),
        examples=[
            example(
                lambda x: strided_slice(embed(x, shape=(9,), starts=(1,), steps=(2,)), starts=(1,), sizes=(3,), steps=(2,)),
                (3,),
            )
        ],
    ),
    rule(
        "slice-beside-embedded",
        "exact",
        lambda x: _slice(embed(x, shape=parameter("shape"), starts=parameter("starts2"), steps=parameter("steps2"))),
        lambda x, sizes: x.bind_op(broadcast, (np.zeros((), x.dtype),), {"shape": sizes}),
        when=_apart,
        examples=[
            example(
                lambda x: strided_slice(embed(x, shape=(9,), starts=(1,), steps=(2,)), starts=(6,), sizes=(3,), steps=(1,)),
                (3,),
            )
        ],
    ),
    rule(
        "slice-of-written",
        "exact",
        lambda base, x: _slice(update(base, x, starts=parameter("starts2"), steps=parameter("steps2"))),
        lambda x: x,
        when=lambda x, starts, sizes, steps, starts2, steps2: (starts, sizes, steps) == (starts2, tuple(x.shape), steps2),
        examples=[
            example(
                lambda b, x: strided_slice(update(b, x, starts=(1,), steps=(2,)), starts=(1,), sizes=(3,), steps=(2,)),
                (9,),
                (3,),
            )
        ],
    ),
    rule(
        "slice-beside-written",
        "exact",
        lambda base, x: _slice(update(base, x, starts=parameter("starts2"), steps=parameter("steps2"))),
        lambda base, starts, sizes, steps: strided_slice(base, starts=starts, sizes=sizes, steps=steps),
        when=_apart,
        examples=[
            example(
                lambda b, x: strided_slice(update(b, x, starts=(1,), steps=(2,)), starts=(6,), sizes=(3,), steps=(1,)),
                (9,),
                (3,),
            )
        ],
    ),
    rule(
        "slice-of-joined",
        "exact",
        lambda: _slice(family("parts", join)),
        _slice_part,
        when=lambda parts, starts, sizes, steps: _part(parts, starts, sizes, steps)[0] >= 0,
        examples=[
            example(
                lambda x, y: strided_slice(join(x, y, axis=0), starts=(4, 0), sizes=(2, 2), steps=(1, 2)),
                (3, 4),
                (5, 4),
            )
        ],
    ),
)

# -- reductions -------------------------------------------------------------------------------------------------------


def _stretched_axes(x: Sym, shape: Shape, axes: Shape) -> tuple[int, ...]:
    lead = len(shape) - len(x.shape)
    return tuple(a for a in axes if a < lead or (x.shape[a - lead] == 1 and shape[a] != 1))


def unrepeated(x: Sym, shape: Shape, axes: Shape) -> tuple[Sym, Shape, int]:
    """A value without those of ``axes`` along which it was stretched to ``shape``.

    Returns it, what remains of ``axes``, and how often each element occurred along the axes left out.
    """
    gone = _stretched_axes(x, shape, axes)
    whole = with_leading_axes(x, len(shape))
    kept = [k for k in range(len(shape)) if k not in gone]
    small = reshape(whole, tuple(whole.shape[k] for k in kept))
    small = (
        broadcast(small, shape=tuple(shape[k] for k in kept)) if tuple(small.shape) != tuple(shape[k] for k in kept) else small
    )
    return small, tuple(kept.index(a) for a in axes if a not in gone), math.prod(shape[a] for a in gone)


def _extreme_small(op: Any) -> Any:
    def replacement(x: Sym, shape: Shape, axes: Shape) -> Sym:
        small, rest, _ = unrepeated(x, shape, axes)
        return op(small, axes=rest) if rest else small

    return replacement


def repeats(x: Sym, shape: Shape, axes: Shape) -> bool:
    """Whether a reduction meets each element more than once."""
    return bool(_stretched_axes(x, shape, axes)) and math.prod(shape) > 0


REDUCTIONS: tuple[Rule, ...] = (
    rule(
        "product-of-no-axes",
        "exact",
        lambda x: reduce_prod(x, axes=()),
        lambda x: x,
        examples=[example(lambda x: reduce_prod(x, axes=()), (9,))],
    ),
    rule(
        "max-of-stretched",
        "exact",
        lambda x: reduce_max(broadcast(x, shape=parameter("shape")), axes=parameter("axes")),
        _extreme_small(reduce_max),
        when=repeats,
        examples=[example(lambda x: reduce_max(broadcast(x, shape=(2, 3, 4)), axes=(0, 1)), (3, 1))],
    ),
    rule(
        "min-of-stretched",
        "exact",
        lambda x: reduce_min(broadcast(x, shape=parameter("shape")), axes=parameter("axes")),
        _extreme_small(reduce_min),
        when=repeats,
        examples=[example(lambda x: reduce_min(broadcast(x, shape=(2, 3, 4)), axes=(0,)), (4,))],
    ),
    rule(
        "max-of-no-axes",
        "exact",
        lambda x: reduce_max(x, axes=()),
        lambda x: x,
        examples=[example(lambda x: reduce_max(x, axes=()), (200,))],
    ),
    rule(
        "min-of-no-axes",
        "exact",
        lambda x: reduce_min(x, axes=()),
        lambda x: x,
        examples=[example(lambda x: reduce_min(x, axes=()), (200,))],
    ),
)

RULES = NEUTRAL + SCALE + SELECT + VIEWS + REDUCTIONS
