"""Containers: what they hold, how they change, how they are printed."""

from collections import OrderedDict

import pytest

import tracegrad.eager as tg
from tracegrad.eager import nn


def layers(n):
    return [nn.Linear(k + 1, k + 2) for k in range(n)]


def sizes(container):
    return [m.in_features for m in container]


class TestSequential:
    def test_named(self):
        net = nn.Sequential(OrderedDict([("first", nn.Linear(2, 3)), ("act", nn.ReLU())]))
        assert list(net.state_dict()) == ["first.weight", "first.bias"]
        assert net.first is net[0]
        assert isinstance(net[-1], nn.ReLU)
        assert list(net[:1]._modules) == ["first"]
        assert repr(net[1:]) == "Sequential(\n  (act): ReLU()\n)"

    def test_changes(self):
        a, b, c, d = layers(4)
        net = nn.Sequential(a, b)
        assert net.append(d) is net
        net.insert(-1, c)
        assert sizes(net) == [1, 2, 3, 4]
        assert list(net._modules) == ["0", "1", "2", "3"]
        assert net.pop(1) is b
        assert sizes(net) == [1, 3, 4]
        del net[::2]
        assert sizes(net) == [3]
        net[0] = a
        assert net[0] is a
        net.extend([b, c])
        assert sizes(net + nn.Sequential(d)) == [1, 2, 3, 4]
        assert sizes(net * 2) == sizes(2 * net) == [1, 2, 3, 1, 2, 3]
        net += nn.Sequential(d)
        net *= 2
        assert sizes(net) == [1, 2, 3, 4] * 2
        assert len(net) == 8

    @pytest.mark.parametrize(
        ("act", "kind", "text"),
        [
            (lambda n: nn.Sequential(1), TypeError, "int is not a Module subclass"),
            (lambda n: n[3], IndexError, "index 3 is out of range"),
            (lambda n: n.insert(5, nn.ReLU()), IndexError, "Index out of range: 5"),
            (
                lambda n: n + [],
                ValueError,
                "add operator supports only objects of Sequential class, but <class 'list'> is given.",
            ),
            (lambda n: n * 0, ValueError, "Non-positive multiplication factor 0"),
            (lambda n: n * "a", TypeError, "unsupported operand type(s) for *"),
            (lambda n: n.extend(3), TypeError, "Sequential.extend should be called with an iterable, but got int"),
        ],
    )
    def test_errors(self, act, kind, text):
        with pytest.raises(kind) as error:
            act(nn.Sequential(*layers(2)))
        assert str(error.value).startswith(text)


class TestModuleList:
    def test_changes(self):
        a, b, c, d = layers(4)
        held = nn.ModuleList([a])
        held += [c]
        held.insert(1, b)
        assert held.append(d) is held
        assert sizes(held) == [1, 2, 3, 4]
        assert isinstance(held[1:3], nn.ModuleList)
        assert sizes(held[1:3]) == [2, 3]
        assert sizes(held + [a]) == [1, 2, 3, 4, 1]
        del held[0]
        assert next(iter(held.state_dict())) == "0.weight"
        assert sizes(held) == [2, 3, 4]
        assert held.pop(-1) is d
        with pytest.raises(IndexError, match="index 2 is out of range"):
            held[2]
        with pytest.raises(TypeError, match="int is not a Module subclass"):
            nn.ModuleList([1])
        with pytest.raises(NotImplementedError, match=r"Module \[ModuleList\] is missing"):
            held(1)

    def test_repr_joins_equal_modules(self):
        held = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh(), nn.Sequential(nn.ReLU()), nn.Sequential(nn.ReLU())])
        assert repr(held) == (
            "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n  (3-4): 2 x Sequential(\n    (0): ReLU()\n  )\n)"
        )
        assert repr(nn.ModuleList()) == "ModuleList()"


class TestModuleDict:
    def test_changes(self):
        a, b, c = layers(3)
        held = nn.ModuleDict({"a": a})
        held.update([("b", b)])
        held["c"] = c
        assert list(held) == list(held.keys()) == ["a", "b", "c"]
        assert held["b"] is b
        assert "b" in held
        assert len(held) == 3
        assert [m.in_features for m in held.values()] == [1, 2, 3]
        assert dict(held.items())["a"] is a
        assert held.pop("a") is a
        del held["b"]
        held.clear()
        assert len(held) == 0

    @pytest.mark.parametrize(
        ("act", "kind", "text"),
        [
            (
                lambda: nn.ModuleDict(3),
                TypeError,
                "ModuleDict.update should be called with an iterable of key/value pairs, but got int",
            ),
            (lambda: nn.ModuleDict([3]), TypeError, "ModuleDict update sequence element #0 should be Iterable; is int"),
            (
                lambda: nn.ModuleDict([(1, 2, 3)]),
                ValueError,
                "ModuleDict update sequence element #0 has length 3; 2 is required",
            ),
            (lambda: nn.ModuleDict({1: nn.ReLU()}), TypeError, "module name should be a string. Got int"),
            (lambda: nn.ModuleDict()["b"], KeyError, "b"),
        ],
    )
    def test_errors(self, act, kind, text):
        with pytest.raises(kind) as error:
            act()
        assert error.value.args[0] == text


class TestParameterContainers:
    def test_list(self):
        held = nn.ParameterList([tg.zeros(2), nn.Parameter(tg.zeros(2, 3))])
        held.append("note")
        assert len(held) == 3
        assert all(isinstance(p, nn.Parameter) for p in held[:2])
        assert [n for n, _ in held.named_parameters()] == ["0", "1"]
        held[-3] = tg.ones(4)
        assert held[0].shape == (4,)
        held += [tg.ones(1)]
        assert len(held[1:]) == 3
        assert repr(held) == (
            "ParameterList(\n"
            "    (0): Parameter containing: [torch.float32 of size 4]\n"
            "    (1): Parameter containing: [torch.float32 of size 2x3]\n"
            "    (2): Object of type: str\n"
            "    (3): Parameter containing: [torch.float32 of size 1]\n"
            ")"
        )
        with pytest.raises(RuntimeError, match="ParameterList should not be called"):
            held(1)
        with pytest.raises(TypeError, match="should be called with an iterable, but got Tensor"):
            held.extend(tg.ones(2))

    def test_dict(self):
        held = nn.ParameterDict({"b": tg.zeros(2), "a": tg.zeros(1)})
        assert list(held) == ["a", "b"]
        assert list(nn.ParameterDict([("b", 1), ("a", 2)])) == ["b", "a"]
        held["c"] = tg.ones(3)
        assert [n for n, _ in held.named_parameters()] == ["a", "b", "c"]
        assert held.get("z", 5) == 5
        assert held.setdefault("n", 7) == held["n"] == 7
        assert held.popitem() == ("n", 7)
        assert list(reversed(held)) == ["c", "b", "a"]
        assert list((held | nn.ParameterDict({"d": 1})).keys()) == ["a", "b", "c", "d"]
        assert held.copy()["a"] is held["a"]
        assert dict(held.fromkeys(["x"], 3).items()) == {"x": 3}
        held |= {"e": tg.ones(1)}
        assert isinstance(held.pop("e"), nn.Parameter)
        del held["c"]
        assert len(list(held.values())) == 2
        assert repr(held) == (
            "ParameterDict(\n"
            "    (a): Parameter containing: [torch.FloatTensor of size 1]\n"
            "    (b): Parameter containing: [torch.FloatTensor of size 2]\n"
            ")"
        )
        held.clear()
        assert "a" not in held
        with pytest.raises(TypeError, match=r"not a string \(type is 'int'\)"):
            held[1] = tg.ones(1)
        with pytest.raises(AttributeError, match="'ParameterDict' object has no attribute 'b'"):
            held["b"]
        with pytest.raises(RuntimeError, match="ParameterDict should not be called"):
            held(1)
