"""From LLVM IR to machine code, and from machine code to a function in memory."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as ll
from llvmlite import ir

from tracegrad.codegen.microkernels_ir import VECTOR_BYTES
from tracegrad.codegen.processor import cpu_features, cpu_name
from tracegrad.codegen.shares import loops_told_apart, shares
from tracegrad.codegen.translate import contract, entry_name, translate
from tracegrad.codegen.writer import TranslationError
from tracegrad.runtime.boundary import BOUNDARY_NAME, add_symbols, built_in, parse_arguments, write_boundary
from tracegrad.runtime.calling import CALLER_NAME, add_caller_symbols, caller_module
from tracegrad.runtime.crew import Crew, Later, object_code, run_passes, simplify_functions
from tracegrad.runtime.externals import address, is_external
from tracegrad.runtime.launching import GATE_SYMBOL, PARALLEL_ONLY
from tracegrad.runtime.threads import GATE
from tracegrad.runtime.words import LIBRARIES, resolve

__all__ = [
    "Code",
    "Crew",
    "TranslationError",
    "assembly",
    "begun",
    "begun_routine",
    "bind_externals",
    "compiled_caller",
    "externals_of",
    "linked",
    "linked_caller",
    "llvm_text",
    "reach",
    "settings",
    "whole",
    "with_parts",
]

LEVEL = 3
MOST_VECTORS = 3
"""A result's rows of more vectors than two are computed by the same routines."""


@cache
def _prepare() -> None:
    """Make LLVM ready for this machine, and tell it the symbols that programs refer to."""
    ll.initialize_native_target()
    ll.initialize_native_asmprinter()
    add_symbols()
    add_caller_symbols()
    ll.add_symbol(GATE_SYMBOL, GATE.address)


def _new_target() -> Any:
    """LLVM's view of this machine; 0.2 ms. An engine takes the one it is given for its own."""
    _prepare()
    target = ll.Target.from_triple(ll.get_process_triple())
    return target.create_target_machine(
        cpu=cpu_name(),
        features=cpu_features(),
        opt=LEVEL,
        reloc="pic" if _near() else "static" if target.name.startswith("x86") else "default",
        codemodel="small" if _near() else "jitdefault",
        jit=True,
    )


@cache
def _near() -> bool:
    """Whether constants are addressed by their distance, as part of the instruction that takes them.

    The code model that LLVM takes for compilation in memory first loads each address and then the constant, inside of loops
    that lie within other loops: a fifth of the time of exp. An object's sections must then lie together, as llvmlite's own
    memory manager puts them, and everything outside is called by an address in a table, see `_optimised`.
    """
    triple = ll.get_process_triple()
    return triple.startswith("x86_64") and "linux" in triple


@cache
def _target() -> Any:
    """The target that programs are compiled for."""
    return _new_target()


def settings() -> tuple[str, ...]:
    """Return everything about processor and compiler that machine code depends on."""
    version = ".".join(map(str, ll.llvm_version_info))
    near = "near" if _near() else "far"
    return (ll.get_process_triple(), cpu_name(), cpu_features(), f"llvm {version}", f"O{LEVEL}", near)


class Code(NamedTuple):
    """Object code of a program: its own, the names of the routines that it is linked to, and its external functions."""

    objects: tuple[bytes, ...]
    routines: frozenset[str]
    externals: frozenset[str] = frozenset()

    def packed(self) -> bytes:
        """All of it as it is kept in a file: a line of names, one of lengths, and the objects."""
        names = " ".join(sorted(self.routines | self.externals))
        lengths = " ".join(str(len(each)) for each in self.objects)
        return f"{names}\n{lengths}\n".encode() + b"".join(self.objects)

    @staticmethod
    def unpacked(data: bytes) -> Code:
        """The object code that a file holds."""
        line, lengths, rest = data.split(b"\n", 2)
        names = frozenset(line.decode().split())
        externals = frozenset(filter(is_external, names))
        objects, start = [], 0
        for length in map(int, lengths.split()):
            objects.append(rest[start : start + length])
            start += length
        return Code(tuple(objects), names - externals, externals)


class Begun(NamedTuple):
    """A program that is being compiled: what is known of it, and its object code, which threads are making."""

    objects: tuple[Later[bytes], ...]
    routines: frozenset[str]
    externals: frozenset[str]

    def code(self) -> Code:
        """Wait for the object code."""
        return Code(tuple(each.result() for each in self.objects), self.routines, self.externals)


def externals_of(module: Any) -> frozenset[str]:
    """Return the symbols of the external functions that an IR module calls, and of data that it hands them."""
    return frozenset(filter(is_external, module.globals))


def bind_externals(symbols: Iterable[str]) -> None:
    """Tell LLVM where external functions stand, before code is linked that calls them.

    Raises
    ------
    CompileError
        Where this SciPy does not have one of them.
    """
    for symbol in symbols:
        ll.add_symbol(symbol, address(symbol))


def begun(text: str, name: str, arguments: tuple[str, ...], crew: Crew) -> Begun:
    """Begin to compile a program.

    Parameters
    ----------
    text: the program file.
    name: of the program.
    arguments: the types of the entry's arguments, as text.
    crew: the threads that go on with it.

    Raises
    ------
    TranslationError
        For a text that is not in the language of kernels.
    ValueError
        For a text that is not the type of an argument.
    """
    declared = parse_arguments(arguments)
    module, routines, seldom = translate(text, name, tuple(argument.kind for argument in declared), resolve, apart=True)
    write_boundary(module, declared)
    externals = externals_of(module)
    _describe(module)

    def is_seldom(function: str) -> bool:
        return function in seldom or function.startswith(PARALLEL_ONLY)

    objects = tuple(crew.later(functools.partial(_object, share, is_seldom)) for share in shares(module))
    return Begun(objects, routines, externals)


def _object(text: str, seldom: Callable[[str], bool]) -> bytes:
    target = _new_target()
    parsed = _parsed(text, ll.create_context())
    run_passes(parsed, target, _options())
    _simplify(parsed, seldom)
    return object_code(parsed, target)


def begun_routine(name: str, crew: Crew) -> Later[bytes]:
    """Begin to compile a routine.

    It is written in vectors: LLVM's vectorising and unrolling would double the code, and the time of compilation. Nor are its
    functions to be put into each other.

    Parameters
    ----------
    name: as in :attr:`Code.routines`.
    crew: the threads that go on with it.
    """
    module = _routine(name).module(name)
    contract(module)
    _describe(module)
    return crew.later(functools.partial(_routine_object, loops_told_apart(str(module))))


def _routine_object(text: str) -> bytes:
    target = _new_target()
    parsed = _parsed(text, ll.create_context())
    simplify_functions(parsed, target, ll.create_pipeline_tuning_options(speed_level=2))
    return object_code(parsed, target)


def _routine(name: str) -> Any:
    library, function, _, _ = name.rsplit(".", 3)
    return vars(LIBRARIES[library])[function]


def with_parts(routines: Iterable[str], row: int) -> tuple[list[str], list[str]]:
    """The names of routines with their parts, and those of the parts that results of rows of so many bytes do not need.

    0 bytes stand for any number.
    """
    needed: set[str] = set(routines)
    absent: set[str] = set()
    for name in routines:
        for part in _routine(name).parts:
            (needed if row > part.beyond or not row else absent).add(part.part_name(name.rsplit(".", 2)[1]))
    return sorted(needed), sorted(absent)


def reach(row: int) -> int:
    """The number that all rows have in common that need the same parts of routines."""
    return min(-(-row // VECTOR_BYTES), MOST_VECTORS) if row else MOST_VECTORS


def compiled_caller() -> bytes:
    """Return the object code of the function behind direct callers."""
    options = ll.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.loop_unrolling = False
    return bytes(_target().emit_object(_optimised(caller_module(), options)))


def _options() -> Any:
    options = ll.create_pipeline_tuning_options(speed_level=LEVEL)
    options.loop_vectorization = True  # not of straight code: it took a third of the time and gained nothing
    return options


def whole(text: str, name: str, arguments: tuple[str, ...]) -> Any:
    """Return a program with its routines as an IR module that njit code can link, without the function that Python calls."""
    kinds = tuple(argument.kind for argument in parse_arguments(arguments))
    module = translate(text, name, kinds, resolve, apart=False).module
    _prepare()
    module.triple = ll.get_process_triple()
    return module


def _describe(module: Any) -> None:
    """Say what machine a module is for."""
    module.triple, module.data_layout = ll.get_process_triple(), str(_target().target_data)
    if _near():
        module.add_named_metadata("llvm.module.flags", [ir.IntType(32)(7), "RtLibUseGOT", ir.IntType(32)(1)])


def _parsed(text: str, context: Any = None) -> Any:
    parsed = ll.parse_assembly(text, context)
    for function in parsed.functions if _near() else ():
        if function.is_declaration and not function.name.startswith("llvm."):
            function.add_function_attribute("nonlazybind")
    return parsed


def _optimised(module: Any, options: Any) -> Any:
    _describe(module)
    parsed = _parsed(loops_told_apart(str(module)))
    builder = ll.create_pass_builder(_target(), options)
    builder.getModulePassManager().run(parsed, builder)
    return parsed


def _simplify(optimised: Any, seldom: Callable[[str], bool]) -> None:
    """Have the machine code of functions that run seldom made in the quickest way, from the IR that LLVM has optimised.

    A choice of instructions without a search and without another look at the loops takes a third of the time; the loops stay
    those of vectors. Combining the parts of a sum takes 0.03 s in place of 0.045, a call of a program of 8 small arrays 3.9 µs
    either way.
    """
    for function in optimised.functions:
        if not function.is_declaration and seldom(function.name):
            for attribute in ("noinline", "optnone"):
                function.add_function_attribute(attribute)


def assembly(text: str, name: str, arguments: tuple[str, ...]) -> str:
    """Return the machine code of a program as text."""
    return str(_target().emit_assembly(_optimised(whole(text, name, arguments), _options())))


def llvm_text(text: str, name: str, arguments: tuple[str, ...]) -> str:
    """Return a program's IR as LLVM leaves it."""
    return str(_optimised(whole(text, name, arguments), _options()))


class _Code:
    """Machine code in memory; it stays as long as the function that Python calls."""

    def __init__(self, objects: Sequence[bytes]) -> None:
        self.definition: Any = None
        self.run = 0
        self._engine = ll.create_mcjit_compiler(ll.parse_assembly(""), _new_target(), use_lmm=_near() or None)
        for data in objects:
            self._engine.add_object_file(ll.ObjectFileRef.from_data(data))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Where a function stands."""
        found = int(self._engine.get_function_address(name))
        if not found:
            raise RuntimeError(f"the object code has no {name}")
        return found


def linked(name: str, *objects: bytes, absent: Sequence[str] = ()) -> Callable[..., None]:
    """Return a program and its routines as a function of Python's: it takes the entry's arguments, and returns None.

    A call of a routine that is ``absent`` would end the process.

    Its ``__self__.run`` is the address of the entry, a function of the words of its arguments.

    Raises
    ------
    RuntimeError
        For what is not object code of the program.
    """
    for routine in absent:
        ll.add_symbol(routine, ctypes.cast(ctypes.pythonapi.Py_FatalError, ctypes.c_void_p).value)
    owner = _Code(objects)
    owner.run = owner.address(entry_name(name))
    return built_in(owner.address(BOUNDARY_NAME), owner, owner)


def linked_caller(code: bytes) -> Callable[[Any], Callable[..., Any]]:
    """Return what makes a direct caller of an array of words, whose attributes keep alive what the words refer to."""
    owner = _Code([code])
    return functools.partial(built_in, owner.address(CALLER_NAME), owner)
