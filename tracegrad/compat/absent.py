"""Names of HIPS autograd that are not there, each with what to write instead: its machinery, mostly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

from tracegrad.core.source import user_frame
from tracegrad.errors import MissingAttributeError

_EXTEND = "primitive, defvjp, defjvp and vspace of tracegrad.compat.extend"
_CONTAINERS = "Python's own tuples, lists and dicts, which hold boxes as they are"
_NODES = "tg.jit(fun).graph(*args), the graph of a function"

ABSENT: Mapping[str, Mapping[str, str]] = {
    "tracegrad.compat": {
        "util": "functools and Python's own tools",
        "wrap_util": "unary_to_nary of tracegrad.compat.operators",
    },
    "tracegrad.compat.extend": {
        "JVPNode": _NODES,
        "VJPNode": _NODES,
        "SparseObject": "an array: the cotangent of x[i] is not stored whole for each i",
        "register_notrace": "notrace_primitive, or a rule of None in defvjp",
    },
    "tracegrad.compat.core": {
        **dict.fromkeys(["JVPNode", "VJPNode", "backward_pass"], _NODES),
        **dict.fromkeys(["SparseObject", "SparseBox", "sparse_add"], "arrays: the cotangent of x[i] is one"),
        **dict.fromkeys(["primitive_vjps", "primitive_jvps"], _EXTEND),
    },
    "tracegrad.compat.tracer": {
        **dict.fromkeys(["Node", "trace", "new_box", "trace_stack"], _NODES),
        "register_notrace": "notrace_primitive, or a rule of None in defvjp",
    },
    "tracegrad.compat.builtins": {
        **dict.fromkeys(["SequenceBox", "DictBox", "container_take", "container_untake", "make_sequence"], _CONTAINERS),
        **dict.fromkeys(["sequence_extend_right", "sequence_extend_left"], _CONTAINERS),
        **dict.fromkeys(["ContainerVSpace", "SequenceVSpace", "ListVSpace", "TupleVSpace"], _EXTEND),
        **dict.fromkeys(["DictVSpace", "NamedTupleVSpace"], _EXTEND),
    },
    "tracegrad.compat.misc": {"const_graph": "tg.jit(fun), which runs its graph as native kernels", "tracers": _NODES},
    "tracegrad.compat.numpy": {
        **dict.fromkeys(["wrap_namespace", "wrap_intdtype", "notrace_primitive", "primitive", "notrace_functions"], _EXTEND),
        **dict.fromkeys(["numpy_boxes", "numpy_jvps", "numpy_vjps", "numpy_vspaces", "numpy_wrapper"], _EXTEND),
        "numpy_version": "np.__version__",
        "wrap_if_boxes_inside": "np.array([...]), which takes boxes in lists",
        "parse_einsum_input": "np.einsum, whose operands may be boxes",
        "metadata": "x.shape, x.ndim and x.dtype, which boxes have",
        "custom_where": "np.where",
    },
}


def refusing(module: str) -> Callable[[str], NoReturn]:
    """The ``__getattr__`` of a module of this name: MissingAttributeError teaches, AttributeError is Python's own.

    >>> refusing("tracegrad.compat")("nothing")
    Traceback (most recent call last):
    AttributeError: module 'tracegrad.compat' has no attribute 'nothing'
    """

    def __getattr__(name: str) -> NoReturn:  # noqa: N807 - what it becomes
        fix = ABSENT.get(module, {}).get(name)
        if fix is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        raise MissingAttributeError(f"{module}.{name} is not there", fix=fix, where=user_frame())

    return __getattr__
