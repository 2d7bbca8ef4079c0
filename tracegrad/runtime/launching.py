"""How an entry runs the chunks of a kernel: one after the other, or over the thread pool.

Parallel runs call the function of Numba's thread pool by its address, which stands behind the symbol ``tracegrad_gate``
(:class:`tracegrad.runtime.threads.Gate`): a parallel loop of Numba's own costs 0.25 s of compilation each, this way it is
nothing. Chunks depend on the data alone, so results are the same on any number of threads.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from tracegrad.codegen.kinds import BYTE, WORD
from tracegrad.runtime.threads import GateMode

__all__ = ["GATE_SYMBOL", "PARALLEL_ONLY", "launch_chunks"]

GATE_SYMBOL = "tracegrad_gate"
PARALLEL_ONLY = ("chunks.", "try_parallel")
"""How the functions are called, or begin, that only runs over several threads need."""
BYTES = BYTE.as_pointer()
BIT = ir.IntType(1)
VOID = ir.VoidType()
CHUNKS = ir.FunctionType(VOID, [BYTES.as_pointer(), WORD.as_pointer(), WORD.as_pointer(), BYTES])


def _once(module: Any, name: str, kind: Any) -> tuple[Any, bool]:
    """Return (internal function of the module, whether it has just been made)."""
    known = module.globals.get(name)
    if known is not None:
        return known, False
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    for attribute in ("noinline", "nounwind"):
        function.attributes.add(attribute)
    return function, True


def _chunk_range(module: Any, kernel: Any) -> Any:
    """Return the kernel in the form the thread pool calls: args[0] is the first chunk, dims[0] how many."""
    function, new = _once(module, f"{PARALLEL_ONLY[0]}{kernel.name}", CHUNKS)
    if new:
        inside = ir.IRBuilder(function.append_basic_block())
        first = inside.ptrtoint(inside.load(function.args[0]), WORD)
        last = inside.add(first, inside.load(function.args[1]))
        inside.call(kernel, [first, last, inside.bitcast(function.args[3], WORD.as_pointer())])
        inside.ret_void()
    return function


def _try_parallel(module: Any) -> Any:
    """Return the module's function (chunk function, chunks, words, most threads) -> whether the thread pool ran it.

    It does not where the gate is closed, or exclusive and taken: the caller then runs the chunks itself.
    """
    function, new = _once(module, PARALLEL_ONLY[1], ir.FunctionType(BIT, [BYTES, WORD, BYTES, WORD]))
    if not new:
        return function
    chunk_range, chunks, words, limit = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    gate = ir.GlobalVariable(module, WORD, GATE_SYMBOL)
    exclusive = ir.Constant(WORD, GateMode.EXCLUSIVE)
    mode = b.load_atomic(gate, "monotonic", 8)
    with b.if_then(b.icmp_signed("==", mode, ir.Constant(WORD, GateMode.SERIAL))):
        b.ret(ir.Constant(BIT, 0))
    shared = b.icmp_signed("==", mode, ir.Constant(WORD, GateMode.OPEN))
    with b.if_then(b.not_(shared)):
        taken = b.cmpxchg(gate, exclusive, ir.Constant(WORD, GateMode.TAKEN), "acq_rel", "monotonic")
        with b.if_then(b.not_(b.extract_value(taken, 1))):
            b.ret(ir.Constant(BIT, 0))
    count_kind, run_kind = ir.FunctionType(WORD, []), ir.FunctionType(VOID, [BYTES] * 5 + [WORD] * 3)
    run, threads = (
        b.inttoptr(b.load(b.gep(gate, [ir.Constant(WORD, word)])), kind.as_pointer())
        for word, kind in ((1, run_kind), (2, count_kind))
    )
    count = b.and_(b.call(threads, []), ir.Constant(WORD, 0xFFFFFFFF))  # it returns a C int
    limited = b.and_(b.icmp_signed(">", limit, ir.Constant(WORD, 1)), b.icmp_signed("<", limit, count))
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
    b.ret(ir.Constant(BIT, 1))
    return function


def launch_chunks(builder: Any, kernel: Any, words: Any, chunks: Any) -> None:
    """Emit the run of a kernel over all its chunks.

    Parameters
    ----------
    builder: the IR builder of the entry.
    kernel: the kernel's IR function.
    words: IR pointer to the kernel's sub-table.
    chunks: IR number of chunks, to be run in this thread; None takes number and place from words 0 and 1.
    """
    if chunks is not None:
        builder.call(kernel, [ir.Constant(WORD, 0), chunks, words])
        return
    run = _launch(builder.module)
    chunk_range = _chunk_range(builder.module, kernel)
    builder.call(run, [builder.bitcast(chunk_range, BYTES), kernel, words])


def _launch(module: Any) -> Any:
    """Return the module's function (chunk function, kernel, words) that runs all chunks of a launch.

    One function for all launches: written out at each of them, the tests here were half of an entry's code.
    """
    from_kernel = ir.FunctionType(VOID, [WORD, WORD, WORD.as_pointer()]).as_pointer()
    function, new = _once(module, "launch", ir.FunctionType(VOID, [BYTES, from_kernel, WORD.as_pointer()]))
    if not new:
        return function
    chunk_range, kernel, words = function.args
    zero, one = ir.Constant(WORD, 0), ir.Constant(WORD, 1)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    count, limit = b.load(words), b.load(b.gep(words, [one], inbounds=True))
    with b.if_then(b.icmp_signed("<=", count, zero)):
        b.ret_void()
    with b.if_then(b.and_(b.icmp_signed(">", count, one), b.icmp_signed(">", limit, zero)), likely=False):
        ran = b.call(_try_parallel(module), [chunk_range, count, b.bitcast(words, BYTES), limit])
        with b.if_then(ran):
            b.ret_void()
    b.call(kernel, [zero, count, words])
    b.ret_void()
    return function
