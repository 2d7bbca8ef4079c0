"""Where a checkpointed part of a program begins and ends: values themselves, which the schedule looks at and takes away."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.op import Op, Sample, common, elementwise
from tracegrad.ops.declare import one


def _mark(name: str, doc: str) -> Op:
    return elementwise(
        name,
        np.positive,
        (lambda out, x, *, region: 1,),
        lambda x, *, region: x,
        eager=lambda x, *, region: x,
        promote=lambda x: (x if isinstance(x, np.dtype) else common(x)[0],),
        result=lambda x, *, region: x,
        numpy=(),
        torch=("", ""),
        doc=doc,
        samples=tuple(Sample(sample.operands, {"region": 0}) for sample in one()),
    )


begin: Op = _mark("checkpoint_begin", "The value itself, as an argument of a checkpointed function.")
end: Op = _mark("checkpoint_end", "The value itself, as a result of a checkpointed function.")


def is_mark(op: Any) -> bool:
    """Whether an op is one of the two."""
    return op is begin or op is end
