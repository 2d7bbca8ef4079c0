"""Pieces of a tensor share its storage, recorded or not; where they are recorded they are not written to, as in PyTorch."""

import numpy as np
import pytest

import tracegrad.eager as torch

CUTS = {
    "split": (lambda x: x.split(2), "SplitBackward0"),
    "split sizes": (lambda x: x.split([1, 2]), "SplitWithSizesBackward0"),
    "chunk": (lambda x: x.chunk(2, 1), "SplitBackward0"),
    "unbind": (lambda x: x.unbind(), "UnbindBackward0"),
    "unbind dim": (lambda x: x.unbind(1), "UnbindBackward0"),
}


def made(library, cut, recorded=True):
    leaf = library.tensor(np.arange(1.0, 13).reshape(3, 4), requires_grad=recorded)
    whole = leaf * 1.0
    return leaf, whole, cut(whole)


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("name", CUTS)
def test_pieces_share_storage(name, recorded):
    _, whole, pieces = made(torch, CUTS[name][0], recorded)
    assert all(np.may_share_memory(p.detach().numpy(), whole.detach().numpy()) for p in pieces)
    with torch.no_grad():
        whole.mul_(2.0)
    assert pieces[1].detach().numpy().ravel()[-1] == 24.0 or name.startswith("unbind")
    assert pieces[0].detach().numpy().ravel()[0] == 2.0
    assert {p._version for p in pieces} == {1}


@pytest.mark.parametrize("name", CUTS)
def test_pieces_have_one_node_and_gradients(name):
    cut, label = CUTS[name]
    seen = []
    for library in (torch, pytest.importorskip("torch")):
        leaf, _, pieces = made(library, cut)
        assert {p.grad_fn.name() for p in pieces} == {label}
        assert len({p.grad_fn for p in pieces}) == 1
        assert [p.output_nr for p in pieces] == list(range(len(pieces)))
        sum((k + 1) * (p * p).sum() for k, p in enumerate(pieces)).backward()
        seen.append(leaf.grad.numpy())
    np.testing.assert_array_equal(*seen)


@pytest.mark.parametrize("name", CUTS)
def test_recorded_pieces_are_not_written_to(name):
    for library in (torch, pytest.importorskip("torch")):
        _, _, pieces = made(library, CUTS[name][0])
        for write in (lambda p: p.mul_(2), lambda p: p[:1].mul_(2), lambda p: p.unsqueeze_(0)):
            with pytest.raises(RuntimeError, match="output of a function that returns multiple views"):
                write(pieces[1])
        leaf = library.ones(2, 2, requires_grad=True)
        with pytest.raises(RuntimeError, match=r"a (view of a )?leaf Variable that requires grad|multiple views"):
            leaf.unbind()[0].mul_(2)
        with library.no_grad():
            pieces[0].mul_(2)
        _, whole, plain = made(library, CUTS[name][0], recorded=False)
        plain[0].zero_()
        assert whole.min() == 0


def test_pieces_follow_what_is_written_to_the_whole():
    # PyTorch refuses to use them then
    leaf, whole, pieces = made(torch, CUTS["split"][0])
    whole.mul_(leaf)
    (pieces[0] * 3).sum().backward()
    assert leaf.grad.tolist() == [[6.0, 12.0, 18.0, 24.0], [30.0, 36.0, 42.0, 48.0], [0.0, 0.0, 0.0, 0.0]]


def test_a_view_made_before_its_base_was_turned():
    x = torch.ones(2, 2)
    column = x[:, 1]
    x.t_()
    x.mul_(torch.ones(2, 2, requires_grad=True))
    with pytest.raises(RuntimeError, match=r"the history of this view cannot be followed: .* given another shape in place"):
        column.sum()
    assert x.t()[:, 1].sum().requires_grad
