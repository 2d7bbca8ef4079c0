"""Every layer with the weights of PyTorch's own: outputs, gradients of parameters and inputs, buffers, printed form."""

import numpy as np
import pytest

import tracegrad.eager as tg
from tracegrad.eager import nn

try:
    import torch
except ImportError:
    torch = None

RNG = np.random.default_rng(5)


def floats(*shape):
    return RNG.normal(size=shape)


def ints(high, *shape):
    return RNG.integers(0, high, shape)


def positive(*shape):
    return RNG.uniform(0.05, 0.95, shape)


class Target(np.ndarray):
    """Numbers that want no gradient."""


SIGNS = np.array([1.0, -1.0, 1.0, 1.0])
IMAGE = floats(2, 4, 6, 5)
SIGNAL = floats(2, 4, 9)
ROWS = floats(4, 3)
KEYS = np.array([[False, True, False], [False, False, True]])
LATER = np.triu(np.full((3, 3), -np.inf), 1).view(Target)

# The module made from either library's nn, and its inputs; float64 everywhere.
LAYERS = {
    "Identity": (lambda n: n.Identity(3, bias=True), ROWS),
    "Linear": (lambda n: n.Linear(3, 5), ROWS),
    "Linear, no bias": (lambda n: n.Linear(3, 5, bias=False), floats(2, 2, 3)),
    "Bilinear": (lambda n: n.Bilinear(3, 2, 4), ROWS, floats(4, 2)),
    "Bilinear, no bias": (lambda n: n.Bilinear(3, 2, 4, bias=False), ROWS, floats(4, 2)),
    "Conv1d": (lambda n: n.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), SIGNAL),
    "Conv1d, one signal": (lambda n: n.Conv1d(4, 6, 3), SIGNAL[0]),
    "Conv1d, same": (lambda n: n.Conv1d(4, 6, 4, padding="same", bias=False), SIGNAL),
    "Conv2d": (lambda n: n.Conv2d(4, 6, 3, stride=2, padding=1), IMAGE),
    "Conv2d, groups": (lambda n: n.Conv2d(4, 6, (3, 2), padding=(1, 0), dilation=(2, 1), groups=2), IMAGE),
    "Conv2d, reflect": (lambda n: n.Conv2d(4, 2, 3, padding=(1, 2), padding_mode="reflect"), IMAGE),
    "Conv2d, circular and same": (lambda n: n.Conv2d(4, 2, (3, 2), padding="same", padding_mode="circular"), IMAGE),
    "Conv2d, replicate": (lambda n: n.Conv2d(4, 2, 3, padding=1, padding_mode="replicate"), IMAGE),
    "ConvTranspose1d": (lambda n: n.ConvTranspose1d(4, 3, 3, stride=2, output_padding=1), SIGNAL),
    "ConvTranspose2d": (lambda n: n.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2, dilation=2), IMAGE),
    "MaxPool1d": (lambda n: n.MaxPool1d(3, stride=2, padding=1), SIGNAL),
    "MaxPool2d": (lambda n: n.MaxPool2d(2), IMAGE),
    "MaxPool2d, ceil": (lambda n: n.MaxPool2d((3, 2), stride=2, dilation=1, ceil_mode=True), IMAGE),
    "AvgPool1d": (lambda n: n.AvgPool1d(3, 2, padding=1, count_include_pad=False), SIGNAL),
    "AvgPool2d": (lambda n: n.AvgPool2d(2, padding=1, divisor_override=3), IMAGE),
    "AdaptiveAvgPool1d": (lambda n: n.AdaptiveAvgPool1d(4), SIGNAL),
    "AdaptiveAvgPool2d": (lambda n: n.AdaptiveAvgPool2d((3, None)), IMAGE),
    "AdaptiveMaxPool1d": (lambda n: n.AdaptiveMaxPool1d(4), SIGNAL),
    "AdaptiveMaxPool2d": (lambda n: n.AdaptiveMaxPool2d(2), IMAGE),
    "BatchNorm1d": (lambda n: n.BatchNorm1d(3), ROWS),
    "BatchNorm1d, signals": (lambda n: n.BatchNorm1d(4, momentum=None), SIGNAL),
    "BatchNorm1d, evaluation": (lambda n: n.BatchNorm1d(4).eval(), SIGNAL),
    "BatchNorm1d, no bias": (lambda n: n.BatchNorm1d(4, bias=False), SIGNAL),
    "BatchNorm2d": (lambda n: n.BatchNorm2d(4, eps=1e-3, momentum=0.3), IMAGE),
    "BatchNorm2d, plain": (lambda n: n.BatchNorm2d(4, affine=False, track_running_stats=False).eval(), IMAGE),
    "InstanceNorm1d": (lambda n: n.InstanceNorm1d(4), SIGNAL),
    "InstanceNorm1d, one signal": (lambda n: n.InstanceNorm1d(4, affine=True), SIGNAL[0]),
    "InstanceNorm2d": (lambda n: n.InstanceNorm2d(4, affine=True, track_running_stats=True), IMAGE),
    "InstanceNorm2d, evaluation": (lambda n: n.InstanceNorm2d(4, track_running_stats=True).eval(), IMAGE),
    "LayerNorm": (lambda n: n.LayerNorm(3), ROWS),
    "LayerNorm, two axes": (lambda n: n.LayerNorm([6, 5], bias=False), IMAGE),
    "LayerNorm, plain": (lambda n: n.LayerNorm(3, elementwise_affine=False), ROWS),
    "RMSNorm": (lambda n: n.RMSNorm(3), ROWS),
    "RMSNorm, plain": (lambda n: n.RMSNorm((6, 5), eps=1e-4, elementwise_affine=False), IMAGE),
    "GroupNorm": (lambda n: n.GroupNorm(2, 4), IMAGE),
    "GroupNorm, plain": (lambda n: n.GroupNorm(4, 4, affine=False), SIGNAL),
    "LocalResponseNorm": (lambda n: n.LocalResponseNorm(3), IMAGE),
    "Embedding": (lambda n: n.Embedding(7, 3), ints(7, 2, 4)),
    "Embedding, padding": (lambda n: n.Embedding(7, 3, padding_idx=-5), np.array([1, 2, 2, 3])),
    "Embedding, frequency": (lambda n: n.Embedding(7, 3, scale_grad_by_freq=True), np.array([1, 2, 2, 3])),
    "Embedding, norm": (lambda n: n.Embedding(7, 3, max_norm=1.0, norm_type=1.5), np.array([1, 2, 2, 3])),
    "Dropout, evaluation": (lambda n: n.Dropout(0.3).eval(), ROWS),
    "Dropout1d, evaluation": (lambda n: n.Dropout1d().eval(), SIGNAL),
    "Dropout2d, evaluation": (lambda n: n.Dropout2d(0.1, inplace=True).eval(), IMAGE),
    "AlphaDropout, evaluation": (lambda n: n.AlphaDropout().eval(), ROWS),
    "Flatten": (lambda n: n.Flatten(), IMAGE),
    "Flatten, middle": (lambda n: n.Flatten(1, 2), IMAGE),
    "Unflatten": (lambda n: n.Unflatten(1, (2, -1)), IMAGE),
    "RNN": (lambda n: n.RNN(3, 5), floats(4, 2, 3)),
    "RNN, relu": (lambda n: n.RNN(3, 5, 2, "relu", bias=False, bidirectional=True), floats(4, 2, 3), floats(4, 2, 5)),
    "LSTM": (lambda n: n.LSTM(3, 5, batch_first=True), floats(2, 4, 3)),
    "LSTM, all": (
        lambda n: n.LSTM(3, 5, num_layers=2, bidirectional=True),
        floats(4, 2, 3),
        (floats(4, 2, 5), floats(4, 2, 5)),
    ),
    "LSTM, projection": (lambda n: n.LSTM(3, 5, proj_size=2), floats(4, 2, 3), (floats(1, 2, 2), floats(1, 2, 5))),
    "LSTM, no batch": (lambda n: n.LSTM(3, 5), floats(4, 3), (floats(1, 5), floats(1, 5))),
    "GRU": (lambda n: n.GRU(3, 5, 2, batch_first=True, bidirectional=True), floats(2, 4, 3), floats(4, 2, 5)),
    "GRU, no batch": (lambda n: n.GRU(3, 5, bias=False), floats(4, 3)),
    "RNNCell": (lambda n: n.RNNCell(3, 5), ROWS, floats(4, 5)),
    "RNNCell, relu": (lambda n: n.RNNCell(3, 5, bias=False, nonlinearity="relu"), ROWS[0]),
    "LSTMCell": (lambda n: n.LSTMCell(3, 5), ROWS, (floats(4, 5), floats(4, 5))),
    "LSTMCell, no batch": (lambda n: n.LSTMCell(3, 5), ROWS[0]),
    "GRUCell": (lambda n: n.GRUCell(3, 5), ROWS, floats(4, 5)),
    "GRUCell, no batch": (lambda n: n.GRUCell(3, 5, bias=False), ROWS[0]),
    "MultiheadAttention": (lambda n: n.MultiheadAttention(4, 2), floats(3, 2, 4), floats(5, 2, 4), floats(5, 2, 4)),
    "MultiheadAttention, other sizes": (
        lambda n: n.MultiheadAttention(4, 2, kdim=3, vdim=5, batch_first=True, add_bias_kv=True),
        floats(2, 3, 4),
        floats(2, 3, 3),
        floats(2, 3, 5),
        KEYS,
    ),
    "MultiheadAttention, zeros": (
        lambda n: n.MultiheadAttention(4, 2, bias=False, add_zero_attn=True),
        floats(3, 4),
        floats(3, 4),
        floats(3, 4),
        KEYS[1],
        True,
        np.triu(np.ones((3, 3), bool), 1),
        False,
    ),
    "MultiheadAttention, masks": (
        lambda n: n.MultiheadAttention(4, 2),
        floats(3, 2, 4),
        floats(3, 2, 4),
        floats(3, 2, 4),
        np.where(KEYS, -0.5, 0.3),
        False,
        floats(4, 3, 3),
    ),
    "MultiheadAttention, keys all left out": (
        lambda n: n.MultiheadAttention(4, 2),
        floats(3, 2, 4),
        floats(3, 2, 4),
        floats(3, 2, 4),
        np.array([[False, True, False], [True, True, True]]),
        False,
        np.zeros((3, 3), bool),
    ),
    "MultiheadAttention, causal": (
        lambda n: n.MultiheadAttention(4, 2, batch_first=True),
        floats(2, 3, 4),
        floats(2, 3, 4),
        floats(2, 3, 4),
        None,
        False,
        LATER,
        True,
        True,
    ),
    "TransformerEncoderLayer": (
        lambda n: n.TransformerEncoderLayer(4, 2, 8, dropout=0.0),
        floats(3, 2, 4),
        LATER,
    ),
    "TransformerEncoder": (
        lambda n: n.TransformerEncoder(
            n.TransformerEncoderLayer(4, 2, 8, 0.0, "gelu", batch_first=True, norm_first=True), 2, n.LayerNorm(4), False
        ),
        floats(2, 3, 4),
    ),
    "TransformerDecoder": (
        lambda n: n.TransformerDecoder(n.TransformerDecoderLayer(4, 2, 8, 0.0, bias=False), 2),
        floats(3, 2, 4),
        floats(5, 2, 4),
        LATER,
    ),
    "Transformer": (
        lambda n: n.Transformer(4, 2, 1, 1, 8, 0.0, batch_first=True),
        floats(2, 5, 4),
        floats(2, 3, 4),
        None,
        LATER,
    ),
    "ReLU": (lambda n: n.ReLU(), ROWS),
    "ReLU6": (lambda n: n.ReLU6(), 5 * ROWS),
    "LeakyReLU": (lambda n: n.LeakyReLU(0.2), ROWS),
    "PReLU": (lambda n: n.PReLU(3, init=0.1), ROWS),
    "ELU": (lambda n: n.ELU(1.5), ROWS),
    "SELU": (lambda n: n.SELU(), ROWS),
    "CELU": (lambda n: n.CELU(0.5), ROWS),
    "GELU": (lambda n: n.GELU(), ROWS),
    "GELU, tanh": (lambda n: n.GELU(approximate="tanh"), ROWS),
    "SiLU": (lambda n: n.SiLU(), ROWS),
    "Mish": (lambda n: n.Mish(), ROWS),
    "Softplus": (lambda n: n.Softplus(2, 0.5), ROWS),
    "Softsign": (lambda n: n.Softsign(), ROWS),
    "Softshrink": (lambda n: n.Softshrink(0.3), ROWS),
    "Hardshrink": (lambda n: n.Hardshrink(), ROWS),
    "Tanh": (lambda n: n.Tanh(), ROWS),
    "Sigmoid": (lambda n: n.Sigmoid(), ROWS),
    "LogSigmoid": (lambda n: n.LogSigmoid(), ROWS),
    "Hardtanh": (lambda n: n.Hardtanh(-0.5, 0.7), ROWS),
    "Hardsigmoid": (lambda n: n.Hardsigmoid(), 4 * ROWS),
    "Hardswish": (lambda n: n.Hardswish(), 4 * ROWS),
    "Softmax": (lambda n: n.Softmax(dim=1), ROWS),
    "Softmax2d": (lambda n: n.Softmax2d(), IMAGE),
    "LogSoftmax": (lambda n: n.LogSoftmax(dim=-1), ROWS),
    "Softmin": (lambda n: n.Softmin(dim=0), ROWS),
    "Tanhshrink": (lambda n: n.Tanhshrink(), ROWS),
    "Threshold": (lambda n: n.Threshold(0.1, 20), ROWS),
    "GLU": (lambda n: n.GLU(), floats(3, 4)),
    "Upsample": (lambda n: n.Upsample(scale_factor=2), IMAGE),
    "Upsample, bilinear": (lambda n: n.Upsample((9, 7), mode="bilinear"), IMAGE),
    "Upsample, linear": (lambda n: n.Upsample(scale_factor=(1.5,), mode="linear", align_corners=True), SIGNAL),
    "UpsamplingNearest2d": (lambda n: n.UpsamplingNearest2d(size=(7, 8)), IMAGE),
    "UpsamplingBilinear2d": (lambda n: n.UpsamplingBilinear2d(scale_factor=2), IMAGE),
    "ZeroPad1d": (lambda n: n.ZeroPad1d(2), SIGNAL),
    "ZeroPad2d": (lambda n: n.ZeroPad2d((1, 2, 0, 3)), IMAGE),
    "ConstantPad1d": (lambda n: n.ConstantPad1d((1, 0), 3.5), SIGNAL),
    "ConstantPad2d": (lambda n: n.ConstantPad2d(1, -1), IMAGE),
    "ReflectionPad1d": (lambda n: n.ReflectionPad1d(2), SIGNAL),
    "ReflectionPad2d": (lambda n: n.ReflectionPad2d((1, 2, 3, 0)), IMAGE),
    "ReplicationPad1d": (lambda n: n.ReplicationPad1d(2), SIGNAL),
    "ReplicationPad2d": (lambda n: n.ReplicationPad2d((1, 2, 3, 0)), IMAGE),
    "CircularPad1d": (lambda n: n.CircularPad1d(2), SIGNAL),
    "CircularPad2d": (lambda n: n.CircularPad2d((1, 2, 3, 0)), IMAGE),
    "PixelShuffle": (lambda n: n.PixelShuffle(2), IMAGE),
    "PixelUnshuffle": (lambda n: n.PixelUnshuffle(2), floats(1, 4, 6)),
    "CosineSimilarity": (lambda n: n.CosineSimilarity(), ROWS, floats(4, 3)),
    "PairwiseDistance": (lambda n: n.PairwiseDistance(3, keepdim=True), ROWS, floats(4, 3)),
    "MSELoss": (lambda n: n.MSELoss(), ROWS, floats(4, 3)),
    "L1Loss": (lambda n: n.L1Loss(reduction="sum"), ROWS, floats(4, 3)),
    "SmoothL1Loss": (lambda n: n.SmoothL1Loss(beta=0.5), ROWS, floats(4, 3)),
    "HuberLoss": (lambda n: n.HuberLoss(reduction="none", delta=0.5), ROWS, floats(4, 3)),
    "CrossEntropyLoss": (lambda n: n.CrossEntropyLoss(), ROWS, ints(3, 4)),
    "CrossEntropyLoss, all": (
        lambda n: n.CrossEntropyLoss(numbers(n)([0.5, 1.0, 2.0]), ignore_index=1, label_smoothing=0.1),
        ROWS,
        np.array([0, 1, 2, 2]),
    ),
    "CrossEntropyLoss, images": (lambda n: n.CrossEntropyLoss(reduction="sum"), IMAGE, ints(4, 2, 6, 5)),
    "NLLLoss": (lambda n: n.NLLLoss(ignore_index=2), ROWS, np.array([0, 1, 2, 2])),
    "BCELoss": (lambda n: n.BCELoss(), positive(4, 3), positive(4, 3)),
    "BCEWithLogitsLoss": (
        lambda n: n.BCEWithLogitsLoss(pos_weight=numbers(n)([0.5, 1.0, 2.0])),
        ROWS,
        positive(4, 3),
    ),
    "KLDivLoss": (lambda n: n.KLDivLoss(reduction="batchmean", log_target=True), ROWS, floats(4, 3)),
    "PoissonNLLLoss": (lambda n: n.PoissonNLLLoss(full=True), ROWS, positive(4, 3) * 4),
    "GaussianNLLLoss": (lambda n: n.GaussianNLLLoss(full=True), ROWS, floats(4, 3), positive(4, 3)),
    "HingeEmbeddingLoss": (lambda n: n.HingeEmbeddingLoss(), positive(4), SIGNS),
    "MarginRankingLoss": (lambda n: n.MarginRankingLoss(0.1), floats(4), floats(4), SIGNS),
    "CosineEmbeddingLoss": (lambda n: n.CosineEmbeddingLoss(), ROWS, floats(4, 3), SIGNS),
    "TripletMarginLoss": (lambda n: n.TripletMarginLoss(p=1.5, swap=True), ROWS, floats(4, 3), floats(4, 3)),
    "SoftMarginLoss": (lambda n: n.SoftMarginLoss(), ROWS, np.sign(floats(4, 3)).view(Target)),
    "Sequential": (lambda n: n.Sequential(n.Linear(3, 4), n.Tanh(), n.Sequential(n.Linear(4, 1), n.Flatten(0))), ROWS),
}
# PyTorch keeps 1/6 as float32
LOOSER = {"Hardsigmoid": 1e-7}


def numbers(n):
    return (tg if n is nn else torch).tensor


def given(library, x):
    """An input as the library's tensor, floats with a wish for a gradient."""
    if isinstance(x, tuple):
        return tuple(given(library, part) for part in x)
    if not isinstance(x, np.ndarray):
        return x
    wish = x.dtype.kind == "f" and not isinstance(x, Target)
    return library.tensor(np.array(x), requires_grad=wish)


def flat(value):
    if value is None or isinstance(value, bool):
        return []
    return [t for part in value for t in flat(part)] if isinstance(value, (tuple, list)) else [value]


def numpy_of(x):
    return None if x is None else x.detach().numpy()


def run(library, module, inputs):
    """Outputs, and gradients of a weighted sum of them."""
    tensors = [given(library, x) for x in inputs]
    outputs = [t for t in flat(module(*tensors)) if t.requires_grad]
    total = sum((t * (k + 1.5)).sum() + (t * t).sum() for k, t in enumerate(outputs))
    if outputs:
        total.backward()
    leaves = [t for t in flat(tensors) if t.requires_grad]
    return (
        [numpy_of(t) for t in outputs],
        [numpy_of(t.grad) for t in leaves],
        {name: numpy_of(p.grad) for name, p in module.named_parameters()},
    )


def pair_of(make):
    """Both libraries' modules with the same weights, in float64."""
    torch.manual_seed(0)
    theirs = make(torch.nn).double()
    for name, buffer in theirs.named_buffers():
        if name.startswith("running"):
            buffer.copy_(buffer + torch.rand(buffer.shape))
    ours = make(nn).double()
    assert str(ours.load_state_dict({k: v.numpy().copy() for k, v in theirs.state_dict().items()})) == (
        "<All keys matched successfully>"
    )
    return theirs, ours


@pytest.mark.parametrize("name", LAYERS)
def test_layer_runs(name):
    make, *inputs = LAYERS[name]
    module = make(nn).double()
    outputs, leaves, parameters = run(tg, module, inputs)
    assert outputs
    for found in (*outputs, *leaves, *parameters.values()):
        assert found is None or np.isfinite(found).all()
    wishes = [t.requires_grad for t in flat([given(tg, x) for x in inputs])]
    assert any(g is not None for g in (*leaves, *parameters.values())) == (any(wishes) or bool(parameters))


@pytest.mark.skipif(torch is None, reason="could not import 'torch'")
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    make, *inputs = LAYERS[name]
    theirs, ours = pair_of(make)
    assert repr(ours) == repr(theirs)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [n for n, _ in ours.named_buffers()] == [n for n, _ in theirs.named_buffers()]
    expected, found = run(torch, theirs, inputs), run(tg, ours, inputs)
    tolerance = LOOSER.get(name, 1e-10)
    for wanted, got in zip(expected[:2], found[:2], strict=True):
        assert len(wanted) == len(got)
        for a, b in zip(wanted, got, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance)
                assert b.dtype == a.dtype
    for key, gradient in expected[2].items():
        assert (gradient is None) == (found[2][key] is None), key
        if gradient is not None:
            np.testing.assert_allclose(found[2][key], gradient, rtol=tolerance, atol=tolerance, err_msg=key)
    # what training changes on the side: running statistics, shortened rows of a table
    mine = ours.state_dict()
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(mine[key].numpy(), value.numpy(), rtol=tolerance, atol=tolerance, err_msg=key)
        assert mine[key].dtype == value.numpy().dtype
