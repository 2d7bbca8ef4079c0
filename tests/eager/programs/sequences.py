"""Networks for sequences."""

import math

from tests.eager.programs.draws import classes, drawn, filled, size


def tied_language_model(torch):
    nn, functional = torch.nn, torch.nn.functional

    class Attention(nn.Module):
        def __init__(self, dim, heads):
            super().__init__()
            self.heads = heads
            self.qkv, self.out = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)
            self.register_buffer("mask", torch.tril(torch.ones(8, 8)).view(1, 1, 8, 8))

        def forward(self, x):
            b, t, c = x.size()
            q, k, v = (u.view(b, t, self.heads, c // self.heads).transpose(1, 2) for u in self.qkv(x).split(c, dim=2))
            weights = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            weights = weights.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
            y = functional.softmax(weights, dim=-1) @ v
            return self.out(y.transpose(1, 2).contiguous().view(b, t, c))

    class Model(nn.Module):
        def __init__(self, words=11, dim=8):
            super().__init__()
            self.embedding, self.position = nn.Embedding(words, dim), nn.Embedding(8, dim)
            self.norm, self.attention = nn.LayerNorm(dim), Attention(dim, 2)
            self.mlp = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 16), nn.GELU(approximate="tanh"), nn.Linear(16, dim))
            self.head = nn.Linear(dim, words, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, tokens):
            x = self.embedding(tokens) + self.position(torch.arange(tokens.shape[1]))
            x = x + self.attention(self.norm(x))
            return self.head(x + self.mlp(x))

    net = filled(torch, Model())
    decay = [p for p in net.parameters() if p.dim() >= 2]
    rest = [p for p in net.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=3e-3)
    norms = []
    for step in range(3):
        optimizer.zero_grad(set_to_none=True)
        for part in range(2):  # gradients add up over the parts of a batch
            tokens = classes(torch, f"{step} {part}", 11, 3, 9)
            logits = net(tokens[:, :-1])
            loss = functional.cross_entropy(logits.reshape(-1, 11), tokens[:, 1:].reshape(-1), ignore_index=0) / 2
            loss.backward()
        norms.append(nn.utils.clip_grad_norm_(net.parameters(), 0.5).item())
        optimizer.step()
    tokens = torch.tensor([[1, 2]])
    for _ in range(4):  # greedy decoding
        with torch.no_grad():
            tokens = torch.cat([tokens, net(tokens)[:, -1:].argmax(-1)], dim=1)
    names = len(dict(net.named_parameters())), len(net.state_dict())
    return [loss.item(), *norms, *tokens[0].tolist(), *names, size(net.parameters())]


def transformer_encoder(torch):
    nn = torch.nn

    class Encoder(nn.Module):
        def __init__(self, dim=8):
            super().__init__()
            self.attention = nn.MultiheadAttention(dim, 2, batch_first=True, bias=True)
            self.first, self.second = nn.LayerNorm(dim), nn.LayerNorm(dim)
            self.feed = nn.Sequential(nn.Linear(dim, 16), nn.ReLU(), nn.Linear(16, dim))

        def forward(self, x, padding):
            out, weights = self.attention(x, x, x, key_padding_mask=padding, average_attn_weights=False)
            x = self.first(x + out)
            return self.second(x + self.feed(x)), weights

    net = filled(torch, Encoder())
    rate = [8**-0.5 * min(k**-0.5, k * 4**-1.5) for k in range(1, 9)]
    optimizer = torch.optim.Adam(net.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.05 * rate[epoch])
    position = torch.arange(5, dtype=torch.float64)[:, None] / 10000 ** (torch.arange(0, 8, 2) / 8).double()
    table = torch.zeros(5, 8, dtype=torch.float64)
    table[:, 0::2], table[:, 1::2] = torch.sin(position), torch.cos(position)
    x, goal = drawn(torch, "x", 3, 5, 8) + table, drawn(torch, "goal", 3, 5, 8)
    padding = torch.arange(5)[None] >= torch.tensor([5, 3, 4])[:, None]
    for _ in range(4):
        out, weights = net(x, padding)
        loss = ((out - goal) ** 2)[~padding].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    return [
        loss.item(),
        weights[1, :, :, 3:].abs().max().item(),
        scheduler.get_last_lr()[0],
        size([weights]),
        size(net.parameters()),
    ]


def recurrent_classifier(torch):
    nn = torch.nn

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(12, 6, padding_idx=0)
            self.lstm = nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)
            self.gru = nn.GRU(10, 4, batch_first=True)
            self.head = nn.Linear(4, 3)

        def forward(self, tokens):
            out, (h, c) = self.lstm(self.words(tokens))
            _, last = self.gru(out)
            return self.head(last[-1]), h, c

    net = filled(torch, Classifier())
    sequences = [classes(torch, f"s{k}", 11, n) + 1 for k, n in enumerate((4, 7, 2, 5))]
    tokens = nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    optimizer = torch.optim.Adagrad(net.parameters(), lr=0.1)
    for _ in range(3):
        scores, h, c = net(tokens)
        loss = nn.NLLLoss(weight=torch.tensor([1.0, 2.0, 0.5]).double())(scores.log_softmax(-1), torch.tensor([0, 1, 2, 1]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(net.parameters(), 0.05)
        optimizer.step()
    return [loss.item(), net.words.weight.grad[0].abs().sum().item(), size([h, c]), size(net.parameters())]
