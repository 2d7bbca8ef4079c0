"""Pictures of the dynamic graph: everything of it is there once, with names, shapes, colours and arrows as in torchviz."""

import re
import webbrowser
import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pytest

from tracegrad.eager.autograd import Function
from tracegrad.eager.picture import make_dot
from tracegrad.eager.tensor import Tensor
from tracegrad.errors import DtypeError

SVG = "{http://www.w3.org/2000/svg}"


def leaf(*shape):
    return Tensor(np.ones(shape, np.float32), requires_grad=True)


def block(x, w1, w2):
    """A residual block."""
    h = (x @ w1).tanh() @ w2
    return h + x


def drawn(picture):
    """Label and role of every box, and the labels that arrows join."""
    labels = {box.id: box.label for box in picture.boxes}
    return [(box.label, box.role) for box in picture.boxes], [(labels[a], labels[b]) for a, b in picture.arrows]


def test_a_chain():
    w = leaf(2)
    boxes, arrows = drawn(make_dot((w * 3).sum(), {"w": w}))
    assert boxes == [
        ("w\n(2)", "leaf tensor"),
        ("AccumulateGrad", "grad_fn"),
        ("MulBackward0", "grad_fn"),
        ("SumBackward0", "grad_fn"),
        ("()", "output tensor"),
    ]
    assert arrows == list(zip([b[0] for b in boxes], [b[0] for b in boxes[1:]], strict=False))


def test_a_residual_block():
    x, w1, w2 = leaf(3, 4), leaf(4, 4), leaf(4, 4)
    y = block(x, w1, w2)
    picture = make_dot(y, params={"x": x, "w1": w1, "w2": w2, "y": y})
    boxes, arrows = drawn(picture)
    assert Counter(role for _, role in boxes) == {"leaf tensor": 3, "grad_fn": 7, "output tensor": 1}
    assert {label for label, role in boxes if role == "leaf tensor"} == {"x\n(3, 4)", "w1\n(4, 4)", "w2\n(4, 4)"}
    assert ("y\n(3, 4)", "output tensor") in boxes
    # x is used twice and drawn once
    (accumulates,) = [b.id for b in picture.boxes if (picture.boxes[0].id, b.id) in picture.arrows]
    assert sum(a == accumulates for a, _ in picture.arrows) == 2
    assert ("TanhBackward0", "MmBackward0") in arrows
    assert arrows[-1] == ("AddBackward0", "y\n(3, 4)")


def test_it_walks_next_functions():
    """The boxes are the nodes that ``next_functions`` lead to, and nothing else."""
    y = block(leaf(3, 4), leaf(4, 4), leaf(4, 4)).sum()
    seen, edges, stack = set(), 0, [y.grad_fn]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack += [source for source, _ in node.next_functions if source is not None]
            edges += sum(source is not None for source, _ in node.next_functions)
    picture = make_dot(y)
    leaves = sum(node.name() == "AccumulateGrad" for node in seen)
    assert Counter(b.label for b in picture.boxes if b.role == "grad_fn") == Counter(node.name() for node in seen)
    assert len(picture.arrows) == edges + leaves + 1


def test_both_arrows_of_a_square():
    x = leaf(2)
    _, arrows = drawn(make_dot(x * x))
    assert arrows.count(("AccumulateGrad", "MulBackward0")) == 2


def test_several_outputs_share_what_they_have_in_common():
    x = leaf(2)
    h = x.exp()
    boxes, _ = drawn(make_dot({"loss": h.sum(), "all": (h, [h * 2])}))
    assert [label for label, role in boxes if role == "output tensor"] == ["loss\n()", "all\n(2)", "all\n(2)"]
    assert sum(label == "ExpBackward0" for label, _ in boxes) == 1


def test_tensors_without_a_graph():
    assert drawn(make_dot(Tensor([1.0]))) == ([("(1)", "output tensor")], [])
    x = leaf(2)
    assert drawn(make_dot(x, {"x": x})) == ([("x\n(2)\nleaf", "output tensor")], [])


def test_names_reach_leaves_that_nobody_holds():
    w = leaf(2)
    storage = {"w": w.detach()}
    y = w.exp()
    del w
    assert drawn(make_dot(y, storage))[0][0] == ("w\n(2)", "leaf tensor")
    assert drawn(make_dot(y, iter(storage.items())))[0][0] == ("w\n(2)", "leaf tensor")


def test_arguments_of_ops():
    y = leaf(2, 3).sum(0)
    label = next(b.label for b in make_dot(y, show_attrs=True).boxes if b.label.startswith("Sum"))
    name, line, *arguments = label.splitlines()
    assert name == "SumBackward1"
    assert set(line) == {"-"}
    assert any(re.fullmatch(r"axes *: \(0,\)", text) for text in arguments)
    label = next(b.label for b in make_dot(y, show_attrs=True, max_attr_chars=3).boxes if b.label.startswith("Sum"))
    assert re.search(r"axes *: \.\.\.$", label)


def test_what_is_kept_for_backward():
    class Twice(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, None)
            return 2 * x

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    x, w = leaf(3, 4), leaf(4, 4)
    y = Twice.apply((x @ w).tanh()).sum()
    boxes, arrows = drawn(make_dot(y, show_saved=True))
    saved = Counter(label for label, role in boxes if role == "saved tensor")
    assert saved == {"operand 0\n(3, 4)": 1, "operand 1\n(4, 4)": 1, "result\n(3, 4)": 1, "saved 0\n(3, 4)": 1}
    assert ("result\n(3, 4)", "TanhBackward0") in arrows
    y.backward()
    assert not any(role == "saved tensor" for _, role in drawn(make_dot(y, show_saved=True))[0])


def test_deep_graphs():
    x = leaf(1)
    y = x
    for _ in range(3000):
        y = y + 1
    assert len(make_dot(y).boxes) == 3003


def test_the_svg_and_its_colours():
    x, w1, w2 = leaf(3, 4), leaf(4, 4), leaf(4, 4)
    picture = make_dot(block(x, w1, w2), {"w<1>": w1})
    root = ET.fromstring(picture._repr_svg_())
    texts = [element.text for element in root.iter(SVG + "text")]
    assert {"w<1>", "(4, 4)", "TanhBackward0", "leaf tensor", "output tensor", "grad_fn"} <= set(texts)
    fills = Counter(rect.get("fill") for rect in root.iter(SVG + "rect"))
    # one more of each in the legend
    assert (fills["#add8e6"], fills["#caff70"], fills["#ececec"]) == (4, 2, 8)
    assert picture.source == str(picture)
    assert picture.source.startswith("digraph")
    assert picture.source.count("->") == len(picture.arrows)


def test_files(tmp_path, monkeypatch):
    picture = make_dot(leaf(2).exp())
    assert picture.render(tmp_path / "new" / "graph") == str(tmp_path / "new" / "graph.svg")
    assert (tmp_path / "new" / "graph").read_text("utf-8") == picture.source
    assert (tmp_path / "new" / "graph.svg").read_text("utf-8") == picture.svg()
    assert picture.render("b.svg", tmp_path) == str(tmp_path / "b.svg")
    assert picture.render("c", tmp_path, cleanup=True, format="dot") == str(tmp_path / "c.dot")
    assert (tmp_path / "c.dot").read_text("utf-8") == picture.source
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.svg", "c.dot", "new"]
    picture.save("d.svg", tmp_path)
    picture.save("e.gv", tmp_path)
    assert (tmp_path / "d.svg").read_text("utf-8") == picture.svg()
    assert (tmp_path / "e.gv").read_text("utf-8") == picture.source
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    picture.view("f", tmp_path)
    assert opened == [(tmp_path / "f.svg").as_uri()]
    with pytest.raises(ValueError, match="format='png': pictures are written as svg"):
        picture.render(tmp_path / "g", format="png")


def test_what_is_no_tensor():
    with pytest.raises(DtypeError, match="make_dot draws Tensors, not ndarray"):
        make_dot(np.ones(2))
    with pytest.raises(DtypeError, match=r"params\['w'\] is a ndarray, not a Tensor"):
        make_dot(leaf(2), {"w": np.ones(2)})
