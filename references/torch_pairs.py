"""Networks of pairs of constituents in PyTorch, for `bench_torch.py`: the same layers and widths as in femtobarn.

They see events of equal length without padding, which is the best case for tensors [event, constituent, constituent].
"""

import torch
import torch.nn.functional as F
from torch import nn


def momenta(events, particles, generator=None):
    """px, py, pz, E of light constituents around an axis [N, P, 4]."""
    pt = torch.rand(events, particles, generator=generator) * 50 + 1
    eta, phi = (0.3 * torch.randn(events, particles, generator=generator) for _ in range(2))
    return torch.stack([pt * phi.cos(), pt * phi.sin(), pt * eta.sinh(), pt * eta.cosh()], dim=-1)


# ---------------------------------------------------------------------------------------------------------------------
# Particle transformer (arXiv:2202.03772)


def pair_kinematics(p, i, j):
    """ln kT, ln z, ln Δ, ln m² of pairs [N, 4, pairs] from px, py, pz, E [N, P, 4]."""
    pt = p[..., :2].norm(dim=-1)
    rapidity = 0.5 * torch.log(1 + 2 * p[..., 2] / (p[..., 3] - p[..., 2]).clamp(min=1e-20))
    phi = torch.atan2(p[..., 1], p[..., 0])
    turn = torch.remainder(phi[:, i] - phi[:, j] + torch.pi, 2 * torch.pi) - torch.pi
    delta = ((rapidity[:, i] - rapidity[:, j]) ** 2 + turn**2).sqrt()
    softer = torch.minimum(pt[:, i], pt[:, j])
    total = p[:, i] + p[:, j]
    mass = total[..., 3] ** 2 - (total[..., :3] ** 2).sum(dim=-1)
    values = [softer * delta, softer / (pt[:, i] + pt[:, j]), delta, mass]
    return torch.stack([x.clamp(min=1e-8).log() for x in values], dim=1)


class Block(nn.Module):
    """Attention and the layers behind it, with all normalisations and factors of NormFormer."""

    def __init__(self, width, heads, expansion, dropout):
        super().__init__()
        self.heads = heads
        self.before, self.after, self.between = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.inner = nn.Linear(width, width * expansion)
        self.norm = nn.LayerNorm(width * expansion)
        self.outer = nn.Linear(width * expansion, width)
        self.drop = nn.Dropout(dropout)
        self.head_scale = nn.Parameter(torch.ones(heads))
        self.residual_scale = nn.Parameter(torch.ones(width))

    def forward(self, x, bias=None, token=None):
        if token is None:
            residual = x
            y = self.before(x)
            y = self.attention(y, y, y, attn_mask=bias, need_weights=False)[0]
        else:
            residual = token
            y = self.before(torch.cat([token, x], dim=1))
            y = self.attention(token, y, y, need_weights=False)[0]
        y = (y.unflatten(-1, (self.heads, -1)) * self.head_scale.unsqueeze(-1)).flatten(-2)
        x = residual + self.drop(self.after(y))
        y = self.norm(self.drop(F.gelu(self.inner(self.between(x)))))
        return self.drop(self.outer(y)) + self.residual_scale * x


class PartSmall(nn.Module):
    """The small particle transformer."""

    layout, variables = "own", 7

    def __init__(self, width=64, pairs=(32,), heads=4, depth=4, class_depth=1, expansion=2, dropout=0.1):
        super().__init__()
        self.heads = heads
        self.norm = nn.BatchNorm1d(self.variables)
        self.embed = nn.Sequential(nn.LayerNorm(self.variables), nn.Linear(self.variables, width), nn.GELU())
        layers, channels = [nn.BatchNorm1d(4)], 4
        for out in pairs:
            layers += [nn.Conv1d(channels, out, 1), nn.BatchNorm1d(out), nn.GELU()]
            channels = out
        self.pairs = nn.Sequential(*layers, nn.Conv1d(channels, heads, 1), nn.BatchNorm1d(heads))
        self.blocks = nn.ModuleList(Block(width, heads, expansion, dropout) for _ in range(depth))
        self.class_blocks = nn.ModuleList(Block(width, heads, expansion, 0.0) for _ in range(class_depth))
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.last = nn.LayerNorm(width)
        self.out = nn.Linear(width, 2)

    def forward(self, x, p):
        n, particles, _ = x.shape
        i, j = torch.tril_indices(particles, particles)
        with torch.no_grad():
            kinematics = pair_kinematics(p, i, j)
        u = self.pairs(kinematics)
        bias = u.new_zeros(n, self.heads, particles, particles)
        bias[:, :, i, j] = u
        bias[:, :, j, i] = u
        bias = bias.flatten(0, 1)
        x = self.embed(self.norm(x.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            x = block(x, bias)
        token = self.token.expand(n, -1, -1)
        for block in self.class_blocks:
            token = block(x, token=token)
        return self.out(self.last(token[:, 0]))

    def example(self, events, particles, generator=None):
        return torch.randn(events, particles, self.variables, generator=generator), momenta(events, particles, generator)


# ---------------------------------------------------------------------------------------------------------------------
# LorentzNet (arXiv:2201.08187)


def psi(t):
    return t.sign() * t.abs().log1p()


def minkowski(p, q):
    product = p * q
    return product[..., 3:] - product[..., :3].sum(dim=-1, keepdim=True)


class LorentzBlock(nn.Module):
    """One block on edges of all pairs, given by their ends."""

    def __init__(self, hidden, step, last):
        super().__init__()
        self.step = step
        self.message = nn.Sequential(nn.Linear(2 * hidden + 2, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
                                     nn.Linear(hidden, hidden), nn.ReLU())
        self.gate = nn.Sequential(nn.Linear(hidden, 1), nn.Sigmoid())
        self.update = nn.Sequential(nn.Linear(2 * hidden + 2, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
                                    nn.Linear(hidden, hidden))
        self.move = None if last else nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1, bias=False))
        if self.move is not None:
            nn.init.xavier_uniform_(self.move[2].weight, gain=1e-3)

    def forward(self, h, x, scalars, i, j, others):
        difference = x[i] - x[j]
        products = [psi(minkowski(difference, difference)), psi(minkowski(x[i], x[j]))]
        m = self.message(torch.cat([h[i], h[j], *products], dim=1))
        m = m * self.gate(m)
        if self.move is not None:
            moves = (self.move(m) * difference).clamp(-100, 100)
            x = x + self.step / others * torch.zeros_like(x).index_add(0, i, moves)
        received = torch.zeros_like(h).index_add(0, i, m)
        return h + self.update(torch.cat([h, received, scalars], dim=1)), x


class LorentzNet(nn.Module):
    """LorentzNet with two momenta of the beam."""

    layout = "own"

    def __init__(self, hidden=72, depth=6, step=5e-3, dropout=0.2):
        super().__init__()
        self.embed = nn.Linear(2, hidden)
        self.blocks = nn.ModuleList(LorentzBlock(hidden, step, i + 1 == depth) for i in range(depth))
        self.out = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 2))

    def forward(self, x, scalars, i, j):
        n, particles, _ = x.shape
        x, scalars = x.flatten(0, 1), scalars.flatten(0, 1)
        h = self.embed(scalars)
        for block in self.blocks:
            h, x = block(h, x, scalars, i, j, particles - 1)
        return self.out(h.view(n, particles, -1).mean(dim=1))

    def example(self, events, particles, generator=None):
        beams = torch.tensor([[0, 0, 1, 2**0.5], [0, 0, -1, 2**0.5]]).expand(events, 2, 4)
        x = torch.cat([beams, momenta(events, particles, generator)], dim=1)
        scalars = torch.zeros(events, particles + 2, 2)
        scalars[:, :2, 0] = 0.6931
        n = particles + 2
        i, j = torch.where(~torch.eye(n, dtype=torch.bool))
        shift = (torch.arange(events) * n).unsqueeze(1)
        return x, scalars, (i + shift).flatten(), (j + shift).flatten()


# ---------------------------------------------------------------------------------------------------------------------
# LundNet (arXiv:2012.08526)


class LundBlock(nn.Module):
    """Two layers on the edges of the tree, their mean, a shortcut."""

    def __init__(self, width, out):
        super().__init__()
        self.theta, self.phi = nn.Linear(width, out, bias=False), nn.Linear(width, out, bias=False)
        self.norm = nn.Sequential(nn.BatchNorm1d(out), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(out, out, bias=False), nn.BatchNorm1d(out), nn.ReLU())
        self.shortcut = None if width == out else nn.Sequential(nn.Linear(width, out, bias=False), nn.BatchNorm1d(out))

    def forward(self, x, i, j, degree):
        e = self.theta(x[i] - x[j]) + self.phi(x[j])
        e = self.second(self.norm(e))
        mean = e.new_zeros(len(x), e.shape[1]).index_add(0, i, e) / degree
        return F.relu(mean + (x if self.shortcut is None else self.shortcut(x)))


class LundNet(nn.Module):
    """LundNet-5."""

    layout = "own"

    def __init__(self, layers=(32, 32, 64, 64, 128, 128), fusion=384, width=256, dropout=0.1):
        super().__init__()
        self.norm = nn.BatchNorm1d(5)
        self.blocks = nn.ModuleList(LundBlock(a, b) for a, b in zip((5, *layers[:-1]), layers))
        self.fusion = nn.Sequential(nn.Linear(sum(layers), fusion), nn.ReLU(), nn.BatchNorm1d(fusion))
        self.out = nn.Sequential(nn.Linear(fusion, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 2))

    def forward(self, x, i, j, degree, events):
        x, results = self.norm(x), []
        for block in self.blocks:
            x = block(x, i, j, degree)
            results.append(x)
        x = self.fusion(torch.cat(results, dim=1))
        return self.out(x.view(events, -1, x.shape[1]).mean(dim=1))

    def example(self, events, particles, generator=None):
        """Trees of as many declusterings as constituents less one; each was made by an earlier one."""
        n = particles - 1
        place = torch.arange(1, n)
        mother = (torch.rand(events, n - 1, generator=generator) * place).long()
        shift = (torch.arange(events) * n).unsqueeze(1)
        a, b = (mother + shift).flatten(), (place + shift).flatten()
        i, j = torch.cat([a, b]), torch.cat([b, a])
        degree = torch.bincount(i, minlength=events * n).unsqueeze(1).float()
        return torch.randn(events * n, 5, generator=generator), i, j, degree, events


NETWORKS = {"part_small": PartSmall, "lorentznet": LorentzNet, "lundnet": LundNet}
PUBLISHED = {"part_small": 170_854, "lorentznet": 224_072, "lundnet": 391_724}
