"""Pytrees: what goes in comes out, equal structures are equal, and errors name the leaf."""

import pickle
import time
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracegrad.core.tree import TreeDef, flatten, register_pytree, tree_map
from tracegrad.errors import TreeError

Point = namedtuple("Point", "x y")


class Layer(NamedTuple):
    w: object
    b: object = None


@dataclass(frozen=True, slots=True)
class Frozen:
    a: object
    b: object


@dataclass
class Strict:
    value: object
    doubled: object = field(init=False, default=0)
    name: str = field(default="s", metadata={"static": True})

    def __post_init__(self):
        if not isinstance(self.value, float):
            raise TypeError("only floats")
        self.doubled = 2 * self.value


leaf = st.integers() | st.floats(allow_nan=False) | st.text(max_size=2)
key = st.text(max_size=3) | st.integers(-3, 3) | st.tuples(st.integers(0, 2), st.text(max_size=1))


def containers(children):
    dicts = st.dictionaries(key, children, max_size=4)
    return st.one_of(
        st.lists(children, max_size=3),
        st.lists(children, max_size=3).map(tuple),
        dicts,
        dicts.map(OrderedDict),
        dicts.map(lambda d: defaultdict(list, d)),
        st.builds(Point, children, children),
        st.builds(Layer, children),
        st.builds(Frozen, children, children),
    )


trees = st.recursive(leaf | st.none(), containers, max_leaves=12)


@given(trees)
def test_round_trip(tree):
    leaves, structure = flatten(tree)
    rebuilt = structure.unflatten(leaves)
    assert rebuilt == tree
    assert repr(rebuilt) == repr(tree)  # types and insertion orders too
    assert len(structure.paths()) == len(set(structure.paths())) == structure.size == len(leaves)


@given(trees)
def test_structure_is_a_key(tree):
    _, structure = flatten(tree)
    _, again = flatten(tree_map(lambda _: object(), tree))
    assert structure == again
    assert hash(structure) == hash(again)
    assert pickle.loads(pickle.dumps(structure)) == structure


@given(trees)
def test_paths_lead_to_the_leaves(tree):
    leaves, structure = flatten(tree)
    for path, value in zip(structure.paths("tree"), leaves, strict=True):
        assert eval(path, {"tree": tree}) is value


@given(st.dictionaries(key, leaf, max_size=6), st.randoms())
def test_insertion_order_does_not_matter_and_is_kept(tree, random):
    items = list(tree.items())
    random.shuffle(items)
    shuffled = dict(items)
    (leaves, structure), (shuffled_leaves, shuffled_structure) = flatten(tree), flatten(shuffled)
    assert structure == shuffled_structure
    assert hash(structure) == hash(shuffled_structure)
    assert leaves == shuffled_leaves
    assert list(shuffled_structure.unflatten(leaves)) == list(shuffled)


def test_different_structures_differ():
    structures = [
        flatten(tree)[1]
        for tree in (0, None, [], (), {}, [0], (0,), {"a": 0}, {"b": 0}, OrderedDict(a=0), Point(0, 0), (0, 0))
        + (Frozen(0, 0), Layer(0), Layer(0, 0), defaultdict(list, a=0), defaultdict(int, a=0), [None], [[]], [[0]])
    ]
    assert len(set(structures)) == len(structures)


def test_paths_read_like_python():
    tree = {"conv1": Layer([np.ones(2), 3.0]), "head": (Frozen(1, {2: 3}),)}
    assert flatten(tree)[1].paths("params") == (
        "params['conv1'].w[0]",
        "params['conv1'].w[1]",
        "params['head'][0].a",
        "params['head'][0].b[2]",
    )
    assert flatten(1.0)[1].paths("x") == ("x",)


def test_arrays_strings_and_numpy_scalars_are_leaves():
    tree = [np.ones(3), "text", np.float32(1), b"", {1, 2}, range(3), ...]
    leaves, structure = flatten(tree)
    assert all(a is b for a, b in zip(leaves, tree, strict=True))
    assert structure.size == 7


def test_dataclasses_are_rebuilt_without_running_their_checks():
    leaves, structure = flatten(Strict(1.5, name="t"))
    assert leaves == [1.5, 3.0]
    rebuilt = structure.unflatten(["traced", "too"])
    assert (rebuilt.value, rebuilt.doubled, rebuilt.name) == ("traced", "too", "t")
    assert structure != flatten(Strict(1.5, name="other"))[1]


def test_registered_class():
    class Box:
        def __init__(self, content, label):
            self.content, self.label = content, label

    assert flatten(Box(1, "a"))[1].size == 1  # a leaf until declared
    register_pytree(Box, lambda box: ((box.content,), box.label), lambda label, children: Box(*children, label))
    leaves, structure = flatten([Box({"k": 1}, "a")])
    assert leaves == [1]
    assert structure.paths("t") == ("t[0][0]['k']",)
    assert structure.unflatten([2])[0].label == "a"
    assert structure != flatten([Box({"k": 1}, "b")])[1]
    with pytest.raises(TreeError, match="already"):
        register_pytree(Box, lambda box: ((), None), lambda aux, children: None)


@pytest.mark.parametrize("cls", [dict, list, tuple, type(None), "Box"])
def test_what_cannot_be_registered(cls):
    with pytest.raises(TreeError):
        register_pytree(cls, lambda obj: ((), None), lambda aux, children: None)


def test_unregistered_subclasses_are_errors_with_their_path():
    class Params(dict):
        pass

    with pytest.raises(TreeError, match=r"args\['net'\]\[1\]: .*Params.*\n.*register_pytree"):
        flatten({"net": [1, Params(a=1)]}, root="args")
    with pytest.raises(TreeError, match=r"^tree: "):
        flatten(Params())


def test_unhashable_aux_is_an_error_with_its_path():
    class Odd:
        pass

    register_pytree(Odd, lambda obj: ((), []), lambda aux, children: Odd())
    with pytest.raises(TreeError, match=r"tree\[0\].*static.*Odd.*hashable"):
        flatten([Odd()])
    with pytest.raises(TreeError, match=r"tree\[1\].*static.*Strict"):
        flatten([0, Strict(1.0, name=[])])


def test_a_tree_that_contains_itself_is_an_error():
    loop = []
    loop.append(loop)
    with pytest.raises(TreeError, match="contains itself"):
        flatten(loop)


def test_wrong_number_of_leaves():
    with pytest.raises(TreeError, match="3 leaves for a structure of 2"):
        flatten((1, 2))[1].unflatten([1, 2, 3])


def test_tree_map_names_the_first_difference():
    assert tree_map(lambda a, b, c: a + b + c, (1, [2]), (10, [20]), (100, [200])) == (111, [222])
    with pytest.raises(TreeError, match=r"tree 2 of tree_map has no tree\['b'\]"):
        tree_map(max, {"a": 1, "b": 2}, {"a": 1})
    with pytest.raises(TreeError, match=r"tree 3 of tree_map has a leaf more, tree\['b'\]"):
        tree_map(max, {"a": 1}, {"a": 1}, {"a": 1, "b": 2})
    with pytest.raises(TreeError, match="but the first is"):
        tree_map(max, (1, 2), [1, 2])


def test_a_treedef_does_not_equal_other_things():
    assert flatten((1,))[1] != "tree"
    assert isinstance(flatten(1)[1], TreeDef)


def test_flatten_is_fast_enough_for_the_call_path():
    tree = {name: np.ones(1) for name in "abcdefgh"}
    best = min(_timed(lambda: flatten(tree)) for _ in range(20))
    assert best < 20e-6  # 1-2 µs on an idle machine


def _timed(f, n=200):
    start = time.perf_counter()
    for _ in range(n):
        f()
    return (time.perf_counter() - start) / n
