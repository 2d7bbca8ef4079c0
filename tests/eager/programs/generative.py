"""Networks that draw, and what they are trained with."""

import math

from tests.eager.programs.draws import classes, drawn, filled, size


def wasserstein_gan(torch):
    nn = torch.nn
    critic = filled(
        torch, nn.Sequential(nn.Linear(2, 12), nn.LeakyReLU(0.2), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 1)), "critic"
    )
    generator = filled(torch, nn.Sequential(nn.Linear(3, 12), nn.ReLU(), nn.Linear(12, 2)), "generator")
    for_critic = torch.optim.Adam(critic.parameters(), lr=1e-2, betas=(0.0, 0.9))
    for_generator = torch.optim.Adam(generator.parameters(), lr=1e-2, betas=(0.0, 0.9))
    real = drawn(torch, "real", 16, 2) * 0.5 + 1
    for step in range(3):
        fake = generator(drawn(torch, f"z{step}", 16, 3)).detach()
        alpha = torch.sigmoid(drawn(torch, f"alpha{step}", 16, 1)).expand_as(real)
        between = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
        scores = critic(between)
        (slope,) = torch.autograd.grad(
            outputs=scores,
            inputs=between,
            grad_outputs=torch.ones_like(scores),
            create_graph=True,
            retain_graph=True,
            only_inputs=True,
        )
        penalty = 10 * ((slope.norm(2, dim=1) - 1) ** 2).mean()
        loss = critic(fake).mean() - critic(real).mean() + penalty
        for_critic.zero_grad()
        loss.backward()
        for_critic.step()
        for_generator.zero_grad()
        of_generator = -critic(generator(drawn(torch, f"z{step}", 16, 3))).mean()
        of_generator.backward()
        for_generator.step()
    return [loss.item(), penalty.item(), of_generator.item(), size(critic.parameters()), size(generator.parameters())]


def normalising_flow(torch):
    nn = torch.nn

    class Coupling(nn.Module):
        def __init__(self, flip):
            super().__init__()
            self.flip = flip
            self.net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 2))

        def forward(self, x):
            a, b = x.chunk(2, dim=1) if not self.flip else x.flip(1).chunk(2, dim=1)
            s, t = self.net(a).unbind(1)
            s = torch.tanh(s)
            b = b.squeeze(1) * s.exp() + t
            return torch.stack([a.squeeze(1), b], 1), s

        def inverse(self, y):
            a, b = y[:, :1], y[:, 1]
            s, t = self.net(a).unbind(1)
            x = torch.cat([a, ((b - t) * torch.exp(-torch.tanh(s)))[:, None]], 1)
            return x.flip(1) if self.flip else x

    flow = filled(torch, nn.ModuleList([Coupling(k % 2 == 1) for k in range(3)]))
    base = drawn(torch, "data", 20, 2)
    data = torch.stack([base[:, 0], base[:, 1] * 0.4 + base[:, 0] ** 2], 1)
    optimizer = torch.optim.Adam(flow.parameters(), lr=0.02)
    for _ in range(5):
        z, volume = data, torch.zeros(20, dtype=torch.float64)
        for layer in flow:
            z, s = layer(z)
            volume = volume + s
        loss = -(-0.5 * (z**2).sum(1) - math.log(2 * math.pi) + volume).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        z = data
        for layer in flow:
            z, _ = layer(z)
        for layer in reversed(flow):
            z = layer.inverse(z)
    return [loss.item(), round((z - data).abs().max().item(), 12), size(flow.parameters())]


def variational_autoencoder(torch):
    nn, functional = torch.nn, torch.nn.functional

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ELU(), nn.Flatten(), nn.Linear(64, 6))
            self.decoder = nn.Sequential(
                nn.Linear(3, 64),
                nn.Unflatten(1, (4, 4, 4)),
                nn.ELU(),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(4, 1, 3, padding=1),
            )

        def forward(self, x, noise):
            mean, log_variance = self.encoder(x).chunk(2, -1)
            return self.decoder(mean + noise * torch.exp(0.5 * log_variance)), mean, log_variance

    net = filled(torch, VAE())
    optimizer = torch.optim.NAdam(net.parameters(), lr=5e-3)
    x = torch.sigmoid(drawn(torch, "x", 4, 1, 8, 8))
    for step in range(3):
        out, mean, log_variance = net(x, drawn(torch, f"noise{step}", 4, 3))
        bce = functional.binary_cross_entropy_with_logits(out, x, reduction="sum")
        kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        loss = bce + 0.5 * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [bce.item(), kl.item(), size(net.parameters())]


def diffusion(torch):
    nn, functional = torch.nn, torch.nn.functional
    betas = torch.linspace(1e-2, 0.3, 10, dtype=torch.float64)
    kept = torch.cumprod(1 - betas, dim=0)
    net = filled(torch, nn.Sequential(nn.Linear(4, 16), nn.SiLU(), nn.Linear(16, 2)))

    def noise_in(x, t):
        angle = t[:, None].double() / 10 * math.pi
        return net(torch.cat([x, angle.sin(), angle.cos()], -1))

    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    x = drawn(torch, "x", 12, 2)
    for step in range(5):
        t, noise = classes(torch, f"t{step}", 10, 12), drawn(torch, f"noise{step}", 12, 2)
        a = kept[t].unsqueeze(-1)
        loss = functional.mse_loss(noise_in(a.sqrt() * x + (1 - a).sqrt() * noise, t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        sample = drawn(torch, "start", 5, 2)
        for k in reversed(range(10)):
            t = torch.full((5,), k)
            sample = (sample - betas[k] / (1 - kept[k]).sqrt() * noise_in(sample, t)) / (1 - betas[k]).sqrt()
            if k > 0:
                sample += betas[k].sqrt() * drawn(torch, f"step{k}", 5, 2)
    return [loss.item(), size([sample]), size(net.parameters())]


def contrastive(torch):
    nn, functional = torch.nn, torch.nn.functional
    net = filled(torch, nn.Sequential(nn.Linear(5, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 4)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    x = drawn(torch, "x", 6, 5)
    for step in range(3):  # SimCLR
        views = torch.cat([x + drawn(torch, f"{step} {k}", 6, 5, scale=0.1) for k in range(2)])
        z = functional.normalize(net(views), dim=1)
        similar = (z @ z.T / 0.5).masked_fill(torch.eye(12, dtype=torch.bool), float("-inf"))
        loss = functional.cross_entropy(similar, torch.arange(12).roll(6))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    triplet = nn.TripletMarginWithDistanceLoss(distance_function=lambda a, b: 1 - functional.cosine_similarity(a, b))
    further = triplet(*net(views).view(3, 4, 4))
    return [loss.item(), further.item(), size(net.parameters())]
