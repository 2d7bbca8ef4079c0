"""What modules register, walk through, convert, copy, save and load, and PyTorch's errors for all of it."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import tracegrad.eager as tg
from tracegrad.eager import nn
from tracegrad.errors import DeviceError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 4)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.scale = nn.Parameter(tg.tensor([2.0]))
        self.register_buffer("count", tg.tensor(0))
        self.register_buffer("scratch", tg.tensor([1.0]), persistent=False)
        self.note = "text"

    def forward(self, x):
        return self.body(self.fc(x)) * self.scale


class TestParameter:
    def test_repr(self):
        p = nn.Parameter(tg.tensor([[1.0, 2.5]]))
        assert repr(p) == "Parameter containing:\ntensor([[1.0000, 2.5000]], requires_grad=True)"
        assert repr(nn.Parameter(tg.tensor([1]), requires_grad=False)) == "Parameter containing:\ntensor([1])"

    def test_shares_storage_and_operations_give_tensors(self):
        t = tg.tensor([1.0, 2.0])
        p = nn.Parameter(t)
        t[0] = 5.0
        assert p.tolist() == [5.0, 2.0]
        assert type(p * 2) is tg.Tensor
        assert type(p.detach()) is tg.Tensor
        assert p.is_leaf
        assert p.grad_fn is None

    def test_of_a_computed_tensor_is_a_leaf(self):
        p = nn.Parameter(tg.tensor([1.0], requires_grad=True) * 2)
        assert p.is_leaf
        (p * 3).sum().backward()
        assert p.grad.tolist() == [3.0]

    def test_made_without_grad_mode_requires_grad(self):
        with tg.no_grad():
            assert nn.Parameter(tg.tensor([1.0])).requires_grad

    def test_refuses_other_data(self):
        with pytest.raises(TypeError, match="argument 'data' must be Tensor, not list"):
            nn.Parameter([1.0])
        assert nn.Parameter().shape == (0,)

    def test_copies(self):
        p = nn.Parameter(tg.tensor([1.0]))
        p.grad = tg.tensor([2.0])
        twin = copy.deepcopy(p)
        assert type(twin) is nn.Parameter
        assert twin.requires_grad
        assert twin.grad is None
        twin.data[0] = 3.0
        assert p.tolist() == [1.0]
        again = pickle.loads(pickle.dumps(p))
        assert type(again) is nn.Parameter
        assert again.tolist() == [1.0]
        assert again.requires_grad


class TestRegistration:
    def test_names(self):
        net = Net()
        assert [n for n, _ in net.named_parameters()] == [
            "scale",
            "fc.weight",
            "fc.bias",
            "body.0.weight",
            "body.0.bias",
        ]
        assert [n for n, _ in net.named_parameters(prefix="p", recurse=False)] == ["p.scale"]
        assert [n for n, _ in net.named_buffers()] == ["count", "scratch"]
        assert [n for n, _ in net.named_children()] == ["fc", "body"]
        assert [n for n, _ in net.named_modules()] == ["", "fc", "body", "body.0", "body.1"]
        assert [n for n, _ in net.body.named_modules(prefix="here")] == ["here", "here.0", "here.1"]
        assert len(list(net.modules())) == 5
        assert len(list(net.children())) == 2
        assert len(list(net.buffers())) == 2
        assert sum(1 for _ in net.parameters()) == 5

    def test_shared_members_come_once(self):
        layer = nn.Linear(2, 2)
        net = nn.Sequential(layer, layer)
        assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias"]
        assert [n for n, _ in net.named_parameters(remove_duplicate=False)] == ["0.weight", "0.bias", "1.weight", "1.bias"]
        assert [n for n, _ in net.named_modules()] == ["", "0"]
        assert [n for n, _ in net.named_modules(remove_duplicate=False)] == ["", "0", "1"]
        assert len(list(net.children())) == 1
        assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]

    def test_assignment_moves_between_kinds(self):
        net = nn.Module()
        net.x = tg.tensor([1.0])
        assert "x" not in net._buffers
        net.x = nn.Parameter(tg.tensor([1.0]))
        assert list(net._parameters) == ["x"]
        assert "x" not in net.__dict__
        with pytest.raises(TypeError, match="Linear' as parameter 'x'"):
            net.x = nn.Linear(1, 1)
        net.x = None
        assert net.x is None
        del net.x
        net.x = nn.Linear(1, 1)
        assert list(net._modules) == ["x"]
        assert not net._parameters
        net.y = nn.Buffer(tg.tensor([2.0]), persistent=False)
        assert list(net._buffers) == ["y"]
        assert "y" not in net.state_dict()
        net.y = tg.tensor([3.0])
        assert net._buffers["y"].tolist() == [3.0]
        net.y = None
        assert net.y is None
        assert [n for n, _ in net.named_buffers()] == []
        del net.x
        assert not net._modules
        with pytest.raises(AttributeError, match="'Module' object has no attribute 'x'"):
            _ = net.x
        with pytest.raises(AttributeError):
            del net.nothing

    @pytest.mark.parametrize(
        ("member", "text"),
        [
            (lambda: nn.Linear(1, 1), "cannot assign module before Module.__init__() call"),
            (lambda: nn.Parameter(tg.tensor([1.0])), "cannot assign parameters before Module.__init__() call"),
            (lambda: nn.Buffer(tg.tensor([1.0])), "cannot assign buffer before Module.__init__() call"),
        ],
    )
    def test_before_init(self, member, text):
        class Early(nn.Module):
            def __init__(self):
                self.x = member()

        with pytest.raises(AttributeError) as error:
            Early()
        assert str(error.value) == text

    def test_register_before_init(self):
        early = nn.Module.__new__(nn.Module)
        with pytest.raises(AttributeError, match=r"cannot assign parameter before Module.__init__\(\) call"):
            early.register_parameter("x", None)
        with pytest.raises(AttributeError, match=r"cannot assign buffer before Module.__init__\(\) call"):
            early.register_buffer("x", None)

    @pytest.mark.parametrize(
        ("act", "kind", "text"),
        [
            (
                lambda m: setattr(m.fc, "weight", 3),
                TypeError,
                "cannot assign 'int' as parameter 'weight' (torch.nn.Parameter or None expected)",
            ),
            (
                lambda m: setattr(m.fc, "weight", tg.tensor([1.0])),
                TypeError,
                "cannot assign 'torch.FloatTensor' as parameter 'weight' (torch.nn.Parameter or None expected)",
            ),
            (
                lambda m: setattr(m, "fc", 3),
                TypeError,
                "cannot assign 'int' as child module 'fc' (torch.nn.Module or None expected)",
            ),
            (
                lambda m: setattr(m, "count", 3),
                TypeError,
                "cannot assign 'int' as buffer 'count' (torch.nn.Buffer, torch.Tensor or None expected)",
            ),
            (lambda m: m.register_parameter("a.b", None), KeyError, 'parameter name can\'t contain ".", got: a.b'),
            (lambda m: m.register_parameter("", None), KeyError, 'parameter name can\'t be empty string ""'),
            (lambda m: m.register_parameter(3, None), TypeError, "parameter name should be a string. Got int"),
            (lambda m: m.register_parameter("fc", None), KeyError, "attribute 'fc' already exists"),
            (
                lambda m: m.register_parameter("new", tg.tensor([1])),
                TypeError,
                "cannot assign 'torch.LongTensor' object to parameter 'new' (torch.nn.Parameter or None required)",
            ),
            (lambda m: m.register_buffer("note", None), KeyError, "attribute 'note' already exists"),
            (
                lambda m: m.register_buffer("new", 3),
                TypeError,
                "cannot assign 'int' object to buffer 'new' (torch Tensor or None required)",
            ),
            (lambda m: m.add_module("new", 3), TypeError, "int is not a Module subclass"),
            (lambda m: m.register_module("note", nn.Identity()), KeyError, "attribute 'note' already exists"),
            (lambda m: nn.Module(1), TypeError, "Module.__init__() takes 1 positional argument but 2 were given"),
            (lambda m: nn.Module(a=2), TypeError, "Module.__init__() got an unexpected keyword argument 'a'"),
            (lambda m: nn.Module()(2), NotImplementedError, 'Module [Module] is missing the required "forward" function'),
            (lambda m: m.missing, AttributeError, "'Net' object has no attribute 'missing'"),
            (lambda m: m.train("x"), ValueError, "training mode is expected to be boolean"),
            (lambda m: m.get_submodule("fc.x"), AttributeError, "Linear has no attribute `x`"),
            (lambda m: m.get_submodule("fc.weight"), AttributeError, "`weight` is not an nn.Module"),
            (lambda m: m.get_parameter("body.0"), AttributeError, "`0` is not an nn.Parameter"),
            (lambda m: m.get_buffer("scale"), AttributeError, "`scale` is not a buffer"),
            (lambda m: m.set_submodule("", m), ValueError, "Cannot set the submodule without a target name!"),
            (lambda m: m.set_submodule("fc", 3), ValueError, "`module` is not an nn.Module, found <class 'int'>"),
            (lambda m: m.set_submodule("body.x", m.fc, strict=True), AttributeError, "Sequential has no attribute `x`"),
            (
                lambda m: m.to(tg.int64),
                TypeError,
                "nn.Module.to only accepts floating point or complex dtypes, but got desired dtype=torch.int64",
            ),
        ],
    )
    def test_errors(self, act, kind, text):
        with pytest.raises(kind) as error:
            act(Net())
        assert error.value.args[0] == text

    def test_by_name(self):
        net = Net()
        assert net.get_submodule("") is net
        assert net.get_submodule("body.0") is net.body[0]
        assert net.get_parameter("body.0.bias") is net.body[0].bias
        assert net.get_buffer("count") is net.count
        net.set_submodule("body.1", nn.ReLU())
        assert isinstance(net.body[1], nn.ReLU)

    def test_dir(self):
        names = dir(Net())
        assert {"fc", "scale", "count", "forward", "note"} <= set(names)
        assert "0" not in dir(Net().body)


class TestModes:
    def test_train_and_eval(self):
        net = Net()
        assert net.eval() is net
        assert not any(m.training for m in net.modules())
        assert all(m.training for m in net.train().modules())

    def test_zero_grad_and_requires_grad(self):
        net = nn.Linear(2, 1)
        net(tg.tensor([[1.0, 2.0]])).sum().backward()
        kept = net.weight.grad
        net.zero_grad(set_to_none=False)
        assert net.weight.grad is kept
        assert kept.tolist() == [[0.0, 0.0]]
        net.zero_grad()
        assert net.weight.grad is None
        assert net.requires_grad_(False) is net
        assert not any(p.requires_grad for p in net.parameters())
        assert not net(tg.tensor([[1.0, 2.0]])).requires_grad

    def test_apply_runs_from_below(self):
        seen = []
        net = Net()
        assert net.apply(lambda m: seen.append(type(m).__name__)) is net
        assert seen == ["Linear", "Linear", "Tanh", "Sequential", "Net"]

    def test_conversion_keeps_parameters(self):
        net = Net()
        first, buffer = net.fc.weight, net.count
        net.fc(tg.tensor([[1.0, 2.0]])).sum().backward()
        assert net.double() is net
        assert net.fc.weight is first
        assert first.dtype == tg.float64
        assert first.grad.dtype == tg.float64
        assert buffer.dtype == tg.int64
        assert net.count.dtype == tg.int64
        assert net.scratch.dtype == tg.float64
        assert first.requires_grad
        assert net(tg.tensor([[1.0, 2.0]], dtype=tg.float64)).dtype == tg.float64
        assert net.to(tg.tensor([1.0])).scale.dtype == tg.float32
        assert net.to("cpu", tg.float64).scale.dtype == tg.float64
        assert net.to(device="cpu").float().cpu().scale.dtype == tg.float32

    def test_training_goes_on_after_conversion(self):
        layer = nn.Linear(1, 1).double()
        layer(tg.tensor([[2.0]], dtype=tg.float64)).sum().backward()
        assert layer.weight.grad.tolist() == [[2.0]]

    def test_other_devices_are_refused(self):
        for act in (lambda m: m.cuda(), lambda m: m.to("cuda"), lambda m: m.to(device="cuda:0")):
            with pytest.raises(DeviceError, match="tracegrad computes on the CPU"):
                act(Net())
        with pytest.raises(DeviceError, match="device cuda"):
            nn.Linear(2, 2, device="cuda")

    def test_dtype_of_new_layers(self):
        assert nn.Linear(2, 2, dtype=tg.float64).weight.dtype == tg.float64
        tg.set_default_dtype(tg.float64)
        try:
            assert nn.BatchNorm1d(2).running_mean.dtype == tg.float64
            assert nn.BatchNorm1d(2).num_batches_tracked.dtype == tg.int64
        finally:
            tg.set_default_dtype(tg.float32)


class TestState:
    def test_state_dict(self):
        net = Net()
        state = net.state_dict()
        assert isinstance(state, OrderedDict)
        assert list(state) == ["scale", "count", "fc.weight", "fc.bias", "body.0.weight", "body.0.bias"]
        assert type(state["scale"]) is tg.Tensor
        assert not state["scale"].requires_grad
        with tg.no_grad():
            net.scale[0] = 7.0
        assert state["scale"].tolist() == [7.0]
        assert net.state_dict(keep_vars=True)["scale"] is net.scale
        assert list(net.fc.state_dict(prefix="x.")) == ["x.weight", "x.bias"]
        assert state._metadata["body.0"] == {"version": 1}
        assert nn.BatchNorm1d(2).state_dict()._metadata[""] == {"version": 2}

    def test_load(self):
        net, other = Net(), Net()
        kept = net.scale
        result = net.load_state_dict(other.state_dict())
        assert repr(result) == str(result) == "<All keys matched successfully>"
        assert result.missing_keys == []
        assert net.scale is kept
        x = tg.tensor([[1.0, 2.0]])
        assert net(x).tolist() == other(x).tolist()

    def test_load_arrays_in_another_dtype(self):
        layer = nn.Linear(1, 1)
        layer.load_state_dict({"weight": np.array([[2.5]]), "bias": tg.tensor([1])})
        assert layer.weight.tolist() == [[2.5]]
        assert layer.weight.dtype == layer.bias.dtype == tg.float32

    def test_errors(self):
        net = Net()
        state = net.state_dict()
        del state["fc.bias"]
        state["fc.weight"] = tg.zeros(3, 2)
        state["stray"] = tg.zeros(1)
        state["body.9.weight"] = tg.zeros(1)
        with pytest.raises(RuntimeError) as error:
            net.load_state_dict(state)
        assert str(error.value) == (
            "Error(s) in loading state_dict for Net:\n"
            '\tMissing key(s) in state_dict: "fc.bias". \n'
            '\tUnexpected key(s) in state_dict: "stray", "body.9.weight". \n'
            "\tsize mismatch for fc.weight: copying a param with shape torch.Size([3, 2]) from checkpoint, "
            "the shape in current model is torch.Size([4, 2])."
        )
        with pytest.raises(RuntimeError, match=r"size mismatch for fc\.weight"):
            net.load_state_dict(state, strict=False)
        del state["fc.weight"]
        result = net.load_state_dict(state, strict=False)
        assert result.missing_keys == ["fc.weight", "fc.bias"]
        assert result.unexpected_keys == ["stray", "body.9.weight"]
        with pytest.raises(TypeError, match="Expected state_dict to be dict-like, got <class 'list'>"):
            net.load_state_dict([])
        with pytest.raises(RuntimeError, match=r'While copying the parameter named "scale", expected torch\.Tensor'):
            net.load_state_dict({"scale": 3.0}, strict=False)

    def test_assign(self):
        layer = nn.Linear(1, 1)
        weight, bias = tg.tensor([[2.5]], dtype=tg.float64), nn.Parameter(tg.tensor([1.0], dtype=tg.float64))
        layer.load_state_dict({"weight": weight, "bias": bias}, assign=True)
        assert layer.bias is bias
        assert layer.weight.dtype == tg.float64
        weight[0] = 4.0
        assert layer.weight.tolist() == [[4.0]]
        assert isinstance(layer.weight, nn.Parameter)
        assert layer.weight.requires_grad

    def test_batch_norm_of_an_old_layout(self):
        layer = nn.BatchNorm1d(2)
        state = dict(layer.state_dict())
        del state["num_batches_tracked"]
        layer.load_state_dict(state)
        assert layer.num_batches_tracked.item() == 0

    def test_extra_state(self):
        class Counting(nn.Module):
            def __init__(self):
                super().__init__()
                self.n = 3

            def get_extra_state(self):
                return {"n": self.n}

            def set_extra_state(self, state):
                self.n = state["n"]

        net, other = nn.Sequential(Counting()), nn.Sequential(Counting())
        net[0].n = 8
        assert list(net.state_dict()) == ["0._extra_state"]
        other.load_state_dict(net.state_dict())
        assert other[0].n == 8
        with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "0._extra_state"'):
            other.load_state_dict({})

    def test_hooks(self):
        layer, seen = nn.Linear(1, 1), []
        layer.register_state_dict_pre_hook(lambda m, prefix, keep: seen.append((prefix, keep)))
        layer.register_state_dict_post_hook(lambda m, state, prefix, local: state.pop(prefix + "bias"))
        layer.register_load_state_dict_pre_hook(lambda m, state, prefix, *rest: state.setdefault(prefix + "bias", m.bias))
        layer.register_load_state_dict_post_hook(lambda m, keys: seen.append(keys.missing_keys))
        state = nn.Sequential(layer).state_dict()
        assert list(state) == ["0.weight"]
        nn.Sequential(layer).load_state_dict(state)
        assert seen == [("0.", False), []]


class TestCopies:
    def test_deepcopy_is_apart_and_keeps_sharing(self):
        layer = nn.Linear(2, 2)
        net = nn.Sequential(layer, nn.BatchNorm1d(2), layer)
        net.register_forward_hook(lambda m, a, out: out + 1)
        twin = copy.deepcopy(net)
        assert twin[0] is twin[2]
        assert twin[0].weight is not layer.weight
        assert isinstance(twin[0].weight, nn.Parameter)
        x = tg.tensor([[1.0, 2.0], [3.0, 5.0]])
        assert net(x).tolist() == twin(x).tolist()
        with tg.no_grad():
            twin[0].weight[...] = 0.0
        assert net(x).tolist() != twin(x).tolist()

    def test_pickle(self):
        net = nn.Sequential(nn.Linear(2, 3), nn.LSTM(3, 2))
        twin = pickle.loads(pickle.dumps(net))
        x = tg.tensor([[1.0, 2.0]])
        assert net(x)[0].tolist() == twin(x)[0].tolist()
        assert repr(net) == repr(twin)


def test_repr():
    assert repr(Net()) == (
        "Net(\n"
        "  (fc): Linear(in_features=2, out_features=4, bias=True)\n"
        "  (body): Sequential(\n"
        "    (0): Linear(in_features=4, out_features=4, bias=True)\n"
        "    (1): Tanh()\n"
        "  )\n"
        ")"
    )

    class Described(nn.Module):
        def extra_repr(self):
            return "a=1\nb=2"

    assert repr(Described()) == "Described(\n  a=1\n  b=2\n)"
