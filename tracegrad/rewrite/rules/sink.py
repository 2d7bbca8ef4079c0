"""Views move below maps, towards the inputs, where they become index arithmetic of a load.

Only below maps that have no other user, so that nothing is computed twice; and never a broadcast, which moves the
other way.
"""

from __future__ import annotations

from typing import Any

from tracegrad.core.aval import Shape
from tracegrad.core.op import Kind, Op
from tracegrad.ops.broadcasting import broadcast, reshape_to
from tracegrad.ops.maps import add, tanh
from tracegrad.ops.views import permute, reverse, strided_slice
from tracegrad.rewrite.pattern import Application, Rule, example, family, parameter, rule
from tracegrad.rewrite.rules.facts import made_by, unstretched
from tracegrad.symbolic import Sym


def _map() -> Any:
    return family("node", Kind.MAP, once=True)


def _plain(node: Application, shape: Shape) -> bool:
    """Whether the reshape of every operand is free: a stretched one would have to be indexed through it.

    One that only adds or drops axes of size 1 stays where it is, since loops have no such axes.
    """
    same = [n for n in node.operands[0].shape if n != 1] == [n for n in shape if n != 1]
    return not same and all(made_by(x).op is not broadcast or not unstretched(x).shape for x in node.operands)


def _below(view: Op, node: Application, **params: Any) -> Sym:
    """The map of the views of its operands."""
    recorder = node.operands[0].recorder
    ids = tuple([recorder.emit(view, (x.id,), params) for x in node.operands])
    return Sym(recorder, recorder.emit(node.op, ids, node.params))


RULES: tuple[Rule, ...] = (
    rule(
        "transpose-below-map",
        "exact",
        lambda: permute(_map(), axes=parameter("axes")),
        lambda node, axes: _below(permute, node, axes=axes),
        examples=[
            example(lambda x: permute(tanh(x), axes=(1, 0)), (3, 4)),
            example(lambda x, y: permute(add(x, broadcast(y, shape=(3, 4))), axes=(1, 0)), (3, 4), (4,)),
        ],
    ),
    rule(
        "flip-below-map",
        "exact",
        lambda: reverse(_map(), axes=parameter("axes")),
        lambda node, axes: _below(reverse, node, axes=axes),
        examples=[example(lambda x: reverse(tanh(x), axes=(1,)), (3, 4))],
    ),
    rule(
        "reshape-below-map",
        "exact",
        lambda: reshape_to(_map(), shape=parameter("shape")),
        lambda node, shape: _below(reshape_to, node, shape=shape),
        when=_plain,
        examples=[example(lambda x: reshape_to(tanh(x), shape=(2, 6)), (3, 4))],
    ),
    rule(
        "slice-below-map",
        "exact",
        lambda: strided_slice(_map(), starts=parameter("starts"), sizes=parameter("sizes"), steps=parameter("steps")),
        lambda node, starts, sizes, steps: _below(strided_slice, node, starts=starts, sizes=sizes, steps=steps),
        examples=[
            example(lambda x: strided_slice(tanh(x), starts=(0, 1), sizes=(3, 2), steps=(1, 2)), (3, 4)),
        ],
    ),
)
