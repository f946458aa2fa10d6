"""PyTorch's side of `cargo xtask bench solve`: answers one request a line with the seconds of one training.

    {"problem": "o1", "width": 20, "points": 100, "steps": 100}

The network has one hidden layer of tanh, in double precision on one thread; the sum of squares of the residuals at Chebyshev's roots
(`points`, or the nearest square of them) and ten times those of the conditions is made least by `steps` iterations of L-BFGS
with the strong conditions of Wolfe and a history of 50. "error" is the largest difference from the exact solution.
"""

import json
import math
import sys
import time

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def roots(n, low, high):
    k = torch.arange(n)
    return (low + high) / 2 - (high - low) / 2 * torch.cos(math.pi * (k + 0.5) / n)


def gradient(y, x):
    return torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)[0]


def o1(phi, x):
    k = (1 + 3 * x**2) / (1 + x + x**3)
    return gradient(phi(x), x) + (x + k) * phi(x) - x**3 - 2 * x - x**2 * k


def o2(phi, x):
    y = phi(x)
    first = gradient(y, x)
    return gradient(first, x) + first / 5 + y + torch.exp(-x / 5) * torch.cos(x) / 5


def laplacian(y, x):
    first = gradient(y, x)
    return gradient(first[:, :1], x)[:, :1] + gradient(first[:, 1:], x)[:, 1:], first


def p1(phi, xy):
    x, y = xy[:, :1], xy[:, 1:]
    return laplacian(phi(xy), xy)[0] - torch.exp(-x) * (x - 2 + y**3 + 6 * y)


def n1(phi, xy):
    x, y = xy[:, :1], xy[:, 1:]
    value = phi(xy)
    second, first = laplacian(value, xy)
    s = torch.sin(math.pi * x)
    return second + value * first[:, 1:] - s * (2 - math.pi**2 * y**2 + 2 * y**3 * s)


def sides(n):
    t = roots(n, 0.0, 1.0)[:, None]
    zero, one = torch.zeros_like(t), torch.ones_like(t)
    return torch.cat([zero, t], 1), torch.cat([one, t], 1), torch.cat([t, zero], 1), torch.cat([t, one], 1)


def conditions(problem, phi, n):
    if problem == "o1":
        return [phi(torch.zeros(1, 1)) - 1]
    if problem == "o2":
        x = torch.zeros(1, 1, requires_grad=True)
        y = phi(x)
        return [y, gradient(y, x) - 1]
    left, right, bottom, top = sides(n)
    if problem == "p1":
        faces = torch.cat([left, right, bottom, top])
        return [phi(faces) - exact(problem, faces)]
    top.requires_grad_(True)
    slope = gradient(phi(top), top)[:, 1:]
    return [phi(torch.cat([left, right, bottom])), slope - 2 * torch.sin(math.pi * top[:, :1])]


def exact(problem, x):
    if problem == "o1":
        return torch.exp(-x**2 / 2) / (1 + x + x**3) + x**2
    if problem == "o2":
        return torch.exp(-x / 5) * torch.sin(x)
    x, y = x[:, :1], x[:, 1:]
    return torch.exp(-x) * (x + y**3) if problem == "p1" else y**2 * torch.sin(math.pi * x)


RESIDUALS = {"o1": o1, "o2": o2, "p1": p1, "n1": n1}


def train(request):
    problem, width = request["problem"], request["width"]
    torch.manual_seed(1)
    plane = problem in ("p1", "n1")
    phi = torch.nn.Sequential(
        torch.nn.Linear(2 if plane else 1, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))
    if plane:
        n = round(math.sqrt(request["points"]))
        t = roots(n, 0.0, 1.0)
        points = torch.cartesian_prod(t, t)
    else:
        n = request["points"]
        points = roots(n, 0.0, 2.0)[:, None]
    points.requires_grad_(True)
    optimiser = torch.optim.LBFGS(
        phi.parameters(), max_iter=request["steps"], max_eval=10 * request["steps"], history_size=50,
        tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = (RESIDUALS[problem](phi, points) ** 2).mean()
        for rest in conditions(problem, phi, n):
            loss = loss + 100 * (rest**2).mean()
        loss.backward()
        return loss

    begin = time.perf_counter()
    optimiser.step(closure)
    seconds = time.perf_counter() - begin
    steps = optimiser.state[optimiser._params[0]]["n_iter"]
    with torch.no_grad():
        error = (phi(points) - exact(problem, points)).abs().max().item()
    return {"seconds": seconds, "steps": steps, "error": error}


print("{}", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request.get("quit"):
        break
    print(json.dumps(train(request)), flush=True)
