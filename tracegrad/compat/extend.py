"""Functions with derivatives of their own: ``primitive``, and ``defvjp`` and ``defjvp`` with their kin.

A primitive runs on plain values, whatever it calls, and is one node of the record. Either kind of rule is enough: a tangent
rule is linear in the tangent, and its transpose is what a backward needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from itertools import count
from typing import Any, NoReturn

import numpy as np

from tracegrad.compat.absent import refusing
from tracegrad.compat.boxes import ArrayBox, getval
from tracegrad.compat.calls import gathered, holds_box
from tracegrad.compat.spaces import VSpace, vspace
from tracegrad.compat.tape import make_vjp
from tracegrad.core.aval import Aval
from tracegrad.core.source import user_frame
from tracegrad.core.tree import TreeDef, flatten
from tracegrad.eager.nodes import Node
from tracegrad.errors import DifferentiationError, MissingAttributeError, RuleError, ShapeError, TreeError
from tracegrad.ops import contractions, views

__all__ = [
    "Box",
    "VSpace",
    "def_linear",
    "defjvp",
    "defjvp_argnum",
    "defjvp_argnums",
    "defvjp",
    "defvjp_argnum",
    "defvjp_argnums",
    "getval",
    "notrace_primitive",
    "primitive",
    "vspace",
]

Function = Callable[..., Any]
Box = ArrayBox
__getattr__ = refusing(__name__)


class Primitive:
    """A function that is one step of the record; ``defvjp`` or ``defjvp`` give it its derivative.

    ``fun`` is the function as it was given. Called without a box among its arguments it is that function.
    """

    def __init__(self, fun: Function) -> None:
        wraps(fun)(self)
        self.fun = fun
        self.vjp_argnums: Function | None = None
        self.jvp_argnums: Function | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's value, recorded where a box is among the arguments."""
        argnums = tuple([k for k, arg in enumerate(args) if holds_box(arg)])
        named = [name for name, arg in kwargs.items() if holds_box(arg)]
        if named:
            raise DifferentiationError(
                f"{self.__name__} is a primitive and gets {named[0]}= by name, with respect to which it has no derivative",
                fix="give it by position",
                where=user_frame(),
            )
        if not argnums:
            return self.fun(*args, **kwargs)
        if self.vjp_argnums is None and self.jvp_argnums is None:
            raise RuleError(
                f"VJP of {self.__name__} wrt argnums {argnums} not defined",
                fix=f"defvjp({self.__name__}, lambda ans, *args: lambda g: ...) says what its derivative is",
                where=user_frame(),
            )
        ans = self.fun(*(_plain(arg) if k in argnums else arg for k, arg in enumerate(args)), **kwargs)
        leaves, structure = flatten(ans)
        arrays = [np.asarray(leaf) for leaf in leaves]
        if not any(array.dtype.kind in "fc" for array in arrays):
            return ans
        node = PrimitiveNode(self, args, kwargs, argnums, arrays, structure)
        boxes = [_boxed(array, node, k) for k, array in enumerate(arrays)]
        return structure.unflatten(boxes)

    __name__: str

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else lambda *args, **kwargs: self(instance, *args, **kwargs)

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("defvjp", "defgrad", "defvjp_is_zero"):
            raise MissingAttributeError(
                f"primitives have no method {name}, which autograd has given up as well",
                fix="defvjp(f, lambda ans, *args: lambda g: ...) of tracegrad.compat.extend, None for a derivative of zero",
                where=user_frame(),
            )
        raise AttributeError(f"primitives have no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<primitive {self.__name__}>"

    def pullback(self, argnums: tuple[int, ...], ans: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Function:
        """The function from a cotangent of the result to those of the arguments ``argnums``."""
        if self.vjp_argnums is not None:
            return self.vjp_argnums(argnums, ans, tuple(args), kwargs)  # type: ignore[no-any-return]
        assert self.jvp_argnums is not None
        push = self.jvp_argnums
        zeros = tuple([vspace(args[k]).zeros() for k in argnums])
        return make_vjp(lambda tangents: push(argnums, list(tangents), ans, tuple(args), kwargs), zeros)[0]


def _plain(arg: Any) -> Any:
    leaves, structure = flatten(arg)
    return structure.unflatten([getval(leaf) for leaf in leaves])


def _boxed(array: np.ndarray[Any, Any], node: Node, slot: int) -> Any:
    return ArrayBox._wrap(array, node, None, slot) if array.dtype.kind in "fc" else array[()]


class PrimitiveNode(Node):
    """One call of a primitive: all parts of its arguments are operands, all parts of its value results."""

    def __init__(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        argnums: tuple[int, ...],
        arrays: Sequence[np.ndarray[Any, Any]],
        structure: TreeDef,
    ) -> None:
        self.primitive = primitive
        self.args = args
        self.kwargs = kwargs
        self.argnums = argnums
        self.arrays = arrays
        self.structure = structure
        self.outputs = len(arrays)
        self.parts = [flatten(args[k]) for k in argnums]
        operands = [leaf for leaves, _ in self.parts for leaf in leaves]
        self.sources = tuple([x._source if type(x) is ArrayBox else None for x in operands])
        self.slots = tuple([x._slot if type(x) is ArrayBox else 0 for x in operands])
        self.made: Function | None = None
        if self.outputs == 1:
            self.shape, self.dtype = arrays[0].shape, arrays[0].dtype

    def slot_aval(self, slot: int) -> Aval:
        """Shape and dtype of a result."""
        return Aval(self.arrays[slot].shape, self.arrays[slot].dtype)

    def name(self) -> str:
        """The function's name."""
        return self.primitive.__name__

    def pull(self, g: Any, wanted: Sequence[int], create: Any, keep: bool) -> list[Any]:
        """The cotangents of the wanted operands by the primitive's own rule."""
        row = g if self.outputs > 1 else [g]
        given = [np.zeros(a.shape, a.dtype) if part is None else part for part, a in zip(row, self.arrays, strict=True)]
        given = [part if type(part) is ArrayBox or part.shape else part[()] for part in given]
        if create is not None:
            ans = self.structure.unflatten([_boxed(a, self, k) for k, a in enumerate(self.arrays)])
            made = self.primitive.pullback(self.argnums, ans, self.args, self.kwargs)
        else:
            if self.made is None:
                ans = self.structure.unflatten([a[()] for a in self.arrays])
                args = [_plain(arg) if k in self.argnums else arg for k, arg in enumerate(self.args)]
                self.made = self.primitive.pullback(self.argnums, ans, args, self.kwargs)
            made = self.made
        found = list(made(self.structure.unflatten(given)))
        if len(found) != len(self.argnums):
            raise TreeError(f"the vjp of {self.name()} gives {len(found)} cotangents for arguments {self.argnums}")
        flat: list[Any] = []
        for k, part, (leaves, structure) in zip(self.argnums, found, self.parts, strict=True):
            flat += self._checked(k, part, leaves, structure)
        return [flat[k] for k in wanted]

    def _checked(self, argnum: int, part: Any, leaves: Sequence[Any], structure: TreeDef) -> list[Any]:
        """The cotangents of one argument's parts, in their shapes and dtypes."""
        cotangents, own = flatten(part)
        if own != structure:
            raise TreeError(
                f"the vjp of {self.name()} gives {own!r} for argument {argnum}, which is {structure!r}",
                fix="give a cotangent for each array of the argument, in the same containers",
            )
        result: list[Any] = []
        for x, v in zip(leaves, cotangents, strict=True):
            if type(x) is not ArrayBox:
                result.append(v)
                continue
            v = v if type(v) is ArrayBox else np.asarray(v)
            if v.shape != x.shape:
                if v.size != x.size:
                    raise ShapeError(
                        f"the vjp of {self.name()} gives shape {v.shape} for argument {argnum}, which has shape {x.shape}",
                        fix="sum it over the axes along which the argument was broadcast",
                    )
                v = v.reshape(x.shape)
            if v.dtype != x.dtype:
                v = (v.real if v.dtype.kind == "c" and x.dtype.kind == "f" else v).astype(x.dtype)
            result.append(v)
        return result


def primitive(f_raw: Function) -> Any:
    """Make a function a primitive: it gets plain values, and its derivative is what ``defvjp`` or ``defjvp`` say.

    >>> square = primitive(lambda x: x * x)
    >>> defvjp(square, lambda ans, x: lambda g: g * 2 * x)
    >>> vjp, value = make_vjp(square, 3.0)
    >>> vjp(1.0), value
    (np.float64(6.0), np.float64(9.0))
    """
    return Primitive(f_raw)


def notrace_primitive(f_raw: Function) -> Function:
    """The function with plain values for its arguments: no derivative flows through it.

    >>> notrace_primitive(len)([1, 2])
    2
    """

    @wraps(f_raw)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return f_raw(*(_plain(arg) if holds_box(arg) else arg for arg in args), **kwargs)

    return wrapped


def _own(fun: Any) -> Primitive:
    if isinstance(fun, Primitive):
        return fun
    name = getattr(fun, "__name__", repr(fun))
    raise DifferentiationError(
        f"{name} is no primitive: a derivative is given to functions made by primitive()",
        fix=f"f = primitive({name}); defvjp(f, ...), and call f",
        where=user_frame(),
    )


def defvjp_argnums(fun: Any, vjpmaker: Function) -> None:
    """``vjpmaker(argnums, ans, args, kwargs)`` gives ``vjp``: ``vjp(g)`` are the cotangents of arguments ``argnums``."""
    _own(fun).vjp_argnums = vjpmaker


def defvjp_argnum(fun: Any, vjpmaker: Function) -> None:
    """``vjpmaker(argnum, ans, args, kwargs)`` gives ``vjp``: ``vjp(g)`` is the cotangent of argument ``argnum``."""

    def of_several(argnums: Sequence[int], *more: Any) -> Function:
        vjps = [vjpmaker(argnum, *more) for argnum in argnums]
        return lambda g: tuple([vjp(g) for vjp in vjps])

    defvjp_argnums(fun, of_several)


def defvjp(fun: Any, *vjpmakers: Function | None, argnums: Sequence[int] | None = None) -> None:
    """``vjpmakers[k](ans, *args, **kwargs)`` gives ``vjp``: ``vjp(g)`` is the cotangent of argument ``k``.

    Parameters
    ----------
    fun: what ``primitive`` made.
    vjpmakers: one per argument; None stands for a derivative of zero.
    argnums: the arguments they are those of, 0, 1, … unless given.

    Raises DifferentiationError at the call for an argument that is differentiated and has no maker.
    """
    makers = dict(zip(count() if argnums is None else argnums, vjpmakers, strict=False))
    _check(fun, makers)

    def of_one(argnum: int, ans: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Function:
        maker = makers[argnum] if argnum in makers else _undefined("VJP", fun, argnum)
        if maker is None:
            return lambda g: vspace(args[argnum]).zeros()
        return maker(ans, *args, **kwargs)  # type: ignore[no-any-return]

    defvjp_argnum(fun, of_one)


def _check(fun: Any, makers: dict[int, Any]) -> None:
    for argnum, maker in makers.items():
        if maker is not None and maker != "same" and not callable(maker):
            raise DifferentiationError(
                f"the rule {maker!r} of argument {argnum} of {_own(fun).__name__} is no function",
                fix="give a function, or None where the derivative is zero",
                where=user_frame(),
            )


def _undefined(what: str, fun: Any, argnum: int) -> Any:
    raise RuleError(
        f"{what} of {_own(fun).__name__} wrt argnum {argnum} not defined",
        fix="give a rule for it as well, or None where the derivative is zero",
        where=user_frame(),
    )


def defjvp_argnums(fun: Any, jvpmaker: Function) -> None:
    """``jvpmaker(argnums, gs, ans, args, kwargs)`` is the tangent of the result for the tangents of arguments ``argnums``."""
    _own(fun).jvp_argnums = jvpmaker


def defjvp_argnum(fun: Any, jvpmaker: Function) -> None:
    """``jvpmaker(argnum, g, ans, args, kwargs)`` is the tangent of the result for the tangent of argument ``argnum``."""

    def of_several(argnums: Sequence[int], gs: Sequence[Any], ans: Any, args: Any, kwargs: Any) -> Any:
        space = vspace(ans)
        total = None
        for argnum, g in zip(argnums, gs, strict=True):
            part = jvpmaker(argnum, g, ans, args, kwargs)
            total = part if total is None else space.add(total, part)
        return total

    defjvp_argnums(fun, of_several)


def defjvp(fun: Any, *jvpfuns: Any, argnums: Sequence[int] | None = None) -> None:
    """``jvpfuns[k](g, ans, *args, **kwargs)`` is the tangent of the result for the tangent ``g`` of argument ``k``.

    ``"same"`` stands for the function itself with ``g`` in the argument's place, None for a derivative of zero.

    >>> double = primitive(lambda x: 2 * x)
    >>> defjvp(double, "same")
    >>> make_vjp(double, 3.0)[0](1.0)
    np.float64(2.0)
    """
    makers = dict(zip(count() if argnums is None else argnums, jvpfuns, strict=False))
    _check(fun, makers)

    def of_one(argnum: int, g: Any, ans: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        maker = makers[argnum] if argnum in makers else _undefined("JVP", fun, argnum)
        if maker is None:
            return vspace(ans).zeros()
        if isinstance(maker, str):
            return _with(fun, argnum, g, args, kwargs)
        return maker(g, ans, *args, **kwargs)

    defjvp_argnum(fun, of_one)


def _with(fun: Any, argnum: int, g: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """A function that is linear in an argument, applied to a tangent of it.

    Nothing looks into a primitive, so that what it makes of a box is found from what it makes of the unit vectors.
    """

    def call(value: Any) -> Any:
        changed = list(args)
        changed[argnum] = value
        return fun(*changed, **kwargs)

    if not holds_box(g):
        return call(g)
    if type(g) is not ArrayBox:
        raise DifferentiationError(
            f"the tangent of argument {argnum} of {_own(fun).__name__} is in containers, in which it is not transposed",
            fix="give the primitive a rule with defvjp as well",
            where=user_frame(),
        )
    units = np.eye(g.size, dtype=g.dtype).reshape(g.size, *g.shape)
    columns = views.stack([gathered(call(unit[()])) for unit in units])
    return contractions.tensordot(views.reshape(g, -1), columns, 1)


def def_linear(fun: Any) -> None:
    """Say that a primitive is linear in each of its arguments.

    A backward calls it once per element of the argument unless ``defvjp`` says how to transpose it.
    """
    defjvp_argnum(fun, lambda argnum, g, ans, args, kwargs: _with(fun, argnum, g, args, kwargs))
