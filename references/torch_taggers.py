"""The taggers of femtobarn written in PyTorch: the same layers, widths and starting values.

Run as a program it counts the parameters of each network and compares them with what is published.

What a network sees depends on its `layout`:
    padded    x [N, P, C] and mask [N, P], true where there is a constituent
    ragged    rows [sum of n, C] and counts [N]: constituents only, event after event
    sequence  x [N, P, C], filled up with zeros, the hardest constituent first
    table     x [N, C]
    image     x [N, 1, height, width]
All of them return logits [N, 2], [N, 1] (one logit x: p = 1/(1 + exp(-x))) or [N, classes].
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

import torch_pairs

# ---------------------------------------------------------------------------------------------------------------------
# Starting values: uniform in ±sqrt(6/inputs) before a rectifier, ±sqrt(3/inputs) else; biases zero.


def _start(layer, fan_in, relu):
    bound = math.sqrt((6.0 if relu else 3.0) / fan_in)
    nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def linear(width, out, relu=False, bias=True):
    return _start(nn.Linear(width, out, bias=bias), width, relu)


def conv1d(width, out, kernel, stride=1, padding=0, bias=True):
    return _start(nn.Conv1d(width, out, kernel, stride, padding, bias=bias), width * kernel, True)


def conv2d(width, out, kernel, padding=0, bias=True):
    return _start(nn.Conv2d(width, out, kernel, padding=padding, bias=bias), width * kernel * kernel, True)


def dense(width, widths):
    """Fully connected layers, each with a rectifier."""
    layers = []
    for out in widths:
        layers += [linear(width, out, relu=True), nn.ReLU()]
        width = out
    return nn.Sequential(*layers)


# ---------------------------------------------------------------------------------------------------------------------
# Tables


class Logistic(nn.Module):
    """Logistic regression."""

    layout = "table"

    def __init__(self, variables=4):
        super().__init__()
        self.variables = variables
        self.out = linear(variables, 1)

    def forward(self, x):
        return self.out(x)


class Mlp(nn.Module):
    """Fully connected network on a table, by default that of charged-particle identification."""

    layout = "table"

    def __init__(self, variables=60, widths=(300, 300, 400), classes=6):
        super().__init__()
        self.variables = variables
        self.classes = classes
        self.hidden = dense(variables, widths)
        self.out = linear(widths[-1], classes)

    def forward(self, x):
        return self.out(self.hidden(x))


# ---------------------------------------------------------------------------------------------------------------------
# Deep sets (arXiv:1810.05165)


class Pfn(nn.Module):
    """Particle-flow network, F(Σ Φ(p_i))."""

    layout = "padded"
    variables = 3

    def __init__(self, phi=(100, 100, 256), f=(100, 100, 100)):
        super().__init__()
        self.phi = dense(self.variables, phi)
        self.f = dense(phi[-1], f)
        self.out = linear(f[-1], 2)

    def forward(self, x, mask):
        latent = (self.phi(x) * mask.unsqueeze(-1)).sum(dim=1)
        return self.out(self.f(latent))


class PfnFast(Pfn):
    """The same on rows without padding."""

    layout = "ragged"

    def forward(self, rows, counts):
        return self.out(self.f(segment_sum(self.phi(rows), counts)))


class Efn(nn.Module):
    """Energy-flow network, F(Σ z_i Φ(Δη_i, Δφ_i))."""

    layout = "padded"
    variables = 3

    def __init__(self, phi=(100, 100, 256), f=(100, 100, 100)):
        super().__init__()
        self.phi = dense(2, phi)
        self.f = dense(phi[-1], f)
        self.out = linear(f[-1], 2)

    def forward(self, x, mask):
        z = x[..., 0] * mask
        latent = torch.einsum("np,npc->nc", z, self.phi(x[..., 1:]))
        return self.out(self.f(latent))


def segment_sum(rows, counts):
    """Sums of the rows of each event: rows [R, C], counts [N] -> [N, C]."""
    n = len(counts)
    if n and rows.shape[0] == n * int(counts[0]) and bool((counts == counts[0]).all()):
        return rows.view(n, int(counts[0]), -1).sum(dim=1)
    event = torch.repeat_interleave(torch.arange(n), counts)
    return rows.new_zeros(n, rows.shape[1]).index_add(0, event, rows)


# ---------------------------------------------------------------------------------------------------------------------
# Ordered constituents


class TopoDnn(nn.Module):
    """TopoDNN (arXiv:1704.02124) on (u, v, pT/pT_jet) of each constituent without the three numbers that are fixed."""

    layout = "sequence"
    variables = 3

    def __init__(self, particles=30, widths=(300, 102, 12, 6)):
        super().__init__()
        self.particles = particles
        self.register_buffer("keep", torch.tensor([2, *range(4, 3 * particles)]), persistent=False)
        width = len(self.keep)
        first = nn.Linear(width, widths[0])
        with torch.no_grad():
            # In the Rust graph the first layer is the sum of two, one on the hardest pT and one on the rest.
            first.weight[:, :1].uniform_(-math.sqrt(3.0), math.sqrt(3.0))
            bound = math.sqrt(3.0 / (width - 1))
            first.weight[:, 1:].uniform_(-bound, bound)
            first.bias.zero_()
        self.hidden = nn.Sequential(first, nn.ReLU(), *dense(widths[0], widths[1:]))
        self.out = linear(widths[-1], 1)

    def forward(self, x):
        return self.out(self.hidden(x.flatten(1)[:, self.keep]))


class LstmTagger(nn.Module):
    """LSTM 128, dense 64, one logit (arXiv:1711.09059)."""

    layout = "padded"
    variables = 3

    def __init__(self, hidden=128, width=64):
        super().__init__()
        self.lstm = nn.LSTM(self.variables, hidden, batch_first=True)
        bound = 1.0 / math.sqrt(hidden)
        for parameter in self.lstm.parameters():
            nn.init.uniform_(parameter, -bound, bound)
        # nn.LSTM adds two biases; one is enough, so the second stays zero.
        nn.init.zeros_(self.lstm.bias_hh_l0)
        self.lstm.bias_hh_l0.requires_grad_(False)
        self.dense = dense(hidden, [width])
        self.out = linear(width, 1)

    def forward(self, x, mask):
        lengths = mask.sum(dim=1)
        if bool((lengths == x.shape[1]).all()):
            state = self.lstm(x)[1][0][-1]
        else:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True,
                                                       enforce_sorted=False)
            state = self.lstm(packed)[1][0][-1] * (lengths > 0).unsqueeze(-1)
        return self.out(self.dense(state))


class ConvNormRelu(nn.Sequential):
    def __init__(self, width, out, stride=1):
        super().__init__(conv1d(width, out, 3, stride, padding=1), nn.BatchNorm1d(out), nn.ReLU())


class ResidualUnit(nn.Module):
    def __init__(self, width, out, stride=1):
        super().__init__()
        self.a = ConvNormRelu(width, out, stride)
        self.b = ConvNormRelu(out, out)
        same = width == out and stride == 1
        self.shortcut = nn.Identity() if same else conv1d(width, out, 1, stride, bias=False)

    def forward(self, x):
        return self.b(self.a(x)) + self.shortcut(x)


class PCnn(nn.Module):
    """P-CNN (arXiv:1902.08570, section 4.1)."""

    layout = "sequence"
    variables = 7

    def __init__(self, particles=100, channels=(32, 64, 64, 128), width=512, dropout=0.2):
        super().__init__()
        self.particles = particles
        self.norm = nn.BatchNorm1d(self.variables)
        before, *stages = channels
        layers = [ConvNormRelu(self.variables, before)]
        for stage, out in enumerate(stages):
            layers += [ResidualUnit(before, out, 1 if stage == 0 else 2), ResidualUnit(out, out)]
            before = out
        self.layers = nn.Sequential(*layers)
        self.dense = dense(before, [width])
        self.dropout = nn.Dropout(dropout)
        self.out = linear(width, 2)

    def forward(self, x):
        x = self.layers(self.norm(x.transpose(1, 2)))
        return self.out(self.dropout(self.dense(x.mean(dim=2))))


# ---------------------------------------------------------------------------------------------------------------------
# Pairs of constituents (arXiv:1908.05318)


class InteractionNetwork(nn.Module):
    """Messages between all ordered pairs of constituents: every pair is a row [x_i, x_j]."""

    layout = "padded"
    variables = 7

    def __init__(self, messages=(50, 25, 14), objects=(50, 25, 12), classifier=(50, 25)):
        super().__init__()
        self.messages = dense(2 * self.variables, messages)
        self.own = linear(self.variables, objects[0])
        self.received = linear(messages[-1], objects[0], bias=False)
        self.objects = dense(objects[0], objects[1:])
        self.classifier = dense(objects[-1], classifier)
        self.out = linear(classifier[-1], 2)

    def forward(self, x, mask):
        p = x.shape[1]
        pairs = torch.cat([x.unsqueeze(2).expand(-1, -1, p, -1), x.unsqueeze(1).expand(-1, p, -1, -1)], dim=-1)
        return self.finish(x, mask, self.messages(pairs))

    def finish(self, x, mask, messages):
        other = mask.unsqueeze(1) & ~torch.eye(x.shape[1], dtype=torch.bool)
        received = (messages * other.unsqueeze(-1)).sum(dim=2)
        objects = self.objects(F.relu(self.own(x) + self.received(received)))
        return self.out(self.classifier((objects * mask.unsqueeze(-1)).sum(dim=1)))


class InteractionNetworkFast(InteractionNetwork):
    """The same with the first layer of the messages per constituent instead of per pair."""

    def forward(self, x, mask):
        first = self.messages[0]
        receiver, sender = first.weight.split(self.variables, dim=1)
        a, b = F.linear(x, receiver, first.bias), F.linear(x, sender)
        z = (a.unsqueeze(2) + b.unsqueeze(1)).relu_()
        return self.finish(x, mask, self.messages[2:](z))


# ---------------------------------------------------------------------------------------------------------------------
# Dynamic graphs (arXiv:1902.08570)


def knn(x, k):
    """Indices [N, P, k] of the nearest others of x [N, C, P], from the matrix of all distances."""
    inner = -2 * torch.matmul(x.transpose(2, 1), x)
    square = (x * x).sum(dim=1, keepdim=True)
    distance = -square - inner - square.transpose(2, 1)
    return distance.topk(k + 1, dim=-1)[1][:, :, 1:]


def edge_features(x, index):
    """[x_i, x_j − x_i] of every edge: x [N, C, P], index [N, P, k] -> [N, 2C, P, k]."""
    n, c, p = x.shape
    k = index.shape[-1]
    flat = (index + torch.arange(n).view(-1, 1, 1) * p).view(-1)
    neighbours = x.transpose(0, 1).reshape(c, -1)[:, flat].view(c, n, p, k).transpose(0, 1)
    centre = x.unsqueeze(-1).expand(-1, -1, -1, k)
    return torch.cat([centre, neighbours - centre], dim=1)


class EdgeConv(nn.Module):
    """EdgeConv block: shared 1×1 convolutions on the edges, mean over the neighbours, shortcut."""

    def __init__(self, width, k, channels):
        super().__init__()
        self.k = k
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        before = 2 * width
        for out in channels:
            self.convs.append(conv2d(before, out, 1, bias=False))
            self.norms.append(nn.BatchNorm2d(out))
            before = out
        shortcut = nn.Conv1d(width, before, 1, bias=False)
        self.shortcut = _start(shortcut, width, False)
        self.shortcut_norm = nn.BatchNorm1d(before)

    def forward(self, points, x):
        z = edge_features(x, knn(points, min(self.k, x.shape[-1] - 1)))
        for conv, norm in zip(self.convs, self.norms):
            z = F.relu(norm(conv(z)))
        return F.relu(self.shortcut_norm(self.shortcut(x)) + z.mean(dim=-1))


class ParticleNet(nn.Module):
    """ParticleNet on padded events, as it is usually written; the normalisation counts the padding too."""

    layout = "padded"
    variables = 7

    def __init__(self, k=16, blocks=((64,) * 3, (128,) * 3, (256,) * 3), width=256, dropout=0.1):
        super().__init__()
        self.norm = nn.BatchNorm1d(self.variables)
        self.blocks = nn.ModuleList()
        before = self.variables
        for channels in blocks:
            self.blocks.append(self.edge_conv(before, k, channels))
            before = channels[-1]
        self.dense = dense(before, [width])
        self.dropout = nn.Dropout(dropout)
        self.out = linear(width, 2)

    edge_conv = EdgeConv

    def forward(self, x, mask):
        mask = mask.unsqueeze(1)
        x = x.transpose(1, 2)
        points = x[:, :2]
        far = (~mask) * 1e9  # puts the padding where it is nobody's neighbour
        x = self.norm(x) * mask
        for block in self.blocks:
            x = block(points + far, x) * mask
            points = x
        mean = x.sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)
        return self.out(self.dropout(self.dense(mean)))


class Edges:
    """The edges of ragged events: row j of the neighbour and row i of the particle for each."""

    def __init__(self, x, counts, k):
        with torch.no_grad():
            n, p = len(counts), int(counts.max()) if len(counts) else 0
            k = min(k, p - 1)
            full = x.shape[0] == n * p
            start = torch.cumsum(counts, 0) - counts
            if full:
                padded = x.detach().view(n, p, -1)
            else:
                self.mask = torch.arange(p) < counts.unsqueeze(1)
                padded = x.new_zeros(n, p, x.shape[1])
                padded[self.mask] = x.detach()
            if x.shape[1] <= 3:
                distance = sum((c.unsqueeze(2) - c.unsqueeze(1)).square_() for c in padded.unbind(-1))
            else:
                square = padded.square().sum(-1)
                distance = torch.baddbmm(square.unsqueeze(1), padded, padded.transpose(1, 2), alpha=-2)
            distance.diagonal(dim1=1, dim2=2).fill_(math.inf)
            if not full:
                distance.masked_fill_(~self.mask.unsqueeze(1), math.inf)
            value, index = distance.topk(k, dim=-1, largest=False, sorted=False)
            index += start.view(-1, 1, 1)
            if not full:
                value, index = value[self.mask], index[self.mask]
            self.k = k
            self.regular = full or bool(counts.min() > k)
            self.neighbour = index.reshape(-1)
            if not self.regular:
                real = value.isfinite()
                self.neighbour = index[real]
                self.degree = real.sum(1)
                self.particle = torch.repeat_interleave(torch.arange(x.shape[0]), self.degree)

    def spread(self, a, b):
        """a_i + b_j of every edge [E, C]."""
        neighbours = F.embedding(self.neighbour, b)
        if self.regular:
            c = a.shape[1]
            return (neighbours.view(-1, self.k, c) + a.unsqueeze(1)).view(-1, c)
        return neighbours + F.embedding(self.particle, a)

    def mean(self, z, rows):
        if self.regular:
            return z.view(rows, self.k, -1).mean(dim=1)
        total = z.new_zeros(rows, z.shape[1]).index_add(0, self.particle, z)
        return total / self.degree.clamp(min=1).unsqueeze(1)


class EdgeConvFast(EdgeConv):
    """The same block on ragged rows; the first layer, W·[x_i, x_j − x_i] = (W₁ − W₂)·x_i + W₂·x_j, per particle."""

    def forward(self, points, x, counts):
        edges = Edges(points, counts, self.k)
        own, other = self.convs[0].weight.flatten(1).split(x.shape[1], dim=1)
        both = F.linear(x, torch.cat([own - other, other]))
        z = edges.spread(*both.split(own.shape[0], dim=1))
        for layer, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            if layer:
                z = F.linear(z, conv.weight.flatten(1))
            z = batch_norm(z, norm).relu_()
        shortcut = batch_norm(F.linear(x, self.shortcut.weight.flatten(1)), self.shortcut_norm)
        return shortcut.add_(edges.mean(z, x.shape[0])).relu_()


def batch_norm(x, norm):
    """Batch normalisation of rows [R, C] with the statistics of `norm`, which may be of any dimension."""
    if norm.training:
        norm.num_batches_tracked += 1
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, norm.momentum,
                        norm.eps)


class ParticleNetFast(ParticleNet):
    """ParticleNet on rows without padding: as fast as plain PyTorch gets on a CPU. Parameters as in ParticleNet."""

    layout = "ragged"
    edge_conv = EdgeConvFast

    def forward(self, rows, counts):
        points = rows[:, :2]
        x = self.norm(rows)
        for block in self.blocks:
            x = block(points, x, counts)
            points = x
        mean = segment_sum(x, counts) / counts.clamp(min=1).unsqueeze(1)
        return self.out(self.dropout(self.dense(mean)))


LITE = {"k": 7, "blocks": ((32,) * 3, (64,) * 3), "width": 128}


class ParticleNetLite(ParticleNet):
    """ParticleNet-Lite."""

    def __init__(self, **options):
        super().__init__(**{**LITE, **options})


class ParticleNetLiteFast(ParticleNetFast):
    """ParticleNet-Lite on rows without padding."""

    def __init__(self, **options):
        super().__init__(**{**LITE, **options})


# ---------------------------------------------------------------------------------------------------------------------
# Images (arXiv:1803.00107)


class JetImageCnn(nn.Module):
    """Two convolutions, a pool, two convolutions, a pool, dense layers."""

    layout = "image"

    def __init__(self, pixels=40, filters=((128, 64), (64, 64)), kernel=4, widths=(64, 256, 256)):
        super().__init__()
        self.pixels = pixels
        layers, channels, size = [], 1, pixels
        for stage in filters:
            for out in stage:
                layers += [conv2d(channels, out, kernel, padding=1), nn.ReLU()]
                channels, size = out, size + 3 - kernel
            layers.append(nn.MaxPool2d(2))
            size //= 2
        self.layers = nn.Sequential(*layers)
        self.dense = dense(size * size * channels, widths)
        self.out = linear(widths[-1], 2)

    def forward(self, x):
        return self.out(self.dense(self.layers(x).flatten(1)))


class JetImageCnnSmall(JetImageCnn):
    """The small version, for CPUs."""

    def __init__(self, pixels=32):
        super().__init__(pixels, ((16, 32), (32, 32)), 3, (64,))


# ---------------------------------------------------------------------------------------------------------------------

NETWORKS = {
    "logistic": Logistic,
    "mlp": Mlp,
    "topodnn": TopoDnn,
    "pfn": Pfn,
    "efn": Efn,
    "lstm_tagger": LstmTagger,
    "p_cnn": PCnn,
    "interaction_network": InteractionNetwork,
    "jet_image_cnn": JetImageCnn,
    "jet_image_cnn_small": JetImageCnnSmall,
    "particlenet": ParticleNet,
    "particlenet_lite": ParticleNetLite,
}

FAST = {
    "pfn": PfnFast,
    "interaction_network": InteractionNetworkFast,
    "particlenet": ParticleNetFast,
    "particlenet_lite": ParticleNetLiteFast,
}
# Also by a name of their own.
NETWORKS |= {f"{name}_fast": network for name, network in FAST.items()}
NETWORKS |= torch_pairs.NETWORKS

PUBLISHED = {
    "logistic": 5,
    "mlp": 231_406,
    "topodnn": 58_423,
    "pfn": 82_458,
    "efn": 82_358,
    "p_cnn": 349_456,
    "jet_image_cnn": 609_666,
    "particlenet": 366_160,
    "particlenet_lite": 26_416,
}


PUBLISHED |= torch_pairs.PUBLISHED


def network(name, variant="stock", **options):
    """A fresh network. `variant` "fast" takes the rewritten one where there is one, and the stock one else."""
    table = NETWORKS if variant != "fast" else NETWORKS | FAST
    if name not in table:
        raise ValueError(f"unknown network `{name}`, expected one of {', '.join(table)}")
    return table[name](**options)


def parameter_count(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def example(model, events, particles, generator=None):
    """Random input of the right shape: every event has `particles` constituents."""
    if model.layout == "own":
        return model.example(events, particles, generator)
    if model.layout == "image":
        image = torch.rand(events, 1, model.pixels, model.pixels, generator=generator)
        return (image / image.sum(dim=(2, 3), keepdim=True),)
    if model.layout == "table":
        return (torch.randn(events, model.variables, generator=generator),)
    x = torch.randn(events, particles, model.variables, generator=generator)
    if model.layout == "sequence":
        return (x,)
    if model.layout == "padded":
        return x, torch.ones(events, particles, dtype=torch.bool)
    return x.reshape(events * particles, -1), torch.full((events,), particles)


def check_variants(name, lengths, modes=(True, False)):
    """Largest difference of logits and of gradients between the stock and the fast network with the same parameters."""
    torch.manual_seed(1)
    stock, fast = network(name), network(name, "fast")
    fast.load_state_dict(stock.state_dict())
    for model in (stock, fast):
        for layer in model.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
    counts = torch.tensor(lengths)
    mask = torch.arange(int(counts.max())) < counts.unsqueeze(1)
    x = torch.randn(*mask.shape, stock.variables) * mask.unsqueeze(-1)
    inputs = (x[mask], counts) if fast.layout == "ragged" else (x, mask)
    worst = 0.0
    for training in modes:
        a, b = stock.train(training)(x, mask), fast.train(training)(*inputs)
        worst = max(worst, float((a - b).detach().abs().max()))
        if training:
            target = torch.arange(len(counts)) % 2
            for model, logits in ((stock, a), (fast, b)):
                model.zero_grad()
                F.cross_entropy(logits, target).backward()
            for p, q in zip(stock.parameters(), fast.parameters()):
                worst = max(worst, float((p.grad - q.grad).abs().max()))
    return worst


def check_short_events(name):
    """Largest difference of logits between a batch with events of few constituents and each event on its own."""
    torch.manual_seed(1)
    stock, fast = network(name).eval(), network(name, "fast").eval()
    fast.load_state_dict(stock.state_dict())
    lengths = [2, 30, 5, 3, 12]
    events = [torch.randn(n, stock.variables) for n in lengths]
    with torch.no_grad():
        together = fast(torch.cat(events), torch.tensor(lengths))
        alone = [stock(x.unsqueeze(0), torch.ones(1, len(x), dtype=torch.bool)) for x in events]
        assert bool(fast(torch.cat([events[0], events[1][:1]]), torch.tensor([2, 1])).isfinite().all()), name
    return float((together - torch.cat(alone)).abs().max())


def main():
    torch.set_num_threads(1)
    print(f"{'network':28}{'layout':10}{'parameters':>12}{'published':>12}")
    for name, kind in NETWORKS.items():
        model = kind()
        count = parameter_count(model)
        published = PUBLISHED.get(name.removesuffix("_fast"))
        print(f"{name:28}{model.layout:10}{count:12,}{published or '':>12}")
        assert published in (None, count), f"{name}: {count} parameters, published {published}"
        logits = model(*example(model, 3, getattr(model, "particles", 20)))
        assert logits.shape[0] == 3 and bool(logits.isfinite().all()), name
    for name in FAST:
        equal = check_variants(name, [20] * 8)
        # Normalisation over padding is the one difference of the stock ParticleNet, so compare its evaluation only.
        modes = (False,) if name.startswith("particlenet") else (True, False)
        ragged = check_variants(name, [20, 30, 19, 25], modes)
        print(f"{name}: stock and fast differ by {equal:.1e}, on events of different length by {ragged:.1e}")
        assert max(equal, ragged) < 1e-3, name
        if name.startswith("particlenet"):
            short = check_short_events(name)
            print(f"{name}: events with fewer constituents than neighbours differ by {short:.1e}")
            assert short < 1e-3, name


if __name__ == "__main__":
    main()
