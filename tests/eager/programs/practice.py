"""What stands around training: data, checkpoints, groups of parameters, averages of weights."""

import copy
import tempfile
from pathlib import Path

from tests.eager.programs.draws import classes, drawn, filled, size


def data_sets_and_loaders(torch):
    data = torch.utils.data

    class Sequences(data.Dataset):
        def __init__(self):
            self.rows = [classes(torch, f"row{k}", 9, 2 + k % 4) + 1 for k in range(11)]

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, k):
            return self.rows[k], {"length": len(self.rows[k]), "weight": 0.5 * k}

    def collate(batch):
        rows, notes = zip(*batch, strict=True)
        notes = data.default_collate(list(notes))
        return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True), notes

    class ByLength(data.Sampler):
        def __init__(self, source):
            self.source = source

        def __len__(self):
            return len(self.source)

        def __iter__(self):
            return iter(sorted(range(len(self.source)), key=lambda k: (len(self.source.rows[k]), k)))

    class Counting(data.IterableDataset):
        def __iter__(self):
            return iter(range(7))

    rows = Sequences()
    found = []
    for tokens, notes in data.DataLoader(rows, batch_size=4, sampler=ByLength(rows), collate_fn=collate):
        found += [*tokens.shape, tokens.sum().item(), notes["length"].sum().item(), notes["weight"].sum().item()]
        assert notes["weight"].dtype == torch.float64
    batches = data.BatchSampler(data.SequentialSampler(rows), batch_size=5, drop_last=True)
    found += [len(batches), *(b[-1] for b in batches)]
    pairs = data.TensorDataset(torch.arange(10).float(), torch.arange(10) % 2)
    first, second = data.random_split(pairs, [0.7, 0.3], generator=torch.Generator().manual_seed(0))
    found += [len(first), len(second), sum(x.item() for part in (first, second) for x, _ in part)]
    shuffled = data.DataLoader(data.ConcatDataset([pairs, data.Subset(pairs, [1, 3])]), batch_size=5, shuffle=True)
    seen = torch.cat([x for x, _ in shuffled])
    found += [len(shuffled), seen.sort().values.tolist() == sorted([*range(10), 1, 3])]
    found += [x.tolist() for x in data.DataLoader(Counting(), batch_size=3)][-1]
    weighted = data.WeightedRandomSampler([0.0, 0.0, 1.0], 5)
    return [*map(float, found), *map(float, weighted)]


def checkpoints(torch):
    nn = torch.nn

    def build():
        net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 2))
        net = filled(torch, net)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
        return net, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)

    def train(parts, steps):
        net, optimizer, scheduler = parts
        for step in steps:
            x, y = drawn(torch, f"x{step}", 8, 4), classes(torch, f"y{step}", 2, 8)
            loss = nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        return loss.item()

    straight = build()
    in_one_go = train(straight, range(6))
    halfway = build()
    loss = train(halfway, range(3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        names = ("model", "optimizer", "scheduler")
        torch.save({"epoch": 3, "loss": loss, **{n: p.state_dict() for n, p in zip(names, halfway, strict=True)}}, path)
        kept = torch.load(path, weights_only=True, map_location="cpu")
    again = build()
    for name, part in zip(names, again, strict=True):
        part.load_state_dict(kept[name])
    resumed = train(again, range(kept["epoch"], 6))
    assert resumed == in_one_go
    partial = {k: v for k, v in kept["model"].items() if not k.startswith("3.")}
    partial["extra"] = torch.zeros(1)
    missing = again[0].load_state_dict(partial, strict=False)
    same = all(torch.equal(a, b) for a, b in zip(straight[0].parameters(), straight[0].parameters(), strict=True))
    return [
        resumed,
        kept["loss"],
        len(missing.missing_keys),
        len(missing.unexpected_keys),
        same,
        size(straight[0].parameters()),
    ]


def averages_of_weights(torch):
    nn = torch.nn
    net = filled(torch, nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1)))
    slow = copy.deepcopy(net)
    slow.requires_grad_(False)
    swa, count = copy.deepcopy(net), 0
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.5)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=8)
    for step in range(8):
        x = drawn(torch, f"x{step}", 10, 3)
        loss = nn.functional.huber_loss(net(x), x.sum(1, keepdim=True).sin(), delta=0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        with torch.no_grad():
            for e, p in zip(slow.parameters(), net.parameters(), strict=True):
                e.mul_(0.9).add_(p.detach(), alpha=0.1)
            for e, b in zip(slow.buffers(), net.buffers(), strict=True):
                e.copy_(b)
            if step >= 4:
                for a, p in zip(swa.parameters(), net.parameters(), strict=True):
                    a.copy_(torch.lerp(a, p, 1 / (count + 1)))
                count += 1
    state = slow.state_dict()
    return [
        loss.item(),
        int(state["1.num_batches_tracked"]),
        size(slow.parameters()),
        size(swa.parameters()),
        size(net.parameters()),
    ]


def groups_and_freezing(torch):
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU())
            self.head = nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.backbone(x))

    net = filled(torch, Net())
    for p in net.backbone.parameters():
        p.requires_grad = False
    optimizer = torch.optim.SGD(filter(lambda p: p.requires_grad, net.parameters()), lr=0.1)
    before = [p.clone() for p in net.backbone.parameters()]
    found = []
    for epoch in range(4):
        if epoch == 2:
            net.backbone[2].requires_grad_(True)
            optimizer.add_param_group({"params": net.backbone[2].parameters(), "lr": 0.01, "weight_decay": 0.1})
        loss = nn.functional.multi_margin_loss(net(drawn(torch, f"x{epoch}", 8, 5)), classes(torch, f"y{epoch}", 3, 8), p=2)
        optimizer.zero_grad()
        loss.backward()
        found.append(sum(p.grad is not None for p in net.parameters()))
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
    moved = [not torch.equal(a, b) for a, b in zip(before, net.backbone.parameters(), strict=True)]
    trainable = sum(p.numel() for p in net.parameters() if p.requires_grad)
    return [loss.item(), *found, *moved, trainable, len(optimizer.param_groups), size(net.parameters())]


def single_precision(torch):
    """The default dtype, where the last digits depend on the order of sums."""
    nn = torch.nn
    net = filled(torch, nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.0), nn.Linear(16, 1))).float()
    optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.5)
    x = drawn(torch, "x", 32, 4).float()
    y = (x[:, :1] * x[:, 1:2]).round(decimals=3)
    for _ in range(5):
        loss = nn.MSELoss()(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        plateau.step(loss.item())
    assert net[0].weight.dtype == loss.dtype == torch.float32
    return [loss.item(), optimizer.param_groups[0]["lr"], size(net.parameters())]
