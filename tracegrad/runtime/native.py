"""Every private interface of Numba that tracegrad uses, in one place.

Private are: ``numba.np.ufunc.parallel._launch_threads`` (starts the thread pool), the C symbols ``numba_parallel_for``
and ``get_num_threads`` that it registers, ``CodeLibrary._reload_init`` (functions to call before a cached object is
loaded), ``compiler.compile_extra`` with the flag ``no_compile``, and what a library calls of those it links
(``_ensure_finalized``, ``_get_module_for_linking``, ``_final_module``, ``_linking_libraries``). They
make one cached object of a whole program: a parallel loop of Numba's own costs 0.25 s of compilation each, this way it is
0.03 to 0.09 s. :func:`parallel_support` and :func:`links_unfinished` test that they still are what they were; where not,
programs are compiled without threads, or with kernels optimised twice, and give the same results, as chunks depend on the
data alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as ll
import numba
from llvmlite import ir
from numba.core import cgutils, compiler, event
from numba.core import types as numba_types
from numba.core.codegen import CodeLibrary, CPUCodeLibrary
from numba.core.errors import NumbaError

from tracegrad.runtime.threads import GATE, GateMode, load_tbb

__all__ = [
    "KERNEL",
    "TABLE",
    "NumbaError",
    "ParallelSupport",
    "access",
    "call_chunks",
    "declare_scope",
    "host",
    "jit_disabled",
    "parallel_support",
    "prepare_threads",
    "start_threads",
]

types: Any = numba_types  # its stubs leave out names
TABLE = types.CPointer(types.intp)
KERNEL = types.void(types.intp, types.intp, TABLE)  # first chunk, last chunk, words

WORD = ir.IntType(64)
BYTES = ir.IntType(8).as_pointer()
VOID = ir.VoidType()
KERNEL_IR = ir.FunctionType(VOID, [WORD, WORD, WORD.as_pointer()])
CHUNKS_IR = ir.FunctionType(VOID, [BYTES.as_pointer(), WORD.as_pointer(), WORD.as_pointer(), BYTES])
GATE_SYMBOL = "tracegrad_gate"


# ---------------------------------------------------------------- thread pool


@dataclass(frozen=True)
class ParallelSupport:
    """Whether programs can use threads here, and if not, why."""

    available: bool
    reason: str = ""


def prepare_threads() -> None:
    """Register the symbol that parallel programs look at before they use threads.

    Pickled by name into cached programs, which run it before they are loaded: neither move nor rename it.
    """
    ll.add_symbol(GATE_SYMBOL, GATE.address)


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
    here = f"{_here()} the thread pool did not start:"
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


def _here() -> str:
    return f"Numba {numba.__version__}: kernels run on one thread, because"


@cache
def parallel_support() -> ParallelSupport:
    """Look once whether Numba's private interfaces are there, without starting threads.

    Returns
    -------
    ParallelSupport
        With the reason where one of them is gone.
    """
    if "_reload_init" not in CodeLibrary.__init__.__code__.co_names:
        return ParallelSupport(False, f"{_here()} compiled code has no reload hooks")
    for name in ("_launch_threads", "threading_layer"):
        if not hasattr(_pools(), name):
            return ParallelSupport(False, f"{_here()} the thread pool did not start: {name} is gone")
    prepare_threads()
    return ParallelSupport(True)


def _settings() -> Any:
    """Return Numba's settings, whose names it makes at run time."""
    return numba.config


def jit_disabled() -> bool:
    """Say whether Numba is switched off, so that programs run as Python."""
    return bool(_settings().DISABLE_JIT)


def host() -> tuple[str, ...]:
    """Return everything about processor and compiler that compiled code depends on, for the content hash."""
    config = _settings()
    return (
        ll.get_process_triple(),
        config.CPU_NAME or ll.get_host_cpu_name(),
        config.CPU_FEATURES if config.CPU_FEATURES is not None else ll.get_host_cpu_features().flatten(),
        *(f"{name}={getattr(config, name, None)}" for name in ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "DEBUGINFO_DEFAULT")),
        f"parallel={parallel_support().available}",
    )


# ---------------------------------------------------------------- alias scopes

# Beyond about 12 arrays LLVM gives up on checking at run time that they do not overlap, and a loop over 16 + 16 arrays
# stays scalar: 38.7 µs at n = 1000 without these scopes, 9.5 with them. Scopes are named by strings, since llvmlite
# cannot make the self-referential nodes that are usual; the domain is the LLVM function, so nothing is claimed between
# functions, and where LLVM inlines one it renames them.

READS = "reads"
SCOPES = "tracegrad.scopes"


def _scope(builder: Any, name: str) -> Any:
    domain = builder.module.add_metadata([f"tracegrad {builder.function.name}"])
    return builder.module.add_metadata([name, domain])


def _declared(builder: Any) -> list[Any]:
    """Return the scopes of stored-to buffers of the function being built, in order of declaration."""
    named = builder.module.namedmetadata.get(SCOPES)
    domain = builder.module.add_metadata([f"tracegrad {builder.function.name}"])
    return [] if named is None else [scope for scope in named.operands if scope.operands[1] is domain]


def declare_scope(builder: Any, name: str) -> None:
    """Declare a stored-to buffer, so that later stores through other buffers say they leave it alone.

    Parameters
    ----------
    builder
        The IR builder of the kernel.
    name
        The buffer's scope, which no other stored-to buffer of the kernel has.
    """
    scope = _scope(builder, name)
    if scope not in _declared(builder):
        builder.module.add_named_metadata(SCOPES, scope)


def access(builder: Any, instruction: Any, name: str) -> None:
    """Mark a load or store as one through the buffer of a scope.

    It is enough that of two accesses one excludes the other's scope, so a load through a read-only buffer excludes
    nothing and a store excludes the reads and the buffers declared so far.

    Parameters
    ----------
    builder
        The IR builder of the kernel.
    instruction
        The load or store.
    name
        The scope of the buffer.
    """
    own = _scope(builder, name)
    instruction.set_metadata("alias.scope", builder.module.add_metadata([own]))
    if name != READS:
        others = [_scope(builder, READS)] + [scope for scope in _declared(builder) if scope is not own]
        instruction.set_metadata("noalias", builder.module.add_metadata(others))


# ---------------------------------------------------------------- calling kernels


def _once(module: Any, name: str, kind: Any) -> tuple[Any, bool]:
    """Return (internal function of the module, whether it has just been made)."""
    known = module.globals.get(name)
    if known is not None:
        return known, False
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    return function, True


@cache
def links_unfinished() -> bool:
    """Test whether libraries call of those they link what :class:`_Unfinished` has; if not, kernels are optimised twice."""
    finalize, add = CPUCodeLibrary.finalize.__code__.co_names, CPUCodeLibrary.add_linking_library.__code__.co_names
    return (
        {"_reload_init", "_get_module_for_linking", "link_in"} <= set(finalize)
        and "_ensure_finalized" in add
        and {"_final_module", "_linking_libraries"} <= set(CPUCodeLibrary.__init__.__code__.co_names)
        and hasattr(compiler.Flags(), "no_compile")
    )


def kernel_code(dispatcher: Any) -> Any:
    """Return what Numba makes of a kernel up to LLVM IR.

    A dispatcher of its own would optimise it and make machine code of it, which the entry, into whose module it goes, does
    again: more than half of LLVM's time.
    """
    if not links_unfinished():
        return dispatcher.get_compile_result(KERNEL)
    known = getattr(dispatcher, "kernel_code", None)
    if known is None:
        target = dispatcher.targetdescr
        flags: Any = compiler.Flags()
        target.options.parse_as_flags(flags, dispatcher.targetoptions)
        flags.no_compile = True
        details = {"dispatcher": dispatcher, "args": KERNEL.args, "return_type": KERNEL.return_type}
        with event.trigger_event("numba:compile", data=details):  # as a dispatcher does, for those who count
            known = dispatcher.kernel_code = compiler.compile_extra(
                target.typing_context,
                target.target_context,
                dispatcher.py_func,
                args=KERNEL.args,
                return_type=KERNEL.return_type,
                flags=flags,
                locals={},
            )
    return known


class _Unfinished:
    """A kernel's library as the library of its entry links it: as it is, where Numba's own would be finished first.

    The methods are those that ``CodeLibrary.add_linking_library`` and ``CodeLibrary.finalize`` call.
    """

    def __init__(self, library: Any) -> None:
        self._module = library._final_module
        self._reload_init = library._reload_init

    def _ensure_finalized(self) -> None:
        pass

    def _get_module_for_linking(self) -> Any:
        for function in self._module.functions:
            if not function.is_declaration and function.linkage == ll.Linkage.external:
                function.linkage = "linkonce_odr"  # nothing else calls it: one copy, inlined, is left
        return self._module


def _kernel_body(context: Any, builder: Any, dispatcher: Any) -> Any:
    """Return the one copy of a kernel's code in the entry's module; inlined, each launch would be optimised again."""
    compiled = kernel_code(dispatcher)
    body, new = _once(builder.module, f"kernel.{compiled.fndesc.mangled_name}", KERNEL_IR)
    if new:
        libraries = [compiled.library]
        if links_unfinished():
            libraries = [_Unfinished(compiled.library), *compiled.library._linking_libraries]
        for library in libraries:
            context.active_code_library.add_linking_library(library)
        inside = ir.IRBuilder(body.append_basic_block())
        # No status to look at: kernels do not raise.
        context.call_internal_no_propagate(inside, compiled.fndesc, KERNEL, list(body.args))
        inside.ret_void()
    return body


def _chunk_range(module: Any, body: Any) -> Any:
    """Return the kernel in the form the thread pool calls: args[0] is the first chunk, dims[0] how many."""
    function, new = _once(module, f"chunks.{body.name}", CHUNKS_IR)
    if new:
        inside = ir.IRBuilder(function.append_basic_block())
        first = inside.ptrtoint(inside.load(function.args[0]), WORD)
        last = inside.add(first, inside.load(function.args[1]))
        inside.call(body, [first, last, inside.bitcast(function.args[3], WORD.as_pointer())])
        inside.ret_void()
    return function


def _try_parallel(module: Any) -> Any:
    """Return the module's function (chunk function, chunks, words, most threads) -> whether the thread pool ran it.

    It does not where the gate is closed, or exclusive and taken: the caller then runs the chunks itself.
    """
    kind = ir.FunctionType(ir.IntType(1), [BYTES, WORD, BYTES, WORD])
    function, new = _once(module, "tracegrad.try_parallel", kind)
    if not new:
        return function
    chunk_range, chunks, words, limit = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    gate = cgutils.add_global_variable(module, WORD, GATE_SYMBOL)
    exclusive = ir.Constant(WORD, GateMode.EXCLUSIVE)
    mode = b.load_atomic(gate, "monotonic", 8)
    with b.if_then(b.icmp_signed("==", mode, ir.Constant(WORD, GateMode.SERIAL))):
        b.ret(ir.Constant(ir.IntType(1), 0))
    shared = b.icmp_signed("==", mode, ir.Constant(WORD, GateMode.OPEN))
    with b.if_then(b.not_(shared)):
        taken = b.cmpxchg(gate, exclusive, ir.Constant(WORD, GateMode.TAKEN), "acq_rel", "monotonic")
        with b.if_then(b.not_(b.extract_value(taken, 1))):
            b.ret(ir.Constant(ir.IntType(1), 0))
    count_kind, run_kind = ir.FunctionType(WORD, []), ir.FunctionType(VOID, [BYTES] * 5 + [WORD] * 3)
    run, threads = (
        b.inttoptr(b.load(b.gep(gate, [ir.Constant(WORD, word)])), kind.as_pointer())
        for word, kind in ((1, run_kind), (2, count_kind))
    )
    count = b.and_(b.call(threads, []), ir.Constant(WORD, 0xFFFFFFFF))  # it returns a C int
    limited = b.and_(
        b.icmp_signed(">", limit, ir.Constant(WORD, 1)),
        b.icmp_signed("<", limit, count),
    )
    count = b.select(limited, limit, count)
    args, dims, steps = b.alloca(BYTES, 2), b.alloca(WORD, 2), b.alloca(WORD, 2)
    b.store(ir.Constant(BYTES, None), args)
    b.store(chunks, dims)
    b.store(ir.Constant(WORD, 1), steps)
    pointers = [b.bitcast(value, BYTES) for value in (chunk_range, args, dims, steps, words)]
    b.call(run, [*pointers, ir.Constant(WORD, 0), ir.Constant(WORD, 1), count])
    with b.if_then(b.not_(shared)):
        # Not a plain store: a forked child may have closed the gate meanwhile.
        b.cmpxchg(gate, ir.Constant(WORD, GateMode.TAKEN), exclusive, "acq_rel", "monotonic")
    b.ret(ir.Constant(ir.IntType(1), 1))
    return function


def call_chunks(context: Any, builder: Any, dispatcher: Any, words: Any, chunks: Any) -> None:
    """Emit the run of a kernel over all its chunks.

    Parameters
    ----------
    context, builder
        Numba's target context and the IR builder of the entry.
    dispatcher
        The kernel.
    words
        IR pointer to the kernel's sub-table.
    chunks
        IR number of chunks, to be run in this thread; None takes number and place from words 0 and 1.
    """
    body = _kernel_body(context, builder, dispatcher)
    zero, one = ir.Constant(WORD, 0), ir.Constant(WORD, 1)
    if chunks is not None:
        builder.call(body, [zero, chunks, words])
        return
    count = builder.load(words)
    limit = builder.load(builder.gep(words, [one]))
    serial = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(1), 1))
    builder.store(ir.Constant(ir.IntType(1), 1), serial)
    if parallel_support().available:
        context.active_code_library._reload_init.add(prepare_threads)
        wanted = builder.and_(builder.icmp_signed(">", count, one), builder.icmp_signed(">", limit, zero))
        with builder.if_then(wanted, likely=False):
            chunk_range = builder.bitcast(_chunk_range(builder.module, body), BYTES)
            ran = builder.call(_try_parallel(builder.module), [chunk_range, count, builder.bitcast(words, BYTES), limit])
            builder.store(builder.not_(ran), serial)
    with builder.if_then(builder.and_(builder.load(serial), builder.icmp_signed(">", count, zero))):
        builder.call(body, [zero, count, words])
