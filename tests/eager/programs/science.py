"""Derivatives of second order, equations, sampling."""

import itertools
import math

from tests.eager.programs.draws import drawn, filled, size


def physics_informed(torch):
    nn = torch.nn
    net = filled(torch, nn.Sequential(nn.Linear(1, 10), nn.Tanh(), nn.Linear(10, 10), nn.Tanh(), nn.Linear(10, 1)))
    x = torch.linspace(0, math.pi, 12, dtype=torch.float64).view(-1, 1).requires_grad_()
    ends = torch.tensor([[0.0], [math.pi]], dtype=torch.float64)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    for _ in range(6):  # u'' = -sin(x), u(0) = u(pi) = 0
        u = net(x)
        du = torch.autograd.grad(u, x, torch.ones_like(u), create_graph=True)[0]
        d2u = torch.autograd.grad(du, x, torch.ones_like(du), create_graph=True)[0]
        loss = torch.mean((d2u + torch.sin(x)) ** 2) + net(ends).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    return [loss.item(), size([d2u]), size(net.parameters())]


def neural_ode(torch):
    nn = torch.nn

    class Field(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))

        def forward(self, t, y):
            return self.net(y**3) * torch.cos(t)

    def rk4(f, y, times):
        path = [y]
        for t0, t1 in itertools.pairwise(times):
            h = t1 - t0
            k1 = f(t0, y)
            k2 = f(t0 + h / 2, y + h / 2 * k1)
            k3 = f(t0 + h / 2, y + h / 2 * k2)
            k4 = f(t1, y + h * k3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            path.append(y)
        return torch.stack(path)

    field = filled(torch, Field())
    times = torch.linspace(0.0, 1.0, 9, dtype=torch.float64)
    start = torch.tensor([[2.0, 0.0], [0.5, -1.0]], dtype=torch.float64, requires_grad=True)
    goal = torch.stack([2 * torch.cos(2 * times), torch.sin(2 * times)], -1)[:, None]
    optimizer = torch.optim.RMSprop(field.parameters(), lr=5e-3)
    for _ in range(3):
        optimizer.zero_grad()
        loss = (rk4(field, start, times) - goal).abs().mean()
        loss.backward()
        optimizer.step()
    return [loss.item(), size([start.grad]), size(field.parameters())]


def newton_by_conjugate_gradients(torch):
    nn = torch.nn
    net = filled(torch, nn.Sequential(nn.Linear(3, 6), nn.Softplus(), nn.Linear(6, 1)))
    x, y = drawn(torch, "x", 20, 3), drawn(torch, "y", 20, 1)
    parameters = list(net.parameters())

    def loss():
        return nn.functional.mse_loss(net(x), y) + 0.05 * sum(p.pow(2).sum() for p in parameters)

    def product(v):
        grads = torch.autograd.grad(loss(), parameters, create_graph=True)
        flat = torch.cat([g.reshape(-1) for g in grads])
        again = torch.autograd.grad(flat @ v, parameters)
        return torch.cat([g.reshape(-1) for g in again]) + 4.0 * v

    values = []
    for _ in range(3):
        value = loss()
        g = torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters)])
        step, residual = torch.zeros_like(g), -g
        p, rr = residual.clone(), residual.dot(residual)
        for _ in range(5):
            hp = product(p)
            a = rr / p.dot(hp)
            step += a * p
            residual -= a * hp
            new = residual.dot(residual)
            p = residual + new / rr * p
            rr = new
        with torch.no_grad():
            flat = nn.utils.parameters_to_vector(parameters) + step
            nn.utils.vector_to_parameters(flat, parameters)
        values.append(value.item())
    w = parameters[0].detach()
    hessian = torch.autograd.functional.hessian(lambda w: torch.tanh(x @ w).sum(), w[0])
    jacobian = torch.autograd.functional.jacobian(lambda w: torch.tanh(x[:4] @ w), w[0])
    return [*values, size([hessian]), size([jacobian]), torch.linalg.eigvalsh(hessian).sum().item(), size(parameters)]


def bayesian_regression(torch):
    """Stochastic variational inference: a normal posterior with a full scale, by reparameterised draws."""
    x = drawn(torch, "x", 30, 3)
    y = x @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) + 0.1 * drawn(torch, "noise", 30)
    mean = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    raw = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    log_noise = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([{"params": [mean, raw]}, {"params": log_noise, "lr": 0.1}], lr=0.05)

    def normal(value, centre, scale):
        return -0.5 * ((value - centre) / scale) ** 2 - torch.log(scale) - 0.5 * math.log(2 * math.pi)

    for step in range(15):
        scale = torch.tril(raw, -1) + torch.diag(torch.nn.functional.softplus(torch.diagonal(raw)))
        w = mean + drawn(torch, f"w{step}", 8, 3) @ scale.T
        likelihood = normal(y, w @ x.T, log_noise.exp()).sum(-1)
        prior = normal(w, torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)).sum(-1)
        entropy = torch.logdet(scale) + 1.5 * (1 + math.log(2 * math.pi))
        loss = -(likelihood + prior).mean() - entropy
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [loss.item(), *mean.tolist(), log_noise.item(), size([raw])]


def functions_of_ones_own(torch):
    class Rounded(torch.autograd.Function):
        """Straight-through rounding."""

        @staticmethod
        def forward(ctx, x, step):
            return torch.round(x / step) * step

        @staticmethod
        def backward(ctx, g):
            return g, None

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x**2

    class Reversal(torch.autograd.Function):
        """Of gradients, for domain adaptation."""

        @staticmethod
        def forward(ctx, x, amount):
            ctx.amount = amount
            return x.view_as(x)

        @staticmethod
        def backward(ctx, g):
            return g.neg() * ctx.amount, None

    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.label, self.domain = nn.Linear(4, 6), nn.Linear(6, 2), nn.Linear(6, 2)

        def forward(self, x):
            x = Rounded.apply(Cube.apply(torch.tanh(self.body(x))), 0.125)
            return self.label(x), self.domain(Reversal.apply(x, 0.3))

    net = filled(torch, Net())
    optimizer = torch.optim.Adamax(net.parameters(), lr=0.02)
    x = drawn(torch, "x", 8, 4)
    label, domain = torch.tensor([0, 1] * 4), torch.tensor([0] * 4 + [1] * 4)
    for _ in range(4):
        a, b = net(x)
        loss = nn.functional.cross_entropy(a, label) + nn.functional.cross_entropy(b, domain)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    z = drawn(torch, "z", 3).requires_grad_()
    (first,) = torch.autograd.grad(Cube.apply(z).sum(), z, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), z)
    exact = torch.autograd.gradcheck(Cube.apply, (z,))
    return [loss.item(), size([second]), float(exact), size(net.parameters())]


def meta_learning(torch):
    nn, functional = torch.nn, torch.nn.functional
    net = filled(torch, nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)))
    meta = torch.optim.Adam(net.parameters(), lr=1e-2)

    def forward(x, w):
        return functional.linear(torch.tanh(functional.linear(x, w[0], w[1])), w[2], w[3])

    for step in range(3):  # MAML with two inner steps
        meta.zero_grad()
        total = 0.0
        for task in range(2):
            phase = drawn(torch, f"{step} {task}", 1)
            x = drawn(torch, f"x{step} {task}", 10, 1)
            y = torch.sin(x + phase)
            fast = list(net.parameters())
            for _ in range(2):
                inner = functional.mse_loss(forward(x[:5], fast), y[:5])
                grads = torch.autograd.grad(inner, fast, create_graph=True)
                fast = [w - 0.1 * g for w, g in zip(fast, grads, strict=True)]
            total = total + functional.mse_loss(forward(x[5:], fast), y[5:])
        total.backward()
        meta.step()
    return [total.item(), inner.item(), size(net.parameters())]


def actor_critic(torch):
    nn, functional = torch.nn, torch.nn.functional
    body, actor, value = nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(8, 1)
    net = filled(torch, nn.ModuleDict({"body": body, "actor": actor, "value": value}))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-2)
    for episode in range(2):
        logs, values, rewards = [], [], []
        state = drawn(torch, f"start{episode}", 4)
        for step in range(6):
            h = functional.relu(body(state))
            probabilities = functional.softmax(actor(h), dim=-1)
            action = int(torch.sigmoid(drawn(torch, f"{episode} {step}", 1)).item() < probabilities[1].item())
            logs.append(torch.log(probabilities[action]))
            values.append(value(h).squeeze())
            state = torch.tanh(state + (0.3 if action else -0.3))
            rewards.append(1.0 - abs(state[0].item()))
        returns, total = [], 0.0
        for r in rewards[::-1]:
            total = r + 0.9 * total
            returns.insert(0, total)
        returns = torch.tensor(returns, dtype=torch.float64, device="cpu")
        returns = (returns - returns.mean()) / (returns.std() + 1e-6)
        advantage = returns - torch.stack(values).detach()
        loss = -(torch.stack(logs) * advantage).sum()
        loss = loss + sum(functional.smooth_l1_loss(v, r) for v, r in zip(values, returns, strict=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [loss.item(), sum(rewards), size(net.parameters())]
