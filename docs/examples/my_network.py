"""A plain PyTorch transformer and its training, as somebody might have it already: ``python my_network.py``."""

import torch
from torch import nn

DIM, EXAMPLES, WIDTH = 5, 20, 64


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.feedforward = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, stream):
        keys = self.norms[0](stream)
        examples = keys[:, :EXAMPLES]  # nobody looks at a query, so that each is answered alone
        stream = stream + self.attention(keys, examples, examples, need_weights=False)[0]
        return stream + self.feedforward(self.norms[1](stream))


class MyNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.inputs = nn.Linear(DIM + 2, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.unembed = nn.Linear(WIDTH, 1)

    def embed(self, xs, ys, queries):
        shown = torch.cat([xs, ys[..., None], torch.ones_like(ys)[..., None]], -1)
        return self.inputs(torch.cat([shown, nn.functional.pad(queries, (0, 2))], 1))

    def forward(self, xs, ys, queries):
        stream = self.embed(xs, ys, queries)
        for block in self.blocks:
            stream = block(stream)
        return self.unembed(stream[:, EXAMPLES:]).squeeze(-1)


if __name__ == "__main__":
    torch.manual_seed(0)
    network = MyNetwork()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(500):
        x, w = torch.randn(64, EXAMPLES + 8, DIM), torch.randn(64, DIM, 1) / DIM**0.5
        y = (x @ w).squeeze(-1)
        loss = (network(x[:, :EXAMPLES], y[:, :EXAMPLES], x[:, EXAMPLES:]) - y[:, EXAMPLES:]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"error in the end: {loss.item():.3f}; answering zero has 1")
    torch.save(network.state_dict(), "my_network.pt")
