"""Networks for images."""

from tests.eager.programs.draws import classes, drawn, filled, size


def vision_transformer(torch):
    nn = torch.nn

    class ViT(nn.Module):
        def __init__(self, image=8, patch=4, dim=12, heads=3, classes=5):
            super().__init__()
            self.patches = nn.Conv2d(3, dim, patch, stride=patch)
            self.cls = nn.Parameter(torch.zeros(1, 1, dim))
            self.position = nn.Parameter(torch.zeros(1, (image // patch) ** 2 + 1, dim))
            layer = nn.TransformerEncoderLayer(
                dim, heads, 2 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
            self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, classes))

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1) + self.position
            return self.head(self.encoder(x)[:, 0])

    net = filled(torch, ViT())
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2, weight_decay=0.1)
    x, y = drawn(torch, "x", 6, 3, 8, 8), classes(torch, "y", 5, 6)
    losses = []
    for _ in range(4):
        loss = nn.functional.cross_entropy(net(x), y, label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return [*losses, size(net.parameters())]


def u_net(torch):
    nn = torch.nn

    def block(cin, cout):
        return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.GroupNorm(2, cout), nn.ReLU(inplace=True))

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down1, self.down2, self.deep = block(1, 4), block(4, 8), block(8, 8)
            self.pool = nn.MaxPool2d(2)
            self.up2, self.up1 = nn.ConvTranspose2d(8, 8, 2, stride=2), nn.ConvTranspose2d(8, 4, 2, stride=2)
            self.side2, self.side1 = block(16, 8), block(8, 4)
            self.last = nn.Conv2d(4, 1, 1)

        def forward(self, x):
            a = self.down1(x)
            b = self.down2(self.pool(a))
            x = self.deep(self.pool(b))
            x = self.side2(torch.cat([self.up2(x), b], 1))
            x = self.side1(torch.cat([self.up1(x), a], 1))
            return self.last(x)

    net = filled(torch, UNet())
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3, momentum=0.9)
    x = drawn(torch, "x", 2, 1, 8, 8)
    mask = (drawn(torch, "mask", 2, 1, 8, 8) > 0).double()
    for _ in range(3):
        logits = net(x)
        p = torch.sigmoid(logits)
        dice = 1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1)
        loss = nn.BCEWithLogitsLoss()(logits, mask) + dice
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [loss.item(), dice.item(), size(net.parameters())]


def residual_network(torch):
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, cin, cout, stride=1):
            super().__init__()
            self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(cout)
            self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(cout)
            self.shortcut = nn.Sequential()
            if stride != 1 or cin != cout:
                self.shortcut = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

        def forward(self, x):
            out = functional.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            out += self.shortcut(x)
            return functional.relu(out)

    net = nn.Sequential(Block(3, 4), Block(4, 8, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    net = filled(torch, net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.2, total_iters=2)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, cosine], milestones=[2])
    rates = []
    for step in range(5):
        x, y = drawn(torch, f"x{step}", 4, 3, 8, 8), classes(torch, f"y{step}", 4, 4)
        loss = functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    net.eval()
    with torch.no_grad():
        probabilities = net(drawn(torch, "test", 4, 3, 8, 8)).softmax(1).amax(1)
    running = [b for n, b in net.named_buffers() if not n.endswith("num_batches_tracked")]
    return [loss.item(), *rates, probabilities.mean().item(), size(running), size(net.parameters())]


def style_transfer(torch):
    nn, functional = torch.nn, torch.nn.functional
    features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 6, 3, padding=1))
    features = filled(torch, features).requires_grad_(False).eval()

    def gram(a):
        a = a.flatten(2)
        return a @ a.mT / a[0].numel()

    style, content = (torch.sigmoid(drawn(torch, key, 1, 3, 8, 8)) for key in ("style", "content"))
    wanted_style, wanted_content = gram(features(style)), features(content)
    image = content.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([image], lr=0.5, max_iter=6, line_search_fn="strong_wolfe")
    calls = []

    def closure():
        optimizer.zero_grad()
        f = features(image)
        loss = 100 * functional.mse_loss(gram(f), wanted_style) + functional.mse_loss(f, wanted_content)
        loss.backward()
        calls.append(loss.item())
        return loss

    first = optimizer.step(closure).item()
    optimizer.step(closure)
    return [len(calls), first, calls[-1], size([image])]


def features_by_hooks(torch):
    nn = torch.nn
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    net = filled(torch, net)
    seen, slopes = {}, {}

    def keep(name):
        def hook(module, inputs, output):
            seen[name] = output.detach()
            output.register_hook(lambda g: slopes.__setitem__(name, g))

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in net.named_children()]
    doubled = net[2].register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    inputs = []
    back = net[5].register_full_backward_hook(lambda module, gin, gout: inputs.append(gin[0].sum().item()))
    scores = net(drawn(torch, "x", 2, 1, 8, 8))
    scores[torch.arange(2), scores.argmax(1)].sum().backward()
    weights = slopes["3"].mean(dim=(2, 3), keepdim=True)
    cam = torch.relu((weights * seen["3"]).sum(1))  # Grad-CAM
    for handle in [*handles, doubled, back]:
        handle.remove()
    seen.clear()
    plain = net(drawn(torch, "x", 2, 1, 8, 8))
    return [len(seen), cam.sum().item(), inputs[0], size(slopes.values()), plain.sum().item()]


def distillation(torch):
    nn, functional = torch.nn, torch.nn.functional
    teacher = filled(torch, nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4)), "teacher").eval()
    student = filled(torch, nn.Sequential(nn.Linear(6, 5), nn.SiLU(), nn.Linear(5, 4)), "student")
    optimizer = torch.optim.Adam(student.parameters(), lr=0.02, betas=(0.9, 0.99), amsgrad=True)
    x, y, heat = drawn(torch, "x", 10, 6), classes(torch, "y", 4, 10), 3.0
    for _ in range(6):
        with torch.inference_mode():
            goal = teacher(x)
        goal = goal.clone()
        logits = student(x)
        soft = functional.kl_div(
            functional.log_softmax(logits / heat, -1),
            functional.log_softmax(goal / heat, -1),
            reduction="batchmean",
            log_target=True,
        )
        loss = 0.7 * heat**2 * soft + 0.3 * functional.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    agree = (student(x).argmax(-1) == teacher(x).argmax(-1)).float().mean()
    return [loss.item(), soft.item(), agree.item(), size(student.parameters())]
