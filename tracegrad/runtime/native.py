"""Every interface of Numba that tracegrad uses, in one place: its thread pool, and programs inside of njit code.

Private are ``numba.np.ufunc.parallel._launch_threads`` (starts the thread pool), the C symbols ``numba_parallel_for`` and
``get_num_threads`` that it registers, and, of code libraries, ``_reload_init`` (functions to call before a cached object is
loaded), ``add_llvm_module`` and ``add_linking_library``. Where the pool has changed, programs run on one thread, with the same
results, as chunks depend on the data alone.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import llvmlite.binding as ll
import numba
from llvmlite import ir
from numba.core import types as numba_types
from numba.extending import intrinsic

from tracegrad.codegen.kinds import WORD
from tracegrad.codegen.translate import ENTRY, entry_name
from tracegrad.runtime import generated
from tracegrad.runtime.boundary import C_ORDER, F_ORDER, Argument, parse_arguments
from tracegrad.runtime.launching import GATE_SYMBOL
from tracegrad.runtime.machine import bind_externals, externals_of, whole
from tracegrad.runtime.threads import GATE, load_tbb

__all__ = ["ParallelSupport", "dispatcher", "prepare_threads", "start_threads"]

types: Any = numba_types  # its stubs leave out names
_intrinsic: Any = intrinsic


# ---------------------------------------------------------------- thread pool


@dataclass(frozen=True)
class ParallelSupport:
    """Whether programs can use threads here, and if not, why."""

    available: bool
    reason: str = ""


def _pools() -> Any:
    """Return the module that holds Numba's thread pools, None where it is gone."""
    try:
        from numba.np.ufunc import parallel  # noqa: PLC0415  private, see the module's docstring
    except ImportError:
        return None
    return parallel


def start_threads() -> ParallelSupport:
    """Start the thread pool and open the gate to it; a second call changes nothing.

    It takes 10 ms and more, and processes that call small functions only never need it.
    """
    here = f"Numba {numba.__version__}: kernels run on one thread, because the thread pool did not start:"
    load_tbb()
    try:
        pools = _pools()
        pools._launch_threads()
        layer = pools.threading_layer()
    except (ImportError, AttributeError, ValueError) as error:
        return ParallelSupport(False, f"{here} {error}")
    addresses = [ll.address_of_symbol(symbol) for symbol in ("numba_parallel_for", "get_num_threads")]
    if not all(addresses):
        return ParallelSupport(False, f"{here} its symbols are not there")
    GATE.open(layer, *addresses)
    return ParallelSupport(True)


# ---------------------------------------------------------------- programs inside of njit


def prepare_threads() -> None:
    """Register the symbol that parallel programs look at before they use threads.

    Pickled by name into cached functions, which run it before they are loaded: neither move nor rename it.
    """
    ll.add_symbol(GATE_SYMBOL, GATE.address)


@dataclass(frozen=True)
class _Prepare:
    """What cached code needs before it is loaded: the threads' symbol, and the external functions it calls.

    Pickled by name into cached functions, as :func:`prepare_threads` is.
    """

    externals: tuple[str, ...]

    def __call__(self) -> None:
        prepare_threads()
        bind_externals(self.externals)


def dispatcher(source: str, name: str, arguments: tuple[str, ...]) -> Any:
    """Return a program as a function for njit code.

    Parameters
    ----------
    source: the program file.
    name: of the program.
    arguments: the types that its entry declares.
    """
    module, declared = whole(source, name, arguments), parse_arguments(arguments)
    run = _native(module, name, declared)
    names = ", ".join(f"a{k}" for k in range(len(declared)))
    module = ModuleType(f"{generated.__name__}.{name}")
    vars(module)["run"] = run
    sys.modules[module.__name__] = module  # where cached code of a user looks it up
    exec(f"def entry({names}):\n    run({names})\n", vars(module))
    made: Any = numba.njit(nogil=True)(vars(module)["entry"])
    made.compile(tuple(_numba_type(argument) for argument in declared))
    made.disable_compile()  # other argument types are a mistake, not a reason for another overload
    return made


def _numba_type(argument: Argument) -> Any:
    """Arrays are taken as read-only, a type that arrays of either kind convert to: the entry only takes their addresses."""
    scalar = getattr(types, f"complex{2 * argument.scalar.bits}" if argument.pairs else argument.scalar.name)
    if argument.axes is None:
        return scalar
    order = "C" if argument.flags & C_ORDER or not argument.axes else "F" if argument.flags & F_ORDER else "A"
    return types.Array(scalar, argument.axes, order, readonly=True)


def _native(program: Any, name: str, declared: tuple[Argument, ...]) -> Any:
    """Return the intrinsic that puts the arguments into words and calls the program, which is linked to it."""
    text = str(program)
    prepare = _Prepare(tuple(sorted(externals_of(program))))

    def run(typing_context: Any, *values: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            library = context.codegen().create_library(name)
            library.add_llvm_module(ll.parse_assembly(text))
            context.active_code_library.add_linking_library(library)
            context.active_code_library._reload_init.add(prepare)
            prepare()
            words = builder.alloca(WORD, max(len(given), 1))
            for place, (argument, value, kind) in enumerate(zip(declared, given, signature.args, strict=True)):
                word = _word(context, builder, argument, value, kind)
                builder.store(word, builder.gep(words, [ir.Constant(WORD, place)], inbounds=True))
            entry = builder.module.globals.get(entry_name(name)) or ir.Function(builder.module, ENTRY, entry_name(name))
            builder.call(entry, [words])
            return context.get_dummy_value()

        return types.none(*(_numba_type(argument) for argument in declared)), codegen

    run.__signature__ = _signature(len(declared))  # type: ignore[attr-defined]
    return _intrinsic(run)


def _signature(count: int) -> inspect.Signature:
    """The parameters that Numba asks an intrinsic for."""
    names = ["typing_context", *(f"a{k}" for k in range(count))]
    return inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names])


def _word(context: Any, builder: Any, argument: Argument, value: Any, kind: Any) -> Any:
    """The address of an array, or the bits of a number."""
    if argument.axes is not None:
        return builder.ptrtoint(context.make_array(kind)(context, builder, value).data, WORD)
    bits = builder.bitcast(value, ir.IntType(argument.scalar.bits))
    return bits if argument.scalar.bits == WORD.width else builder.zext(bits, WORD)
