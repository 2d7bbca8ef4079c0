"""Drawings: nothing overlaps, arrows point downward, labels fit, and the text is well-formed."""

import random
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracegrad.core.draw import Box, dot, layout, svg

SVG = "{http://www.w3.org/2000/svg}"


def chain(n):
    return [Box(i, f"op{i}", "map") for i in range(n)], [(i, i + 1) for i in range(n - 1)]


@st.composite
def dags(draw):
    n = draw(st.integers(0, 25))
    boxes = [Box(i, draw(st.text("abc 0\n", max_size=20)), draw(st.sampled_from(["map", "input", "other"]))) for i in range(n)]
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda pair: pair[0] < pair[1])
    return boxes, draw(st.lists(pairs, max_size=50)) if n > 1 else []


def overlap(a, b):
    return abs(a.x - b.x) < (a.width + b.width) / 2 and abs(a.y - b.y) < (a.height + b.height) / 2


@given(dags())
@settings(max_examples=60, deadline=None)
def test_boxes_do_not_overlap_and_arrows_point_downward(graph):
    boxes, arrows = graph
    found = layout(boxes, arrows)
    assert set(found.places) == {box.id for box in boxes}
    assert not any(overlap(a, b) for a, b in combinations(found.places.values(), 2))
    for place in found.places.values():
        assert place.width / 2 <= place.x <= found.width - place.width / 2
        assert place.height / 2 <= place.y <= found.height - place.height / 2
    for (source, target), route in zip(arrows, found.routes, strict=True):
        heights = [y for _, y in route]
        assert heights == sorted(heights)
        assert route[0][1] == pytest.approx(found.places[source].y + found.places[source].height / 2)
        assert route[-1][1] == pytest.approx(found.places[target].y - found.places[target].height / 2)
        assert abs(route[-1][0] - found.places[target].x) < found.places[target].width / 2


@given(dags())
@settings(max_examples=30, deadline=None)
def test_arrows_pass_beside_boxes(graph):
    boxes, arrows = graph
    found = layout(boxes, arrows)
    for (source, target), route in zip(arrows, found.routes, strict=True):
        for x, y in route[1:-1]:
            for box, place in found.places.items():
                inside = abs(x - place.x) < place.width / 2 and abs(y - place.y) < place.height / 2
                assert box in (source, target) or not inside


def test_a_chain_is_a_straight_column():
    found = layout(*chain(6))
    assert len({round(place.x, 3) for place in found.places.values()}) == 1
    assert len({place.y for place in found.places.values()}) == 6


def test_crossings_that_can_be_avoided_are():
    boxes = [Box(i, "op", "map") for i in range(8)]
    found = layout(boxes, [(0, 7), (1, 6), (2, 5), (3, 4)])
    above = sorted(range(4), key=lambda i: found.places[i].x)
    below = sorted(range(4, 8), key=lambda i: found.places[i].x)
    assert [7 - i for i in above] == below


def test_a_weight_stands_near_its_use():
    boxes, arrows = chain(6)
    found = layout([*boxes, Box(9, "w", "input")], [*arrows, (9, 5)])
    assert found.places[9].y == found.places[4].y


def test_equal_arrows_are_seen_as_two():
    first, second = layout([Box(0, "x", "input"), Box(1, "multiply", "map")], [(0, 1), (0, 1)]).routes
    assert first[-1][0] < second[-1][0]


def test_no_boxes():
    assert ET.fromstring(svg([], [])).tag == SVG + "svg"


def test_the_picture_says_everything():
    label = 'a < b & "c"\n(3, 4) f32 \x00'
    boxes = [Box(0, label, "input", "user.py:3", "kernel <1>"), Box(1, "x" * 100, "new role", cluster="kernel <1>")]
    root = ET.fromstring(svg(boxes, [(0, 1)], "loss & co"))
    texts = [element.text for element in root.iter(SVG + "text")]
    assert {"loss & co", 'a < b & "c"', "(3, 4) f32 \N{REPLACEMENT CHARACTER}", "new role", "kernel <1>"} <= set(texts)
    assert "x" * 35 + "…" in texts
    titles = [element.text for element in root.iter(SVG + "title")]
    assert "user.py:3\nkernel <1>" in titles
    assert "x" * 100 + "\nkernel <1>" in titles


def test_labels_fit_their_boxes():
    labels = ["a", "broadcast_to (64, 288)", "two\nlines of text", "宽字符"]
    places = layout([Box(i, label, "map") for i, label in enumerate(labels)], []).places
    for i, label in enumerate(labels):
        columns = max(len(line.encode("gbk")) for line in label.splitlines())  # GBK counts wide characters twice
        assert places[i].width >= columns * 7.3 + 10
        assert places[i].height >= len(label.splitlines()) * 15


def test_is_the_same_every_time():
    rng = random.Random(0)
    boxes = [Box(i, f"op{i}", "map") for i in range(60)]
    arrows = [(rng.randrange(i), i) for i in range(1, 60) for _ in range(2)]
    assert svg(boxes, arrows) == svg(boxes, arrows)


@pytest.mark.parametrize(
    ("ids", "arrows", "match"),
    [
        ([0, 0], [], "differ"),
        ([-1], [], "negative"),
        ([0], [(0, 1)], "0 -> 1"),
        ([0, 1, 2], [(0, 1), (1, 2), (2, 1)], "cycle"),
        ([0], [(0, 0)], "cycle"),
    ],
)
def test_what_is_no_layered_graph(ids, arrows, match):
    with pytest.raises(ValueError, match=match):
        layout([Box(i, "op", "map") for i in ids], arrows)


def test_dot_groups_and_quotes():
    text = dot([Box(0, 'say "hi"\n\\', "output", cluster="kernel 1"), Box(1, "y", "map")], [(0, 1), (0, 1)], "t")
    assert text.startswith('digraph "t" {')
    assert r'label="say \"hi\"\n\\"' in text
    assert 'subgraph cluster_0 { label="kernel 1";' in text
    assert text.count("0 -> 1;") == 2
    assert text.count("{") == text.count("}")
