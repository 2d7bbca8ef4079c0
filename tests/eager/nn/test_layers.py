"""Layers against values that PyTorch 2.13 computed in float64, for machines without it.

Parameters are half the cosines of 0, 1, 2 …, counted through all of them; inputs are sines counted likewise, the second of
two is cos(3 sin).
"""

import numpy as np
import pytest

import tracegrad.eager as tg
from tracegrad.eager import nn
from tracegrad.eager.composite import recorded_as
from tracegrad.errors import ShapeError

# layer, shapes of the inputs, the first elements of the result, of the sum of its squares the sum of the squared gradients
# of the parameters, and the first elements of the gradient of the first input
RECORDED = {
    "Linear": (
        lambda: nn.Linear(3, 2),
        [(2, 3)],
        [0.51820888, 0.2309067, 0.54572073, 0.41843154],
        6.4712499,
        [0.28961297, 0.12905876, -0.15015148, 0.13147665],
    ),
    "Conv1d": (
        lambda: nn.Conv1d(2, 3, 2, padding=1),
        [(1, 2, 4)],
        [0.79654138, 1.28138574, 1.4261465, 0.64763246, 0.35578554, 0.16844584],
        158.6578951,
        [1.79788989, 2.24450657, 1.15208369, 0.29546676],
    ),
    "Conv2d": (
        lambda: nn.Conv2d(2, 2, 2, stride=2),
        [(1, 2, 4, 4)],
        [1.09203578, -0.30966111, 0.18794059, -2.28921654, -1.01860725, -0.07737625],
        311.7249366,
        [1.24024317, 1.51811334, -0.29840287, -0.09681077],
    ),
    "ConvTranspose2d": (
        lambda: nn.ConvTranspose2d(2, 1, 2),
        [(1, 2, 2, 2)],
        [0.17458954, 0.55404472, 0.01856906, 0.10988814, -0.93162022, -0.71943772],
        41.5024061,
        [1.3505086, 1.66400638, 0.11006958, -1.28195501],
    ),
    "MaxPool2d": (
        lambda: nn.MaxPool2d(2),
        [(1, 1, 4, 4)],
        [0.84147098, 0.90929743, 0.98935825, 0.99060736],
        0.0,
        [0.0, 1.68294197, 1.81859485, 0.0],
    ),
    "AvgPool2d": (
        lambda: nn.AvgPool2d(2),
        [(1, 1, 4, 4)],
        [-0.21856395, 0.35699713, 0.32126771, 0.02422097],
        0.0,
        [-0.10928197, -0.10928197, 0.17849857, 0.17849857],
    ),
    "BatchNorm1d": (
        lambda: nn.BatchNorm1d(2),
        [(3, 2)],
        [-0.24538714, -0.19110332, 0.42209606, -0.44642516, -0.80092918, -0.84746027],
        22.0062256,
        [-1.18e-06, 4.04e-06, 1.994e-05, 6.4e-07],
    ),
    "BatchNorm2d": (
        lambda: nn.BatchNorm2d(2),
        [(2, 2, 2, 2)],
        [-0.37067702, 0.25504528, 0.30548138, -0.26573943, -0.79813944, -0.8766836],
        156.4885503,
        [-5.35e-06, 1.523e-05, 1.689e-05, -1.9e-06],
    ),
    "LayerNorm": (
        lambda: nn.LayerNorm(3),
        [(2, 3)],
        [-1.20049586, -0.15838137, -0.02202564, 0.20148412, -0.45787341, 0.3307318],
        21.9522555,
        [0.00032715, -0.00580598, 0.00547883, 0.0389189],
    ),
    "GroupNorm": (
        lambda: nn.GroupNorm(2, 4),
        [(1, 4, 3)],
        [-0.3474389, 0.24345068, 0.29107911, 0.18423339, -0.15644365, -0.23312983],
        44.3400001,
        [-0.4967446, 0.0743389, 0.12037086, 0.08760614],
    ),
    "InstanceNorm1d": (
        lambda: nn.InstanceNorm1d(2, affine=True),
        [(1, 2, 4)],
        [-0.79024435, 0.24550373, 0.3289898, -0.61654285, -0.67799323, -0.76558704],
        39.120859,
        [-8.685e-05, 6.767e-05, 8.012e-05, -6.094e-05],
    ),
    "RMSNorm": (
        lambda: nn.RMSNorm(3),
        [(2, 3)],
        [0.0, 0.31780976, -0.26451105, 0.09938355, -0.28796871, 0.28103269],
        3.9053773,
        [0.0, 0.05260325, -0.04867946, 0.10791963],
    ),
    "RNN": (
        lambda: nn.RNN(2, 3),
        [(3, 1, 2)],
        [0.17579355, -0.38080634, 0.18369698, 0.35449314, -0.16200881, -0.2883386],
        6.5814385,
        [0.27876121, 0.44855835, 0.37657508, 0.33052704],
    ),
    "LSTM": (
        lambda: nn.LSTM(2, 2, num_layers=2, bidirectional=True),
        [(3, 1, 2)],
        [-0.07858864, 0.0503556, 0.20516032, 0.14294172, -0.08778919, 0.07323614],
        0.3770265,
        [0.00093496, 0.00463393, 8.444e-05, -0.00800678],
    ),
    "GRU": (
        lambda: nn.GRU(2, 3, batch_first=True),
        [(1, 3, 2)],
        [0.18202996, -0.2275073, -0.18154968, 0.25703531, -0.13379224, -0.45208963],
        1.7744289,
        [0.25450112, 0.20807571, 0.26909861, 0.12588964],
    ),
    "LSTMCell": (
        lambda: nn.LSTMCell(2, 3),
        [(2, 2)],
        [-0.1260341, -0.13853999, 0.01354865, -0.13273936, -0.13684219, -0.0559085],
        0.0512243,
        [-0.01480956, -0.0229615, -0.01182376, -0.01689131],
    ),
    "MultiheadAttention": (
        lambda: nn.MultiheadAttention(4, 2),
        [(2, 1, 4), (3, 1, 4), (3, 1, 4)],
        [-0.26017343, 0.04420715, 0.16539947, -1.28460228, -0.23454243, 0.30754371],
        81.9790527,
        [-0.16288072, 0.23034209, 0.41178944, 0.21463949],
    ),
    "TransformerEncoderLayer": (
        lambda: nn.TransformerEncoderLayer(4, 2, 3, dropout=0.0),
        [(2, 1, 4)],
        [0.02412863, 0.23459011, 0.39677517, 1.15614917, 0.27564885, -0.54807594],
        48.4440387,
        [-0.00721528, -0.27782452, 0.09470573, 0.09479007],
    ),
    "PReLU": (
        lambda: nn.PReLU(),
        [(5,)],
        [0.0, 0.84147098, 0.90929743, 0.14112001, -0.37840125],
        0.3280426,
        [0.0, 1.68294197, 1.81859485, 0.28224002],
    ),
    "GELU": (
        lambda: nn.GELU(),
        [(5,)],
        [0.0, 0.67314139, 0.74417213, 0.07847859, -0.16996581],
        0.0,
        [0.0, 1.39416677, 1.57515576, 0.09603478],
    ),
    "SiLU": (
        lambda: nn.SiLU(),
        [(5,)],
        [0.0, 0.58799883, 0.64819847, 0.07553047, -0.24167798],
        0.0,
        [0.0, 1.03005038, 1.16543807, 0.08615406],
    ),
    "Softmax": (
        lambda: nn.Softmax(0),
        [(4,)],
        [0.14380384, 0.33359281, 0.3570042, 0.16559915],
        0.0,
        [-0.04113795, 0.03119361, 0.0500987, -0.04015436],
    ),
    "MSELoss": (lambda: nn.MSELoss(), [(4,), (4,)], [1.91745213], 0.0, [-1.91745213, 3.17718923, 3.49922929, -1.47757653]),
    "SmoothL1Loss": (
        lambda: nn.SmoothL1Loss(beta=0.3),
        [(4,), (4,)],
        [1.16312889],
        0.0,
        [-0.58156445, 0.58156445, 0.58156445, -0.58156445],
    ),
    "KLDivLoss": (
        lambda: nn.KLDivLoss(reduction="batchmean", log_target=True),
        [(2, 2), (2, 2)],
        [1.58622425],
        0.0,
        [-4.31180455, -0.7017645, -0.63490301, -3.94745162],
    ),
    "CosineSimilarity": (
        lambda: nn.CosineSimilarity(),
        [(2, 3), (2, 3)],
        [-0.77481267, 0.8495097],
        0.0,
        [-0.79052776, -0.01355295, 0.01254201, 0.7189728],
    ),
}


def prepared(make, shapes):
    layer = make().double()
    at = 0
    with tg.no_grad():
        for p in layer.parameters():
            size = int(np.prod(p.shape))
            p[...] = 0.5 * np.cos(np.arange(at, at + size)).reshape(p.shape)
            at += size
    inputs = [np.sin(np.arange(np.prod(shape))).reshape(shape) for shape in shapes]
    if len(inputs) == 2:
        inputs[1] = np.cos(3 * inputs[1])
    return layer, [tg.tensor(x, requires_grad=True) for x in inputs]


@pytest.mark.parametrize("name", RECORDED)
def test_recorded(name):
    make, shapes, result, squares, gradient = RECORDED[name]
    layer, inputs = prepared(make, shapes)
    out = layer(*inputs)
    out = out[0] if isinstance(out, tuple) else out
    (out * out).sum().backward()
    np.testing.assert_allclose(out.detach().numpy().ravel()[: len(result)], result, atol=2e-8)
    np.testing.assert_allclose(inputs[0].grad.numpy().ravel()[: len(gradient)], gradient, atol=2e-8)
    total = sum(float((p.grad.numpy() ** 2).sum()) for p in layer.parameters())
    np.testing.assert_allclose(total, squares, rtol=1e-7, atol=2e-7)


class TestDropout:
    def test_shares_and_scale(self):
        tg.manual_seed(0)
        layer, x = nn.Dropout(0.25), tg.ones(200, 200, requires_grad=True)
        out = layer(x)
        values = out.detach().numpy()
        assert set(np.unique(values)) == {np.float32(0), np.float32(4 / 3)}
        assert abs((values == 0).mean() - 0.25) < 0.01
        out.sum().backward()
        assert (x.grad.numpy() == values).all()
        assert layer.eval()(x) is x or layer.eval()(x).tolist() == x.tolist()

    @pytest.mark.parametrize(("layer", "shape"), [(nn.Dropout1d, (9, 50, 4)), (nn.Dropout2d, (9, 50, 2, 3))])
    def test_whole_channels(self, layer, shape):
        tg.manual_seed(0)
        values = layer(0.5)(tg.ones(*shape)).numpy().reshape(450, -1)
        assert (values == values[:, :1]).all()
        assert 0.4 < (values[:, 0] == 0).mean() < 0.6

    def test_probability(self):
        with pytest.raises(ValueError, match=r"dropout probability has to be between 0 and 1, but got 1\.5"):
            nn.Dropout(1.5)

    def test_between_layers_of_a_recurrent_net(self):
        tg.manual_seed(0)
        net, x = nn.GRU(2, 3, num_layers=2, dropout=0.5), tg.ones(3, 2)
        assert net(x)[0].tolist() != net(x)[0].tolist()
        assert net.eval()(x)[0].tolist() == net(x)[0].tolist()


class TestRunningStatistics:
    def test_updates_and_modes(self):
        layer = nn.BatchNorm1d(1, momentum=0.5)
        x = tg.tensor([[1.0], [3.0]])
        layer(x)
        assert layer.running_mean.tolist() == [1.0]
        assert layer.running_var.tolist() == [1.5]
        assert layer.num_batches_tracked.item() == 1
        layer.eval()
        assert layer(x).shape == (2, 1)
        assert layer.num_batches_tracked.item() == 1
        layer.reset_running_stats()
        assert layer.running_mean.tolist() == [0.0]
        assert layer.num_batches_tracked.item() == 0

    @pytest.mark.parametrize(
        ("layer", "shape", "text"),
        [
            (nn.BatchNorm1d(2), (2,), r"expected 2D or 3D input \(got 1D input\)"),
            (nn.BatchNorm2d(2), (1, 2, 3), r"expected 4D input \(got 3D input\)"),
            (nn.InstanceNorm2d(2), (2, 3), r"expected 3D or 4D input \(got 2D input\)"),
            (
                nn.InstanceNorm1d(2, affine=True),
                (1, 3, 4),
                r"expected input's size at dim=1 to match num_features \(2\), but got: 3\.",
            ),
        ],
    )
    def test_errors(self, layer, shape, text):
        with pytest.raises(ValueError, match=text):
            layer(tg.ones(*shape))

    def test_instance_norm_of_other_sizes(self):
        with pytest.warns(UserWarning, match="does not match num_features"):
            nn.InstanceNorm1d(2)(tg.ones(1, 3, 4))


@pytest.mark.parametrize(
    ("act", "kind", "text"),
    [
        (lambda: nn.LSTM(2, 3)(tg.ones(2)), ValueError, "LSTM: Expected input to be 2D or 3D, got 1D instead"),
        (
            lambda: nn.RNN(2, 3)(tg.ones(4, 1, 5)),
            RuntimeError,
            "input.size(-1) must be equal to input_size. Expected 2, got 5",
        ),
        (
            lambda: nn.RNN(2, 3)(tg.ones(4, 1, 2), tg.ones(1, 2, 3)),
            RuntimeError,
            "Expected hidden size (1, 1, 3), got [1, 2, 3]",
        ),
        (
            lambda: nn.LSTM(2, 3)(tg.ones(4, 1, 2), (tg.ones(1, 1, 3), tg.ones(1, 1, 4))),
            RuntimeError,
            "Expected hidden[1] size (1, 1, 3), got [1, 1, 4]",
        ),
        (
            lambda: nn.GRU(2, 3)(tg.ones(4, 1, 2), tg.ones(1, 3)),
            RuntimeError,
            "For batched 3-D input, hx should also be 3-D but got 2-D tensor",
        ),
        (
            lambda: nn.LSTM(2, 3)(tg.ones(4, 2), (tg.ones(1, 1, 3), tg.ones(1, 1, 3))),
            RuntimeError,
            "For unbatched 2-D input, hx and cx should also be 2-D but got (3-D, 3-D) tensors",
        ),
        (lambda: nn.RNN(2, 3)(tg.ones(0, 1, 2)), RuntimeError, "Expected sequence length to be larger than 0 in RNN"),
        (
            lambda: nn.RNN(2, 3).double()(tg.ones(4, 1, 2)),
            ValueError,
            (
                "RNN input dtype (torch.float32) does not match weight dtype (torch.float64). "
                "Convert input: input.to(torch.float64), or convert model: model.to(torch.float32)"
            ),
        ),
        (lambda: nn.RNN(2, 3, nonlinearity="x"), ValueError, "Unknown nonlinearity 'x'. Select from 'tanh' or 'relu'."),
        (lambda: nn.GRU(2, 0), ValueError, "hidden_size must be greater than zero"),
        (lambda: nn.GRU(2.0, 3), TypeError, "input_size should be of type int, got: float"),
        (lambda: nn.LSTM(2, 3, proj_size=3), ValueError, "proj_size has to be smaller than hidden_size"),
        (
            lambda: nn.LSTM(2, 3, dropout=2),
            ValueError,
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed",
        ),
        (
            lambda: nn.GRUCell(2, 3)(tg.ones(1, 2, 2)),
            ValueError,
            "GRUCell: Expected input to be 1D or 2D, got 3D instead",
        ),
        (lambda: nn.GRUCell(2, 3)(tg.ones(4, 5)), RuntimeError, "input has inconsistent input_size: got 5 expected 2"),
        (
            lambda: nn.RNNCell(2, 3)(tg.ones(4, 2), tg.ones(4, 4)),
            RuntimeError,
            "hidden has inconsistent hidden_size: got 4, expected 3",
        ),
        (
            lambda: nn.RNNCell(2, 3)(tg.ones(4, 2), tg.ones(5, 3)),
            RuntimeError,
            "Input batch size 4 doesn't match hidden batch size 5",
        ),
        (lambda: nn.RNNCell(2, 3, nonlinearity="x")(tg.ones(2)), RuntimeError, "Unknown nonlinearity: x"),
        (lambda: nn.Conv2d(3, 4, 2, groups=2), ValueError, "in_channels must be divisible by groups"),
        (lambda: nn.Conv2d(2, 3, 2, groups=2), ValueError, "out_channels must be divisible by groups"),
        (lambda: nn.Conv2d(2, 3, 2, groups=0), ValueError, "groups must be a positive integer"),
        (
            lambda: nn.Conv2d(2, 3, 2, stride=2, padding="same"),
            ValueError,
            "padding='same' is not supported for strided convolutions",
        ),
        (
            lambda: nn.Conv1d(2, 3, 2, padding="full"),
            ValueError,
            "Invalid padding string 'full', should be one of 'same', 'valid'",
        ),
        (
            lambda: nn.ConvTranspose1d(2, 3, 2, padding_mode="reflect"),
            ValueError,
            'Only "zeros" padding mode is supported for ConvTranspose1d',
        ),
        (
            lambda: nn.ConvTranspose2d(1, 1, 3, stride=2)(tg.ones(1, 1, 4, 4), output_size=(9, 12)),
            ValueError,
            "requested an output size of [9, 12], but valid sizes range from [9, 9] to [10, 10] (for an input of (4, 4))",
        ),
        (lambda: nn.GroupNorm(2, 3), ValueError, "num_channels (3) must be divisible by num_groups (2)"),
        (lambda: nn.Bilinear(0, 1, 1), ValueError, "in1_features must be > 0, but got 0"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), AssertionError, "Padding_idx must be within num_embeddings"),
        (
            lambda: nn.Embedding(3, 2, _weight=tg.ones(2, 2)),
            AssertionError,
            "Shape of weight does not match num_embeddings and embedding_dim",
        ),
        (lambda: nn.Hardtanh(1.0, 0.0), AssertionError, "max_val must be greater than min_val"),
        (lambda: nn.MultiheadAttention(5, 2), AssertionError, "embed_dim must be divisible by num_heads"),
        (
            lambda: nn.MultiheadAttention(0, 2),
            ValueError,
            "embed_dim and num_heads must be greater than 0, got embed_dim=0 and num_heads=2 instead",
        ),
        (
            lambda: nn.MultiheadAttention(4, 2)(*[tg.ones(3, 1, 5)] * 3),
            RuntimeError,
            "was expecting embedding dimension of 4, but got 5",
        ),
        (
            lambda: nn.MultiheadAttention(4, 2)(*[tg.ones(3, 1, 4)] * 3, attn_mask=tg.ones(2, 3)),
            RuntimeError,
            "The shape of the 2D attn_mask is (2, 3), but should be (3, 3).",
        ),
        (
            lambda: nn.MultiheadAttention(4, 2)(*[tg.ones(3, 1, 4)] * 3, attn_mask=tg.ones(3, 3).long()),
            RuntimeError,
            "only bool and floating types of attn_mask are supported",
        ),
        (
            lambda: nn.TransformerEncoderLayer(4, 2, activation="tanh"),
            RuntimeError,
            "activation should be relu/gelu, not tanh",
        ),
        (
            lambda: nn.Unflatten(1, 3),
            TypeError,
            "unflattened_size must be a tuple of ints, but found type int",
        ),
        (
            lambda: nn.TripletMarginLoss(margin=0),
            ValueError,
            "TripletMarginLoss: expected margin to be greater than 0, got 0 instead",
        ),
    ],
)
def test_errors(act, kind, text):
    with pytest.raises(kind) as error:
        act()
    first, *rest = str(error.value).split("\n")
    assert first.startswith(text)
    if isinstance(error.value, ShapeError):
        # these say where, and what to write instead
        assert "test_layers.py" in rest[0]
        assert rest[1].startswith("  Instead: ")
    else:
        assert str(error.value) == text


@pytest.mark.parametrize(
    ("act", "tensor", "other"),
    [
        (lambda: nn.LSTM(2, 3)(tg.ones(4, 1, 5)), "input of shape [4, 1, 5]", "weight_ih_l0 of shape [12, 2]"),
        (lambda: nn.GRU(2, 3, batch_first=True)(tg.ones(4, 1, 5)), "[4, 1, 5]", "give (batch, steps, 2)"),
        (lambda: nn.GRUCell(2, 3)(tg.ones(4, 5)), "input of shape [4, 5]", "weight_ih of shape [9, 2]"),
        (lambda: nn.MultiheadAttention(4, 2)(*[tg.ones(3, 1, 5)] * 3), "[3, 1, 5]", "give (steps, batch, 4)"),
    ],
)
def test_errors_of_shapes_name_both_sides(act, tensor, other):
    with pytest.raises(ShapeError) as error:
        act()
    assert tensor in str(error.value)
    assert other in str(error.value)


def test_warnings():
    with pytest.warns(UserWarning, match="non-zero dropout expects num_layers greater than 1"):
        nn.RNN(2, 3, dropout=0.5)
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        assert nn.MSELoss(size_average=False).reduction == "sum"
    with pytest.warns(UserWarning, match="mismatched key_padding_mask and attn_mask"):
        nn.MultiheadAttention(4, 2)(
            *[tg.ones(3, 1, 4)] * 3, key_padding_mask=tg.zeros(1, 3), attn_mask=tg.zeros(3, 3, dtype=tg.bool)
        )


def test_output_size_of_a_transposed_convolution():
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2)
    x = tg.ones(1, 1, 4, 4)
    assert layer(x, output_size=(9, 10)).shape == (1, 1, 9, 10)
    assert layer(x, output_size=(1, 1, 10, 10)).shape == (1, 1, 10, 10)


def test_embedding_from_pretrained():
    table = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    layer = nn.Embedding.from_pretrained(table)
    assert layer(tg.tensor([1])).tolist() == [[3.0, 4.0]]
    assert not layer.weight.requires_grad
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad


def test_a_net_learns():
    tg.manual_seed(1)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    x = tg.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = tg.tensor([[0.0], [1.0], [1.0], [0.0]])
    loss = nn.MSELoss()
    first = loss(net(x), y).item()
    for _ in range(400):
        net.zero_grad()
        loss(net(x), y).backward()
        with tg.no_grad():
            for p in net.parameters():
                p -= 0.3 * p.grad
    assert loss(net(x), y).item() < 0.02 < first


def test_second_order_through_a_layer():
    layer = nn.LSTM(2, 2).double()
    x = tg.tensor(np.sin(np.arange(6.0)).reshape(3, 2), requires_grad=True)

    def total(x):
        return (layer(x)[0] ** 3).sum()

    (g,) = tg.autograd.grad(total(x), x, create_graph=True)
    (h,) = tg.autograd.grad((g * g).sum(), x)
    # the derivative of |g|² along a direction, by central differences
    v, eps = np.cos(np.arange(6.0)).reshape(3, 2), 1e-5

    def squared(step):
        moved = tg.tensor(x.detach().numpy() + step * v, requires_grad=True)
        (g,) = tg.autograd.grad(total(moved), moved)
        return float((g.numpy() ** 2).sum())

    np.testing.assert_allclose((h.numpy() * v).sum(), (squared(eps) - squared(-eps)) / (2 * eps), rtol=1e-6)


TRACED = {
    "LSTM": (lambda: nn.LSTM(3, 4, 2, bidirectional=True), (5, 2, 3)),
    "GRU": (lambda: nn.GRU(3, 4), (5, 3)),
    "LSTMCell": (lambda: nn.LSTMCell(3, 4), (2, 3)),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0), (3, 2, 4)),
    "images": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()).eval(),
        (2, 1, 6, 6),
    ),
}


@pytest.mark.parametrize("name", TRACED)
def test_layers_can_be_traced(name):
    make, shape = TRACED[name]
    tg.manual_seed(2)
    layer, x = make().double(), tg.randn(*shape, dtype=tg.float64, requires_grad=True)

    def run(x):
        out = layer(x)
        return out[0] if isinstance(out, tuple) else out

    traced = recorded_as("Traced")(run)(x)
    assert traced.grad_fn.name() == "Traced"
    usual = run(x)
    np.testing.assert_array_equal(traced.detach().numpy(), usual.detach().numpy())
    (a,), (b,) = (tg.autograd.grad((out * out).sum(), x) for out in (traced, usual))
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)
