"""What a trace has read, in words that another process can compare with what it finds there.

A description is plain data: numbers by their bits, functions by their code, arrays by shape or by content. What cannot be
told again with certainty has none (:class:`Indescribable`), and the function is then traced in every process: objects of
foreign classes, code of installed packages other than NumPy, SciPy and ours, and code that may look at files, clocks or
the environment.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import hashlib
import opcode
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any, Final

import numpy as np

from tracegrad.core.source import is_user_file
from tracegrad.trace.states import is_plain_object

Description = Any
"""What JSON can hold."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PURE: Final = _words(
    "abc builtins cmath collections dataclasses enum functools itertools math numbers numpy operator scipy statistics "
    "tracegrad types typing typing_extensions"
)
"""Packages whose functions give the same result whenever they are called; the key holds the versions of NumPy, SciPy, ours."""

IMPURE: Final = _words(
    "__import__ eval exec fromfile fromregex genfromtxt globals hash id input io load loadmat loadtxt memmap open open_memmap "
    "random"
)
"""Names in pure packages and among the builtins that tell of files, chance or addresses: code that uses one is not kept."""

GENERATED: Final = _words(
    "__init__ __repr__ __eq__ __lt__ __le__ __gt__ __ge__ __hash__ __new__ __setattr__ __delattr__ __replace__ "
    "__getstate__ __setstate__ _make _replace _asdict __getnewargs__"
)
"""Methods that dataclasses and named tuples write, in a file called <string>."""

_SKIPPED: Final = _words(
    "__module__ __dict__ __weakref__ __doc__ __annotations__ __qualname__ __slots__ __match_args__ __dataclass_params__ "
    "__dataclass_fields__ __abstractmethods__ _abc_impl __parameters__ __orig_bases__ __static_attributes__ __firstlineno__ "
    "__annotate__ __annotate_func__ __annotations_cache__ __hash__ _fields _field_defaults"
)
_IMPORT: Final = opcode.opmap["IMPORT_NAME"]
_EXTENDED: Final = opcode.opmap["EXTENDED_ARG"]


class Indescribable(Exception):  # noqa: N818 - an outcome, not an error
    """A value that no other process can recognise; the text says which, for the log."""


# -- code ----------------------------------------------------------------------------------------------------------------


def codes_of(code: CodeType) -> Iterator[CodeType]:
    """A code object and those of the functions defined inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_of(constant)


def describe_code(code: CodeType) -> str:
    """The hash of all that a function does, wherever it stands: neither file nor line, but the lines within it.

    >>> def made(text):
    ...     return eval(compile(text, "somewhere", "eval")).__code__
    >>> describe_code(made("lambda x: x + 1")) == describe_code(made("(lambda x: x + 1)"))
    False
    >>> describe_code(made("lambda x: x + 1")) == describe_code(made("lambda x: x + 1"))
    True
    """
    hashed = hashlib.sha256()
    for part in _parts_of(code, code.co_firstlineno):
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        hashed.update(len(data).to_bytes(8, "little"))
        hashed.update(data)
    return hashed.hexdigest()


def _parts_of(code: CodeType, first: int) -> Iterator[str | bytes]:
    yield from (code.co_code, code.co_linetable, code.co_exceptiontable, str(code.co_firstlineno - first))
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    yield from (repr(counts), repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)), code.co_name)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts_of(constant, code.co_firstlineno)
        else:
            yield _constant(constant)


def _constant(value: Any) -> str:
    """A constant's text; sets are sorted, as their order differs between processes."""
    if isinstance(value, frozenset):
        return f"frozenset {sorted(map(_constant, value))}"
    if isinstance(value, tuple):
        return f"tuple {[_constant(part) for part in value]}"
    return f"{type(value).__name__} {value!r}"


@functools.lru_cache(maxsize=4096)
def check_pure(code: CodeType) -> None:
    """Raise Indescribable where code may look outside by other ways than the trace sees."""
    for part in codes_of(code):
        names = IMPURE.intersection(part.co_names) - {"random"}  # of it tracing takes a traced generator's only
        if names:
            raise Indescribable(f"{part.co_qualname} uses {min(names)}")
        for name in _imported(part):
            if name.partition(".")[0] not in PURE:
                raise Indescribable(f"{part.co_qualname} imports {name}")


def _imported(code: CodeType) -> Iterator[str]:
    """The modules that a function imports when it runs."""
    text, extended = code.co_code, 0
    for k in range(0, len(text), 2):
        argument = text[k + 1] | extended
        extended = argument << 8 if text[k] == _EXTENDED else 0
        if text[k] == _IMPORT:
            yield code.co_names[argument]


# -- values --------------------------------------------------------------------------------------------------------------


def describe_number(value: Any) -> Description:
    """The description of an immutable value: type and bits."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return [kind.__name__, value]
    if kind is float:
        return ["float", value.hex()]
    if kind is complex:
        return ["complex", value.real.hex(), value.imag.hex()]
    if kind is bytes:
        return ["bytes", value.hex()]
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        return ["scalar", kind.__name__, value.dtype.str, value.tobytes().hex()]
    if isinstance(value, np.dtype) and value.names is None and not value.hasobject:
        return ["dtype", value.str]
    if kind in (slice, range):
        return [kind.__name__, *(describe_number(part) for part in (value.start, value.stop, value.step))]
    raise Indescribable(f"a value of type {kind.__name__}")


def describe_array(array: np.ndarray[Any, Any], content: bool) -> Description:
    """An array's dtype and shape, and the hash of its elements where the trace depends on them."""
    if array.dtype.hasobject or array.dtype.names:
        raise Indescribable(f"an array of dtype {array.dtype}")
    found = ["array", array.dtype.str, list(array.shape)]
    return [*found, hashlib.sha256(array.tobytes()).hexdigest()] if content else found


def path_of(value: Any) -> str:
    """Module and name under which an object of a package is found; Indescribable where it is not, or not pure."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    own = getattr(value, "__module__", None)
    candidates = (own, "numpy", "scipy.special") if isinstance(value, np.ufunc) else (own,)
    for module in candidates:
        if not isinstance(module, str) or not isinstance(name, str) or module.partition(".")[0] not in PURE:
            continue
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is value and IMPURE.isdisjoint((*name.split("."), *module.split("."))):
            return f"{module}:{name}"
    raise Indescribable(f"{name or type(value).__name__} of {own}")


class Describer:
    """Describes the reads of one trace in their order; an array, container or object met again is the same one.

    Parameters
    ----------
    by_shape: ids of the arrays that are passed at each call, so that only their shape and dtype count.
    """

    def __init__(self, by_shape: Iterable[int]) -> None:
        self.by_shape = frozenset(by_shape)
        self._met: dict[int, int] = {}
        self._telling: list[FunctionType] = []
        """Functions among them that are being described."""
        self._held = 0
        """How many objects and closures of ours hold what is being described: functions in them do not run as twins."""
        self._kept: list[Any] = []

    def __call__(self, value: Any) -> Description:
        """The description of a value that the trace has read."""
        if isinstance(value, enum.Enum):
            return ["enum", describe_class(type(value), self, twinned=False), value.name]
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic, np.dtype, slice, range)):
            return describe_number(value)
        if isinstance(value, CodeType):
            check_pure(value)
            return ["code", describe_code(value)]
        if type(value) is tuple:
            return ["tuple", [self(part) for part in value]]
        if isinstance(value, ModuleType):
            return self._module(value)
        if isinstance(value, type):
            return describe_class(value, self, twinned=False)
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, (BuiltinFunctionType, np.ufunc)):
            return ["name", path_of(value)]
        return self._object(value)

    def _object(self, value: Any) -> Description:
        """What has an identity: a second name for it is described as such."""
        if id(value) in self._met:
            return ["again", self._met[id(value)]]
        self._met[id(value)] = len(self._met)
        self._kept.append(value)  # an id is the object's as long as it lives
        kind = type(value)
        if kind is np.ndarray:
            return describe_array(value, id(value) not in self.by_shape)
        if kind in (dict, OrderedDict, defaultdict):
            made = [self(value.default_factory)] if isinstance(value, defaultdict) else []
            return [kind.__name__, [[self(key), self(part)] for key, part in value.items()], *made]
        if kind is list:
            return ["list", [self(part) for part in value]]
        if kind is MethodType:
            return ["method", self(value.__func__), self(value.__self__)]
        if kind is functools.partial:
            return ["partial", self(value.func), self(value.args), self(value.keywords)]
        if hasattr(value, "__tracegrad_compiled__"):
            return ["compiled", *value._described(), self(value.py_func)]
        if hasattr(value, "__tracegrad_transform__"):
            parts = value.__tracegrad_transform__()
            with self._inside(1):
                told = [self(part) for part in value.told()]
            with self._inside(-self._held):
                return ["transform", *told, [[name, self(part)] for name, part in parts.items()]]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return ["named", describe_class(kind, self, twinned=False), [self(part) for part in value]]
        if kind is SimpleNamespace:
            return ["object", "SimpleNamespace", self._attributes(vars(value))]
        if kind.__module__.partition(".")[0] == "tracegrad":
            return self._ours(value)
        if is_plain_object(value):
            return ["object", describe_class(kind, self, twinned=True), self._attributes(vars(value))]
        if callable(value):
            return ["name", path_of(value)]
        raise Indescribable(f"an object of class {kind.__qualname__}")

    def _attributes(self, variables: dict[str, Any]) -> Description:
        return [[name, self(part)] for name, part in variables.items()]

    def _module(self, module: ModuleType) -> Description:
        name = module.__name__
        if name.partition(".")[0] in PURE and IMPURE.isdisjoint(name.split(".")):
            return ["module", name]
        file = getattr(module, "__file__", None)
        if file and is_user_file(file) and not hasattr(module, "__getattr__") and not self._held:
            return ["module", name]  # what is taken from it is a read of its own
        raise Indescribable(f"the module {name}")

    def _function(self, function: FunctionType) -> Description:
        if is_user_file(function.__code__.co_filename):
            if set(vars(function)) - {"__wrapped__"}:
                raise Indescribable(f"{function.__qualname__} has attributes")
            if self._held:
                return self._held_function(function)
            return ["function", describe_code(function.__code__)]
        if function.__module__.partition(".")[0] == "tracegrad":
            return self._ours(function)
        return ["name", path_of(function)]

    def _held_function(self, function: FunctionType) -> Description:
        """A function that does not run as a twin, an optimiser's learning rate say, with all that it names.

        What it reads is not seen, so that it has to be described here.
        """
        code = function.__code__
        if function in self._telling:
            return ["again", self._telling.index(function)]
        check_pure(code)
        names = sorted({name for part in codes_of(code) for name in part.co_names if name in function.__globals__})
        self._telling.append(function)
        try:
            cells = [self(cell.cell_contents) for cell in function.__closure__ or ()]
            defaults = [self(function.__defaults__), self(function.__kwdefaults__)]
            named = [[name, self(function.__globals__[name])] for name in names]
        finally:
            self._telling.pop()
        return ["held", describe_code(code), cells, defaults, named]

    @contextlib.contextmanager
    def _inside(self, more: int) -> Iterator[None]:
        self._held += more
        try:
            yield
        finally:
            self._held -= more

    def _ours(self, value: Any) -> Description:
        """An object or a closure of this package, an optimiser's rule say: what it holds."""
        with self._inside(1):
            return self._contents_of_ours(value)

    def _contents_of_ours(self, value: Any) -> Description:
        if isinstance(value, FunctionType):
            cells = [self(cell.cell_contents) for cell in value.__closure__ or ()]
            code = describe_code(value.__code__)
            return ["ours", value.__module__, code, cells, self(value.__defaults__), self(value.__kwdefaults__)]
        fields = getattr(type(value), "__dataclass_fields__", None)
        if fields is None:
            raise Indescribable(f"an object of class {type(value).__qualname__}")
        held = [[name, self(getattr(value, name))] for name in fields]
        return ["ours", type(value).__module__, type(value).__qualname__, held]


# -- classes -------------------------------------------------------------------------------------------------------------


def describe_class(cls: type, describe: Callable[[Any], Description], twinned: bool) -> Description:
    """A class by what it holds.

    Parameters
    ----------
    cls: the class.
    describe: describes its values.
    twinned: whether its methods ran as twins, so that what they read is known. Else a class with methods that a person
        has written is Indescribable, as these read things that the trace does not see.
    """
    if cls.__module__.partition(".")[0] in PURE and cls.__module__ != "builtins":
        return ["name", path_of(cls)]
    if cls.__module__ == "builtins":
        return ["builtin", cls.__qualname__]
    users = [base for base in cls.__mro__[1:] if base.__module__.partition(".")[0] not in PURE]
    if issubclass(cls, enum.Enum) and not users:
        return _enumeration(cls, describe)
    if users or type(cls).__module__ not in ("builtins", "abc"):
        raise Indescribable(f"the class {cls.__qualname__}, which inherits from {[base.__qualname__ for base in users]}")
    members = [[key, _member(key, member, describe, twinned)] for key, member in vars(cls).items() if key not in _SKIPPED]
    bases = [base.__qualname__ for base in cls.__mro__[1:]]
    return ["class", cls.__qualname__, bases, list(getattr(cls, "__dataclass_fields__", ())), members]


def _enumeration(cls: type[enum.Enum], describe: Callable[[Any], Description]) -> Description:
    written = [
        key for key, part in vars(cls).items() if isinstance(part, FunctionType) and is_user_file(part.__code__.co_filename)
    ]
    if written:
        raise Indescribable(f"the method {cls.__qualname__}.{written[0]}, which is not followed")
    return ["enumeration", cls.__qualname__, [[name, describe(one.value)] for name, one in cls.__members__.items()]]


def _member(key: str, member: Any, describe: Callable[[Any], Description], twinned: bool) -> Description:
    function = member
    if isinstance(member, staticmethod):
        function = member.__func__
    elif isinstance(member, property) and member.fset is None and member.fdel is None:
        function = member.fget
    if isinstance(function, FunctionType):
        code = function.__code__
        generated = code.co_filename == "<string>" and key in GENERATED
        if not (twinned or generated or not is_user_file(code.co_filename)):
            raise Indescribable(f"the method {function.__qualname__}, which is not followed")
        return [type(member).__name__, describe_code(code)]
    if type(member).__name__ in {"member_descriptor", "_tuplegetter"}:
        return type(member).__name__
    if key.startswith("__") and not isinstance(member, (bool, int, float, str, type(None), tuple)):
        raise Indescribable(f"the member {key}")
    if isinstance(member, classmethod):
        name = member.__func__.__name__
        if name in GENERATED:
            return "classmethod"
        raise Indescribable(f"the class method {name}, which is not followed")
    if callable(member) or hasattr(type(member), "__get__"):
        raise Indescribable(f"the member {key}")
    return describe(member)
