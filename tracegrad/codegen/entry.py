"""The text of a program's entry: it completes the table's words by what a call is given, and launches the kernels.

A few launches are written out. Many are a loop over words of the table that say which kernel runs on which words: each
launch written out costs LLVM as much as a line of a kernel, however often it repeats. One turn of the loop takes 2 ns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracegrad.codegen.text import KernelText

WRITTEN_OUT = 24
"""Launches up to which the entry has a line for each."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of the entry: ``role`` is ``input``, ``constant`` or ``output``; ``kind`` its type as text."""

    role: str
    node: int
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel of a program: its number there, its name in the file, where its words start in the table, and its text."""

    kernel: int
    name: str
    base: int
    text: KernelText


@dataclass(frozen=True, slots=True)
class Step:
    """One launch of the entry: a kernel, or several that are equal up to names and independent, side by side.

    ``base`` is where the words of a joint launch start: chunks, threads, number of members, then for each member the chunk
    and the word at which it starts, and at last the number of all chunks.
    """

    launches: tuple[Launch, ...]
    base: int

    @property
    def words(self) -> int:
        """Words of the joint launch; a kernel alone needs none besides its own."""
        return 4 + 2 * len(self.launches) if len(self.launches) > 1 else 0


@dataclass(frozen=True, slots=True)
class Generated:
    """The file of a program.

    Parameters
    ----------
    source: its text; the loader puts the content hash in place of ``_HASH_``.
    parameters: the entry's arguments, apart from the arena and the plan, which come last.
    steps: the launches in order.
    words: length of the table.
    tail: its last words, which depend on no size.
    kernels: number of different kernels.
    row: bytes of the longest row of a result of a product of matrices, see ``templates``.
    """

    source: str
    parameters: tuple[Parameter, ...]
    steps: tuple[Step, ...]
    words: int
    tail: tuple[int, ...]
    kernels: int
    row: int = 0

    @property
    def launches(self) -> tuple[Launch, ...]:
        """All kernels, in the order they run."""
        return tuple(launch for step in self.steps for launch in step.launches)

    @property
    def entry_arguments(self) -> tuple[str, ...]:
        """The types of all arguments of the entry, as text."""
        return (*(p.kind for p in self.parameters), "uint8[::1]", "int64[::1]")


def entry_text(parameters: list[Parameter], steps: list[Step], words: int) -> tuple[str, int, tuple[int, ...]]:
    """The entry, the length of its table, and the words that stand at the table's end.

    Parameters
    ----------
    parameters: the arguments apart from arena and plan.
    steps: the launches.
    words: the words that the launches have.
    """
    kinds = ", ".join(f'"{p.kind}"' for p in parameters)
    names = [*(p.name for p in parameters), "arena"]
    by_input = {p.node: p.name for p in parameters if p.role != "output"}
    by_output = {p.node: p.name for p in parameters if p.role == "output"}
    sources = [[s for launch in step.launches for s in _sources(launch, by_input, by_output)] for step in steps]
    if sum(1 + step.launches[0].text.finish for step in steps) > WRITTEN_OUT:
        body, words, tail = _looped(parameters, steps, words, [source for each in sources for source in each])
    else:
        body, tail = _written_out(steps, sources), ()
    head = [
        f'@entry({kinds}{", " if kinds else ""}"uint8[::1]", "int64[::1]")',
        f"def run_HASH_({', '.join([*names, 'plan'])}):",
        f"    table = stack_table(plan, {words})",
    ]
    return "\n".join(head + body), words, tail


def _launches(step: Step) -> list[tuple[str, str, int]]:
    """Name, further arguments and first word of what a step launches."""
    first = step.launches[0]
    if step.words:
        return [(f"{first.name}_parts_HASH_", "", step.base)]
    finish = [(f"{first.name}_finish_HASH_", ", 1", first.base)] if first.text.finish else []
    return [(f"{first.name}_HASH_", "", first.base), *finish]


def _written_out(steps: list[Step], sources: list[list[tuple[str, int, str]]]) -> list[str]:
    lines = []
    for step, own in zip(steps, sources, strict=True):
        lines += [f"    {function}(table, {word}, {argument})" for function, word, argument in own]
        lines += [f"    launch({name}, table, {base}{more})" for name, more, base in _launches(step)]
    return lines


def _looped(
    parameters: list[Parameter], steps: list[Step], words: int, sources: list[tuple[str, int, str]]
) -> tuple[list[str], int, tuple[int, ...]]:
    """Words for the arguments, pairs (word, argument's word) to add up, and pairs (kernel, its first word) to launch."""
    places = {p.name: words + k for k, p in enumerate([*parameters, Parameter("arena", -1, "arena", "uint8[::1]")])}
    functions = {argument: function for function, _, argument in sources}
    lines = [
        f"    {functions[name].replace('shift', 'place')}(table, {word}, {name})"
        for name, word in places.items()
        if name in functions
    ]
    completed = [number for _, word, argument in sources for number in (word, places[argument])]
    kernels: dict[tuple[str, str], int] = {}
    launched = [
        number
        for step in steps
        for name, more, base in _launches(step)
        for number in (kernels.setdefault((name, more), len(kernels)), base)
    ]
    first = words + len(places)
    second = first + len(completed)
    end = second + len(launched)
    lines += [
        f"    for k in range({first}, {second}, 2):",
        "        word = table[k]",
        "        table[word] = table[word] + table[table[k + 1]]",
        f"    for k in range({second}, {end}, 2):",
        "        which = table[k]",
    ]
    for (name, more), number in kernels.items():
        lines += [
            f"        {'el' if number else ''}if which == {number}:",
            f"            launch({name}, table, table[k + 1]{more})",
        ]
    return lines, end, tuple([0] * len(places) + completed + launched)


def _sources(launch: Launch, by_input: dict[int, str], by_output: dict[int, str]) -> Iterator[tuple[str, int, str]]:
    """How each word that a call must complete is completed: the ABI's function, the word, and the argument."""
    for k, slot in enumerate(launch.text.slots):
        word = launch.base + 2 + k
        if slot.kind == "argument":
            yield "place_scalar", word, by_input[slot.value]
        elif slot.kind in ("partial", "scratch", "status"):
            yield "shift", word, "arena"
        elif slot.kind in ("buffer", "output"):
            array = by_input.get(slot.value) if slot.kind == "buffer" else None
            array = array or by_output.get(slot.value)
            yield ("place", word, array) if array else ("shift", word, "arena")
