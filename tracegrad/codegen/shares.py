"""A module's text in shares, each a module of its own, which are compiled side by side and linked to each other.

A function of a program is compiled alone whatever stands beside it, as none is put into another. So a text of many functions
can be dealt out. The shares depend on the text only, not on the machine's cores, and so does the object code.
"""

from __future__ import annotations

import re

from llvmlite import ir

__all__ = ["LOOP", "loops_told_apart", "shares"]

LOOP = "tracegrad loop"
LEAST, MOST = 300, 4
"""Instructions that a share has at least, and how many shares there are at most. Each costs 2 ms and more."""

_NAMES = re.compile(r'@"([^"]+)"|\(([\w.]+)\)')
"""The globals that a text names: as operands, and as the forms for vectors that an attribute tells LLVM of."""


def loops_told_apart(text: str) -> str:
    """A module's text, in which what describes loops refers to itself: LLVM wants that, and llvmlite cannot say it."""
    return re.sub(rf'^(!\d+) = !{{ !"{LOOP} [^"]*", (.*) }}', r"\1 = distinct !{ \1, \2 }", text, flags=re.MULTILINE)


def shares(module: ir.Module) -> list[str]:
    """The texts of the modules that a module is dealt out to, the first of which has its entry.

    Parameters
    ----------
    module: whose functions that are of use to others than their neighbours have names that no other program has. They lose
        their internal linkage.
    """
    sizes = {each.name: sum(len(block.instructions) for block in each.blocks) for each in module.functions if each.blocks}
    dealt = _dealt(sizes, max(1, min(MOST, sum(sizes.values()) // LEAST)))
    if len(dealt) == 1:
        return [loops_told_apart(str(module))]
    for name in sizes:
        function = module.globals[name]
        if function.linkage == "internal":
            function.linkage = ""
    texts = {name: str(each) for name, each in module.globals.items()}
    rest = "\n".join(module._get_metadata_lines())
    return [loops_told_apart(f"{_head(module)}{_body(module, texts, set(own))}\n{rest}") for own in dealt]


def _head(module: ir.Module) -> str:
    return f'target triple = "{module.triple}"\ntarget datalayout = "{module.data_layout}"\n'


def _dealt(sizes: dict[str, int], count: int) -> list[list[str]]:
    """Names in as many lists, of about the same size each: the largest first, each to the list that has least."""
    lists: list[list[str]] = [[] for _ in range(count)]
    weights = [0] * count
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        least = weights.index(min(weights))
        lists[least].append(name)
        weights[least] += sizes[name]
    return [names for names in lists if names]


def _body(module: ir.Module, texts: dict[str, str], own: set[str]) -> str:
    """The definitions of some functions, with the data that they name and declarations of the other functions."""
    lines, told, waiting = [], set(own), sorted(own)
    forms: set[str] = set()
    while waiting:
        name = waiting.pop()
        each = module.globals[name]
        text = texts[name]
        if isinstance(each, ir.Function) and each.blocks and name not in own:
            text = _declaration(text)
        lines.append(text)
        for operand, form in _NAMES.findall(text):
            other = operand or form
            if other not in texts:
                continue
            if form:
                forms.add(form)
            if other not in told:
                told.add(other)
                waiting.append(other)
    return "\n".join([*lines, *_kept(sorted(forms - own))])


def _kept(forms: list[str]) -> list[str]:
    """What keeps declarations that no call names until the vectoriser has looked for them."""
    if not forms:
        return []
    names = ", ".join(f'ptr @"{name}"' for name in forms)
    return [f'@"llvm.compiler.used" = appending global [{len(forms)} x ptr] [{names}], section "llvm.metadata"']


def _declaration(definition: str) -> str:
    """The first line of a definition, as a declaration: it names no linkage."""
    return re.sub(r"^define (internal |weak_odr )?", "declare ", definition.partition("\n")[0])
