"""A manual step calls nothing of autograd, torch.func or torch.optim, and no intermediate has a grad_fn."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from trainloop.manual import Tape
from trainloop.manual.clip import clip_grad_norm, clip_grad_value
from trainloop.manual.losses import cross_entropy
from trainloop.manual.optim import OPTIMIZERS
from trainloop.manual.zero_grad import zero_grad


def raiser(name):
    def refuse(*_args, **_kwargs):
        raise AssertionError(f"the manual path called {name}")

    return refuse


@pytest.fixture
def without_autograd(monkeypatch):
    """Replace every way into autograd's engine, torch.func and torch.optim by functions that raise."""
    for owner, name in (
        (torch.autograd, "backward"),
        (torch.autograd, "grad"),
        (torch.Tensor, "backward"),
        (torch.autograd.graph, "_engine_run_backward"),
        (torch.autograd.functional, "vjp"),
        (torch.autograd.functional, "jacobian"),
    ):
        monkeypatch.setattr(owner, name, raiser(name))

    class Engine:
        run_backward = staticmethod(raiser("run_backward"))

    monkeypatch.setattr(torch.autograd.Variable, "_execution_engine", Engine())
    for module in (torch.func, torch.optim):
        for name in vars(module):
            if not name.startswith("_") and callable(getattr(module, name)):
                monkeypatch.setattr(module, name, raiser(f"{module.__name__}.{name}"))


class NoGraph(TorchFunctionMode):
    """Sees what the rules call, and that nothing they get back has a graph."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        for tensor in output if isinstance(output, (tuple, list)) else [output]:
            if isinstance(tensor, torch.Tensor):
                self.seen += 1
                assert tensor.grad_fn is None, f"{func} gave a tensor with {tensor.grad_fn}"
        return output


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.pool(self.act(self.norm(self.conv(x))))
        x = x + F.silu(x)
        return self.head(self.drop(F.adaptive_avg_pool2d(x, 1).flatten(1)))


@pytest.mark.usefixtures("without_autograd")
@pytest.mark.parametrize("form", ["aten", "formula"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_needs_no_autograd(name, form):
    torch.manual_seed(0)
    model = Net()
    params = list(model.parameters())
    optimizer = OPTIMIZERS[name]([param for param in params if name != "muon" or param.dim() >= 2])
    before = [param.detach().clone() for param in params if param.dim() >= 2]
    x, labels = torch.randn(4, 3, 8, 8), torch.tensor([1, 0, 9, 3])
    watch = NoGraph()
    for _ in range(2):
        zero_grad(params)
        with watch, Tape(form=form) as tape:
            loss = cross_entropy(model(x), labels, label_smoothing=0.1)
        tape.backward(loss)
        clip_grad_norm(params, 1.0)
        clip_grad_value(params, 0.5)
        optimizer.step()
    assert watch.seen > 20
    after = [param for param in params if param.dim() >= 2]
    assert all(not torch.equal(one, two) for one, two in zip(before, after, strict=True))


@pytest.mark.usefixtures("without_autograd")
def test_the_replacements_are_in_force():
    w = torch.ones(2, requires_grad=True)
    with pytest.raises(AssertionError, match="the manual path called backward"):
        w.sum().backward()
    with pytest.raises(AssertionError, match="the manual path called grad"):
        torch.autograd.grad(w.sum(), w)
    with pytest.raises(AssertionError, match=r"the manual path called torch\.optim\.SGD"):
        torch.optim.SGD([w], lr=0.1)


def test_the_watch_notices_a_graph():
    w = torch.ones(2, requires_grad=True)
    with NoGraph(), pytest.raises(AssertionError, match="gave a tensor with"):
        w * 2
