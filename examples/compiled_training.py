"""Train one network twice from the same start: eagerly, as in PyTorch, and by compiled steps, then compare."""

import copy
import time

import numpy as np

import tracegrad as tg
import tracegrad.eager as torch
from tracegrad.eager import nn, optim

EPOCHS, BATCH = 8, 64


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(2, 32)
        self.middle = nn.Linear(32, 32)
        self.out = nn.Linear(32, 2)

    def forward(self, x):
        x = self.hidden(x).tanh()
        x = self.middle(x).tanh()
        return self.out(x)


def spirals(count, rng):
    """Points on two spirals, and which of them each is on."""
    label = rng.integers(0, 2, count)
    angle = 1.0 + 3.0 * rng.random(count)
    turned = angle * 2.0 + np.pi * label
    points = np.stack([angle * np.cos(turned), angle * np.sin(turned)], axis=1)
    return torch.tensor(points.astype(np.float32)), torch.tensor(label)


def train(step, x, y):
    """Run the epochs; the mean loss of the last one and the seconds per step behind the first."""
    losses, began, steps = [], 0.0, 0
    for _ in range(EPOCHS):
        losses = []
        for k in range(0, len(x), BATCH):
            losses.append(step(x[k : k + BATCH], y[k : k + BATCH]).item())
            if not steps:
                began = time.perf_counter()  # the first step compiles
            steps += 1
    return sum(losses) / len(losses), (time.perf_counter() - began) / (steps - 1)


def main():
    torch.manual_seed(0)
    x, y = spirals(512, np.random.default_rng(0))
    net, loss_fn = Net(), nn.CrossEntropyLoss()
    twin = copy.deepcopy(net)
    optimizer = optim.Adam(net.parameters(), lr=0.01)

    def eager(inputs, labels):
        optimizer.zero_grad()
        loss = loss_fn(net(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss

    compiled = tg.compile_step(twin, loss_fn, optim.Adam(twin.parameters(), lr=0.01))
    for name, step in (("eager", eager), ("compiled", compiled)):
        loss, seconds = train(step, x, y)
        print(f"{name:9} loss {loss:.4f}, {seconds * 1e6:6.0f} µs a step")

    gap = max((p - q).abs().max().item() for p, q in zip(net.parameters(), twin.parameters(), strict=True))
    print(f"the parameters differ by {gap:.1e} at most after {EPOCHS * len(x) // BATCH} steps")
    print(f"one program of {compiled.stats.kernels} kernels: forward, backward and update")
    assert gap < 1e-3


if __name__ == "__main__":
    main()
