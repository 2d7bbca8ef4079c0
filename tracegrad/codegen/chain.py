"""From a chain to the text of its kernel: its members' kernels, and one that runs them block by block.

The members are lowered for a block's rows, with a table and memory of their own. What the table holds for a block of so
many rows, and of one row more, stands among the chain's words; for each block one of the two is copied to the memory of the
range of blocks, and completed there by addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tracegrad.codegen.alike import PartTexts
from tracegrad.codegen.entry import Generated, Launch, Parameter, Step
from tracegrad.codegen.plan import Plan, plan_program
from tracegrad.codegen.template import cold_reads, lower_template
from tracegrad.codegen.templates import MOST_CHUNKS
from tracegrad.codegen.text import ABI, SUMMED, KernelText, Slot, combine_text, dtype_name
from tracegrad.core.op import Kind
from tracegrad.schedule.chain import block_kernels, with_rows
from tracegrad.schedule.memory import ALIGN
from tracegrad.schedule.program import Chain, Kernel, Program

FIRST = 2
MEMORY = 4
"""Which of a chain's slots is the memory of its blocks."""

HEAD = """@kernel
def {{name}}(first, last, table):
    rows = table[2]
    blocks = table[3]
    chunks = table[4]
    least = table[5]
    memory = table[6] + first * table[7]
    words = table_at(memory, {words})
    arena = memory + {own}
    for c in range(first, last):
        begin = c * blocks // chunks
        for block in range(begin, (c + 1) * blocks // chunks):
            start = block * rows // blocks
            plan = {plan} + ((block + 1) * rows // blocks - start - least) * {words}
            for k in range({words}):
                words[k] = table[plan + k]
            for k in range({local}, {given}):
                words[table[k]] = words[table[k]] + arena
            for k in range({given}, {plan}, 3):
                words[table[k]] = table[table[k + 1]] + start * table[k + 2]
"""

ADD = """            for k in range({first}, {end}, {words}):
                size = table[k + 2]
                own = pointer(words, table[k + 3], {dtype})
                part = buffer_offset(pointer(table, k, {dtype}), c * size)
                if block > begin:
                    for e in range(size):
                        part[e] = {both}
                else:
                    for e in range(size):
                        part[e] = own[e]
"""

FINISH = """    for k in range({first}, {end}, {words}):
        part = pointer(table, k, {dtype})
        out = pointer(table, k + 1, {dtype})
        size = table[k + 2]
        count = table[0]
        while count > 1:
            half = count // 2
            for i in range(half):
                for e in range(size):
                    part[i * size + e] = {both}
            if count % 2 != 0:
                for e in range(size):
                    part[half * size + e] = part[(count - 1) * size + e]
            count = half + count % 2
        for e in range(size):
            out[e] = part[e]
"""
TOTAL_WORDS = 4
"""Words of a total: its parts, its result, its size, and the word of a block's table that holds the block's part."""


@dataclass(frozen=True, slots=True)
class _Block:
    """The members lowered for a number of rows, and their table and memory."""

    launches: tuple[Launch, ...]
    plan: Plan


def lower_chain(program: Program, kernel: Kernel) -> KernelText:
    """The text of a chain; it contains no size and no address."""
    assert kernel.chain is not None
    return _ChainWriter(program, kernel, kernel.chain).write()


def _different(launches: tuple[Launch, ...]) -> list[Launch]:
    """The first launch of each function."""
    found: dict[str, Launch] = {}
    for launch in launches:
        found.setdefault(launch.name, launch)
    return list(found.values())


class _ChainWriter:
    def __init__(self, program: Program, kernel: Kernel, chain: Chain) -> None:
        self.program, self.kernel, self.chain = program, kernel, chain
        self.slots: list[Slot] = []
        least, more = chain.rows // chain.blocks, -(-chain.rows // chain.blocks)
        self.fewer = self._block(least)
        self.more = self.fewer if more == least else self._block(more)
        self.imports = {(ABI, word) for word in ("kernel", "table_at")}

    def _block(self, rows: int) -> _Block:
        chain, program = self.chain, self.program
        graph = with_rows(program.graph, chain.along, rows)
        assert graph is not None
        kernels = block_kernels(chain, rows)
        results = tuple(sorted(chain.totals))
        members = replace(program, graph=graph, kernels=kernels, stored=program.stored | chain.stored, results=results)
        parts = PartTexts(members)
        launches: list[Launch] = []
        names: dict[str, str] = {}  # equal members are one function
        base = 0
        cold = cold_reads(program, self.kernel)
        for k, member in enumerate(kernels):
            if member.part is not None:
                text = parts.of(member)
            else:
                text = lower_template(members, member, 1, cold & member.reads)
            cold -= member.reads  # a block of them is in the cache from then on
            text = replace(text, parallel=False)
            launches.append(Launch(k, names.setdefault(text.source, f"{{name}}_{len(names)}"), base, text))
            base += FIRST + len(text.slots)
        outside = tuple(Parameter("outside", n, "", "") for n in sorted(chain.outside | self.kernel.reads))
        steps = tuple(Step((launch,), 0) for launch in launches)
        return _Block(tuple(launches), plan_program(members, Generated("", outside, steps, base, (), len(launches))))

    def _slot(self, slot: Slot) -> int:
        self.slots.append(slot)
        return FIRST + len(self.slots) - 1

    def write(self) -> KernelText:
        """The whole text."""
        chain = self.chain
        texts = [[launch.text.source for launch in each.launches] for each in (self.fewer, self.more)]
        assert texts[0] == texts[1], "the text of a kernel depends on no size"
        block = self.more
        words = len(block.plan.words)
        own = -(-8 * words // ALIGN) * ALIGN
        memory = -(-(own + max(self.fewer.plan.arena_bytes, block.plan.arena_bytes)) // ALIGN) * ALIGN
        chunks = min(chain.blocks, MOST_CHUNKS)
        for size in (chain.rows, chain.blocks, chunks, chain.rows // chain.blocks):
            self._slot(Slot("size", size))
        self._slot(Slot("scratch", memory * chunks))
        self._slot(Slot("size", memory))
        totals = [self._totals(alike, chunks) for alike in self._alike()]
        completed = list(self._completed(block.launches))
        local = [word for word, slot in completed if slot.kind in ("partial", "scratch") or self._inside(slot)]
        given = [number for word, slot in completed if word not in set(local) for number in (word, *self._given(slot))]
        local_at = FIRST + len(self.slots)
        plan_at = local_at + len(local) + len(given)
        plans = [int(word) for each in (self.fewer, self.more) for word in each.plan.words]
        self.slots += [Slot("size", number) for number in (*local, *given, *plans)]
        head = HEAD.format(words=words, own=own, local=local_at, given=local_at + len(local), plan=plan_at)
        parts = [launch.text.source.replace("{name}", launch.name).rstrip() for launch in _different(block.launches)]
        source = "\n\n\n".join([*parts, head + "\n".join(self._calls(block.launches))]) + "\n"
        if totals:
            source += "".join(add for add, _ in totals) + "\n\n@kernel\ndef {name}_finish(first, last, table):\n"
            source += "".join(finish for _, finish in totals)
        imports = self.imports.union(*(launch.text.imports for launch in block.launches))
        return KernelText(
            source=source,
            imports=frozenset(imports),
            slots=tuple(self.slots),
            chunks=chunks,
            finish=bool(totals),
            parallel=self.kernel.parallel,
            origins=self._origins(block.launches),
            row=max(launch.text.row for each in (self.fewer, self.more) for launch in each.launches),
            members=tuple((plan_at + launch.base, plan_at + words + launch.base) for launch in block.launches),
        )

    def _alike(self) -> list[list[int]]:
        """The totals, those of one type that are combined alike together."""
        found: dict[tuple[str, str], list[int]] = {}
        for node in sorted(self.chain.totals):
            found.setdefault((self._combine(node), str(self.program.graph[node].aval.dtype)), []).append(node)
        return list(found.values())

    def _combine(self, node: int) -> str:
        op = self.program.graph[node].op
        return str(op.lower.combine) if op.kind is Kind.REDUCE else SUMMED

    def _totals(self, nodes: list[int], chunks: int) -> tuple[str, str]:
        """The lines that add a block's parts to its chunk's, and those that combine the chunks' in an order of their own."""
        graph = self.program.graph
        dtype = dtype_name(graph[nodes[0]].aval.dtype)
        self.imports |= {(ABI, "pointer"), (ABI, dtype), (ABI, "buffer_offset")}
        first = FIRST + len(self.slots)
        for node in nodes:
            size = graph[node].aval.size
            self._slot(Slot("partial", max(chunks * size, 1), graph[node].aval.dtype))
            self._slot(Slot("buffer", node))
            self._slot(Slot("size", size))
            [word] = {word for word, slot in self._completed(self.more.launches) if slot == Slot("buffer", node)}
            self._slot(Slot("size", word))
        combine = self._combine(nodes[0])
        added = combine_text(combine, "part[e]", "own[e]", self.imports)
        both = combine_text(combine, "part[2 * i * size + e]", "part[(2 * i + 1) * size + e]", self.imports)
        place = {"first": first, "end": FIRST + len(self.slots), "words": TOTAL_WORDS, "dtype": dtype}
        return ADD.format(both=added, **place), FINISH.format(both=both, **place)

    def _origins(self, launches: tuple[Launch, ...]) -> dict[int, int]:
        found: dict[int, int] = {}
        line = 0
        for launch in _different(launches):
            found |= {line + k: node for k, node in launch.text.origins.items()}
            line += launch.text.source.rstrip().count("\n") + 3
        return found

    def _calls(self, launches: tuple[Launch, ...]) -> Iterator[str]:
        for launch in launches:
            base = launch.base
            if base:
                self.imports.add((ABI, "buffer_offset"))
            own = f"buffer_offset(words, {base})" if base else "words"
            yield f"            {launch.name}(0, words[{base}], {own})"
            if launch.text.finish:
                yield f"            {launch.name}_finish(0, 1, {own})"

    def _completed(self, launches: tuple[Launch, ...]) -> Iterator[tuple[int, Slot]]:
        """The words of the members' table that hold addresses, or arguments."""
        for launch in launches:
            for k, slot in enumerate(launch.text.slots):
                if slot.kind not in ("size", "number"):
                    yield launch.base + FIRST + k, slot

    def _inside(self, slot: Slot) -> bool:
        return slot.kind == "buffer" and slot.value in self.chain.stored - self.chain.outside

    def _given(self, slot: Slot) -> tuple[int, int]:
        """The chain's word that a member's begins with, and what a row adds to it."""
        node = slot.value
        known = FIRST + self.slots.index(slot) if slot in self.slots else self._slot(slot)
        along = node in self.chain.along
        return known, self.program.graph[node].aval.nbytes // max(self.chain.rows, 1) if along else 0
