"""Pictures of the dynamic graph: what a Tensor was computed from, as torchviz draws it, without any program beside Python."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tracegrad.core.draw import Box, dot, svg
from tracegrad.eager.nodes import AccumulateGrad, Node
from tracegrad.eager.tensor import Tensor
from tracegrad.errors import DtypeError, TapeError

__all__ = ["Picture", "make_dot"]

_FORMATS = ("svg", "dot", "gv")


class Picture:
    """A drawing of a graph; Jupyter shows it.

    Parameters
    ----------
    boxes, arrows: as for :func:`tracegrad.core.draw.svg`.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> picture = make_dot((x * x).sum(), {"x": x})
    >>> picture.svg().startswith("<svg")
    True
    """

    def __init__(self, boxes: list[Box], arrows: list[tuple[int, int]]) -> None:
        self.boxes = boxes
        self.arrows = arrows

    @property
    def source(self) -> str:
        """The graph as DOT text."""
        return dot(self.boxes, self.arrows)

    def svg(self) -> str:
        """The picture as the text of an SVG file."""
        return svg(self.boxes, self.arrows)

    def _repr_svg_(self) -> str:
        return self.svg()

    def __str__(self) -> str:
        return self.source

    def render(
        self,
        filename: str | Path = "graph",
        directory: str | Path | None = None,
        view: bool = False,
        cleanup: bool = False,
        format: str = "svg",
    ) -> str:
        """Write the DOT text to ``filename`` and the picture to ``filename.svg``; returns the path of the picture.

        Parameters
        ----------
        filename, directory: where to; folders are made. A name that ends in the format is that of the picture.
        view: show the picture in a browser.
        cleanup: leave out the DOT text.
        format: ``"svg"``, ``"dot"`` or ``"gv"``; ValueError for others.
        """
        if format not in _FORMATS:
            raise ValueError(
                f"format={format!r}: pictures are written as svg, or as DOT text (dot, gv), from which other programs make "
                f"a {format}"
            )
        path = Path(directory or "", filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = path if path.suffix == f".{format}" else path.with_name(f"{path.name}.{format}")
        if picture != path and not cleanup:
            path.write_text(self.source, "utf-8")
        picture.write_text(self.svg() if format == "svg" else self.source, "utf-8")
        if view:
            webbrowser.open(picture.absolute().as_uri())
        return str(picture)

    def save(self, filename: str | Path = "graph.gv", directory: str | Path | None = None) -> str:
        """Write the DOT text, or the picture where the name ends in ``.svg``; returns the path."""
        path = Path(directory or "", filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.svg() if path.suffix == ".svg" else self.source, "utf-8")
        return str(path)

    def view(self, filename: str | Path = "graph", directory: str | Path | None = None) -> str:
        """Write the picture and show it in a browser; returns the path."""
        return self.render(filename, directory, view=True)


def make_dot(
    var: Tensor | Iterable[Any] | Mapping[str, Any],
    params: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] | None = None,
    show_attrs: bool = False,
    show_saved: bool = False,
    max_attr_chars: int = 50,
) -> Picture:
    r"""Draw the graph that backward would walk: leaves light blue, each ``grad_fn`` grey, outputs green.

    Parameters
    ----------
    var: a tensor, or a tuple or dict of tensors.
    params: the names of tensors, e.g. ``dict(model.named_parameters())``.
    show_attrs: write each op's own arguments into its box.
    show_saved: draw what each op keeps for backward, orange.
    max_attr_chars: where an argument's text is cut.

    Arrows go the way of the forward pass. Raises DtypeError for what is no Tensor.

    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> print(make_dot((w * 3).sum(), params={"w": w}).source)
    digraph "" {
      node [shape=box, style="rounded,filled", fontname="monospace"];
      0 [label="w\n(2)", fillcolor="#add8e6", color="#5b9bb5", tooltip="w\n(2)"];
      1 [label="AccumulateGrad", fillcolor="#ececec", color="#777777", tooltip="AccumulateGrad"];
      2 [label="MulBackward0", fillcolor="#ececec", color="#777777", tooltip="MulBackward0"];
      3 [label="SumBackward0", fillcolor="#ececec", color="#777777", tooltip="SumBackward0"];
      4 [label="()", fillcolor="#caff70", color="#86b33f", tooltip="()"];
      0 -> 1;
      1 -> 2;
      2 -> 3;
      3 -> 4;
    }
    <BLANKLINE>
    """
    outputs = list(_tensors(var))
    names = _names(params)
    drawing = _Drawing(names, show_attrs, show_saved, max(max_attr_chars, 3))
    for name, output in outputs:
        drawing.draw_output(name, output)
    return Picture(drawing.boxes, drawing.arrows)


def _tensors(var: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors to draw, those of dicts with their keys."""
    if isinstance(var, Tensor):
        yield name, var
    elif isinstance(var, Mapping):
        for key, value in var.items():
            yield from _tensors(value, str(key))
    elif isinstance(var, Iterable) and not isinstance(var, (str, bytes, np.ndarray)):
        for value in var:
            yield from _tensors(value, name)
    else:
        raise DtypeError(f"make_dot draws Tensors, not {type(var).__name__}", fix="make_dot(y), with y computed from Tensors")


def _names(params: Any) -> dict[int, str]:
    """The names of tensors by their storage: a leaf that nobody holds comes back as another object."""
    found = {}
    for name, tensor in params.items() if isinstance(params, Mapping) else params or ():
        if not isinstance(tensor, Tensor):
            raise DtypeError(
                f"params[{name!r}] is a {type(tensor).__name__}, not a Tensor", fix="params=dict(model.named_parameters())"
            )
        found[id(tensor._array)] = str(name)
    return found


class _Drawing:
    """The boxes and arrows of the graphs that were drawn."""

    def __init__(self, names: dict[int, str], show_attrs: bool, show_saved: bool, longest: int) -> None:
        self.names = names
        self.show_attrs = show_attrs
        self.show_saved = show_saved
        self.longest = longest
        self.boxes: list[Box] = []
        self.arrows: list[tuple[int, int]] = []
        self.known: dict[Node, int] = {}

    def box(self, label: str, role: str) -> int:
        self.boxes.append(Box(len(self.boxes), label, role))
        return len(self.boxes) - 1

    def draw_output(self, name: str, output: Tensor) -> None:
        """Draw a tensor and everything it was computed from; a leaf stands for itself."""
        label = _named(self.names.get(id(output._array), name), output.shape)
        node = output.grad_fn
        if node is None:
            if output.requires_grad:
                label = f"{label}\nleaf"
            self.box(label, "output tensor")
            return
        self.draw_node(node)
        self.arrows.append((self.known[node], self.box(label, "output tensor")))

    def draw_node(self, root: Node) -> None:
        """Draw a node after all that lead to it; without recursion, as graphs may be deep."""
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if node in self.known:
                continue
            if not ready:
                stack.append((node, True))
                stack += [(source, False) for source, _ in reversed(node.next_functions) if source is not None]
                continue
            before = []
            if isinstance(node, AccumulateGrad):
                before.append(self.box(_named(self.names.get(id(node.array), ""), node.shape), "leaf tensor"))
            elif self.show_saved:
                before += [self.box(_named(name, array.shape), "saved tensor") for name, array in _saved(node)]
            self.known[node] = self.box(self.label(node), "grad_fn")
            before += [self.known[source] for source, _ in node.next_functions if source is not None]
            self.arrows += [(k, self.known[node]) for k in before]

    def label(self, node: Node) -> str:
        """A node's name, with its arguments below a line if they are wanted."""
        name = node.name()
        attributes: Mapping[str, Any] = getattr(node, "params", None) or {}
        if not self.show_attrs or not attributes:
            return name
        width = max(map(len, attributes))
        lines = [f"{key:{width}}: {self.cut(str(value))}" for key, value in attributes.items()]
        return "\n".join([name, "-" * max(map(len, [name, *lines])), *lines])

    def cut(self, text: str) -> str:
        """The text, shortened."""
        return text if len(text) <= self.longest else text[: self.longest - 3] + "..."


def _named(name: str, shape: Iterable[int]) -> str:
    size = "(" + ", ".join(map(str, shape)) + ")"
    return f"{name}\n{size}" if name else size


def _saved(node: Node) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """What a node keeps, with a name for each; nothing once it was freed."""
    entries = getattr(node, "saved", None)
    plan = getattr(node, "plan", None)
    if entries is None:
        try:
            tensors = getattr(node, "saved_tensors", ())
        except TapeError:
            return
        for k, tensor in enumerate(tensors):
            if tensor is not None:
                yield f"saved {k}", tensor._array
        return
    names = [f"operand {k}" for k in getattr(plan, "values", getattr(plan, "kept_inputs", ()))]
    names += ["result"] * len(getattr(plan, "kept_outputs", (0,)))
    for k, entry in enumerate(entries):
        if isinstance(entry, tuple) and isinstance(entry[0], np.ndarray):
            yield (names[k] if k < len(names) else "intermediate"), entry[0]
