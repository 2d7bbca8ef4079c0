"""Generated source with the nodes and the user's lines beside it."""

from __future__ import annotations

from tracegrad.core.graph import Node
from tracegrad.errors import TracegradError
from tracegrad.inspect.text import Text
from tracegrad.pipeline import Compilation

COLUMN = 56


def annotate_source(compilation: Compilation) -> Text:
    """The file of a compiled program, each computing line followed by its node and the user's line.

    The cached file itself holds neither, as equal kernels from different places are one file. Raises TracegradError for a
    program that runs on the interpreter.
    """
    generated, graph = compilation.generated, compilation.graph
    if generated is None or graph is None:
        raise TracegradError("this function runs on the interpreter, so it has no source", fix='use compile="now"')
    functions: dict[str, dict[int, int]] = {}
    for launch in generated.launches:
        functions.setdefault(launch.name, launch.text.origins)
    lines: list[str] = []
    current: dict[int, int] = {}
    number = 0
    for line in generated.source.splitlines():
        if line.startswith("def "):
            name = line[4 : line.index("_HASH_")]
            if not name.endswith("_finish"):
                current, number = functions.get(name, {}), 1
        node = current.get(number)
        lines.append(f"{line:<{COLUMN}}  # {_origin(graph[node])}" if node is not None else line)
        number += 1
    digest = compilation.loaded.digest[:16] if compilation.loaded is not None else ""
    return Text("\n".join(lines).replace("_HASH_", f"_{digest}") + "\n")


def _origin(node: Node) -> str:
    place = f"  {node.where.file}:{node.where.line}  {node.where.text}" if node.where is not None else ""
    return f"%{node.id} {node.op.name}{place}"
