"""A mask layer within somebody else's depth model: where to measure, learned with what it is for.

`DepthNet` is a plain encoder-decoder as one finds it anywhere; `MaskedDepth` puts a mask before it,
and both are trained together on synthetic frames. The same network is trained on random and on
k-center masks with as many pixels, for comparison. Run it with::

    python examples/mask_layer_in_depth_net.py --steps 300 --budget 0.04 --out masks.png

With these options and seed 0, on 60 frames that were not seen, masks of 51 pixels gave:

    masks     estimator         error  to random
    random                     0.1214      1.000
    k_center                   0.0942      0.776
    learned   score_function   0.0948      0.781
    learned   gumbel           0.1082      0.891
    learned   tv_prox          0.1145      0.943

So the learned mask is much better than random, and as good as k-center, whose even masks it starts
from: 300 steps do not teach it more. `score_function` has an unbiased gradient, and four masks a
picture; straight-through gradients are biased, and lead it away from good masks. One seed: a
difference of a few per cent means nothing.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import matplotlib.figure
import torch
from torch import Tensor, nn

import mrfmask as mm
from mrfmask.depth import SyntheticFrames, collate_frames
from mrfmask.nn import MaskLayer, MaskNet

SIZE = (32, 40)
BATCH, LEARNING_RATE = 8, 3e-3
# Estimators that can make masks of exactly the budget.
OPTIONS = {
    "score_function": {"samples": 4, "beta": 2.0},
    "tv_prox": {"hard": True},
    "gumbel": {"hard": True},
    "mean_field": {"hard": True},
    "imle": {},
}


# ---- somebody else's model -----------------------------------------------------------------------


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A convolution, normalised and rectified."""
    layers = nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.GroupNorm(8, outputs), nn.ReLU()
    return nn.Sequential(*layers)


class DepthNet(nn.Module):
    """Completes a sparse depth map with the help of a picture; sides are multiples of 8."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        widths = [width, 2 * width, 3 * width, 4 * width]
        self.start = block(5, width)
        self.down = nn.ModuleList(
            nn.Sequential(block(a, b, stride=2), block(b, b)) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(block(a + b, b) for a, b in pairwise(reversed(widths)))
        self.end = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, picture: Tensor, sparse: Tensor, mask: Tensor) -> Tensor:
        """Depths (batch, 1, height, width) from measured ones, 0 elsewhere, and where they are."""
        scale = sparse.sum((1, 2, 3), keepdim=True) / mask.sum((1, 2, 3), keepdim=True)
        x = self.start(torch.cat([picture, sparse / scale, mask], dim=1))
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        for up in self.up:
            x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
            x = up(torch.cat([x, skips.pop()], dim=1))
        return scale * nn.functional.softplus(self.end(x) + 0.54)  # of 0.54 it is 1


# ---- the mask before it --------------------------------------------------------------------------


class MaskedDepth(nn.Module):
    """Looks at the picture, says what to measure, completes the depth."""

    def __init__(self, count: int, estimator: str, seed: int) -> None:
        super().__init__()
        self.look = MaskNet(width=8, rate=count / (SIZE[0] * SIZE[1]))
        self.choose = MaskLayer(estimator, budget=count, seed=seed, **OPTIONS[estimator])
        self.complete = DepthNet()

    def model(self, data: Data) -> mm.IsingGrid:
        """What the picture asks for, added to a preference for even masks."""
        asked = self.look(data.picture)
        model = mm.IsingGrid(asked.unary + data.even, asked.right, asked.down)
        return model.clamp(off=~data.valid)

    def loss(self, data: Data) -> Tensor:
        """What to minimise: both ends learn from the errors of the completed depth."""
        model = self.model(data)
        masks = self.choose(model)
        if self.choose.estimator.name != "score_function":
            return errors(self.complete, data, masks).mean()
        samples = masks.shape[1]  # several masks a picture
        losses = errors(self.complete, data.repeat(samples), masks.flatten(0, 1))
        return self.choose.surrogate(model, masks, losses.unflatten(0, (-1, samples)))


# ---- training and comparison ---------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    """Frames, and what makes even masks of them; tensors start with (frames, height, width)."""

    picture: Tensor
    depth: Tensor
    valid: Tensor
    even: Tensor

    def __getitem__(self, chosen: Tensor) -> Data:
        return Data(self.picture[chosen], self.depth[chosen], self.valid[chosen], self.even[chosen])

    def repeat(self, times: int) -> Data:
        """Every frame so many times."""
        return self[torch.arange(len(self.depth)).repeat_interleave(times)]


def make_data(frames: int, seed: int, budget: float) -> Data:
    """Rooms and streets with enough valid pixels; other seeds give other ones."""
    source = SyntheticFrames(frames, seed, SIZE)
    count = round(budget * SIZE[0] * SIZE[1])
    all_frames = (source[index] for index in range(frames))
    batch = collate_frames([frame for frame in all_frames if frame.valid.sum() > count])
    return Data(batch.picture, batch.depth, batch.valid, evenness(batch.valid, count))


def evenness(valid: Tensor, count: int) -> Tensor:
    """Half the logarithm of `count` over a pixel's rank in the order in which k-center takes them.

    By itself it makes an even mask. Where a network adds half of log c, it makes a mask c times as
    dense, and even still: this is dithering, and without it picks would crowd together.
    """
    rank = torch.full(valid.shape, 8.0 * count)
    for factor in (4, 2.8, 2, 1.7, 1.4, 1.2, 1, 0.85, 0.7, 0.5, 0.35, 0.25):
        number = min(round(factor * count), int(valid.sum((1, 2)).min()))
        rank[even_masks(valid, number)] = number
    return (count / rank).log() / 2


def even_masks(valid: Tensor, count: int) -> Tensor:
    """The k-center masks of a batch."""
    return mm.select(torch.zeros(valid.shape).where(valid, -torch.inf), "k_center", budget=count)


def random_masks(valid: Tensor, count: int, seed: int) -> Tensor:
    """Random masks of a batch."""
    scores = torch.zeros(valid.shape).where(valid, -torch.inf)
    return mm.select(scores, "random", budget=count, seed=seed)


def errors(complete: DepthNet, data: Data, masks: Tensor) -> Tensor:
    """The mean absolute error of every frame as a share of its mean depth, valid pixels alone."""
    masks = masks[:, None].to(data.depth)
    depth = complete(data.picture, masks * data.depth[:, None], masks)[:, 0]
    wrong = (depth - data.depth).abs().where(data.valid, 0)
    return wrong.sum((1, 2)) / data.depth.sum((1, 2))


def train(
    net: nn.Module, loss: Callable[[Data, int], Tensor], data: Data, steps: int, seed: int
) -> None:
    """Trains a network so that ``loss(batch, step)`` gets small."""
    draws = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    net.train()
    for step in range(steps):
        batch = data[torch.randint(len(data.depth), (BATCH,), generator=draws)]
        value = loss(batch, step)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        rates.step()
    net.eval()


Choose = Callable[[Data, int], Tensor]


def compare(
    steps: int, estimator: str, budget: float, frames: int, seed: int
) -> tuple[Data, dict[str, tuple[Tensor, Tensor]]]:
    """Test frames, and for every kind of mask the errors and masks on them."""
    count = round(budget * SIZE[0] * SIZE[1])
    seen = make_data(frames, 2 * seed, budget)
    test = make_data(max(frames // 5, 8), 2 * seed + 1, budget)
    torch.manual_seed(seed)
    learned = MaskedDepth(count, estimator, seed)
    results = {}
    for name, choose in {
        "random": lambda data, step: random_masks(data.valid, count, step),
        "k_center": lambda data, step: even_masks(data.valid, count),
    }.items():
        net = copy.deepcopy(learned.complete)  # all start alike

        def loss(data: Data, step: int, net: DepthNet = net, choose: Choose = choose) -> Tensor:
            return errors(net, data, choose(data, step)).mean()

        train(net, loss, seen, steps, seed)
        results[name] = net, choose(test, steps)
    train(learned, lambda data, step: learned.loss(data), seen, steps, seed)
    with torch.no_grad():
        results["learned"] = learned.complete, learned.choose(learned.model(test)) > 0
        return test, {n: (errors(net, test, mask), mask) for n, (net, mask) in results.items()}


def draw(test: Data, results: dict[str, tuple[Tensor, Tensor]], out: str) -> None:
    """A picture of four frames and their masks."""
    figure = matplotlib.figure.Figure(figsize=(2.2 * (2 + len(results)), 7.2))
    axes = figure.subplots(4, 2 + len(results))
    for index, row in enumerate(axes):
        picture = test.picture[index].permute(1, 2, 0).numpy()
        row[0].imshow(picture)
        depth = test.depth[index].where(test.valid[index], torch.nan)
        row[1].imshow(depth.numpy(), cmap="magma")
        for axis, (_, mask) in zip(row[2:], results.values(), strict=True):
            axis.imshow(picture * 0.5)
            rows, columns = mask[index].nonzero().numpy().T
            axis.scatter(columns, rows, s=3, c="yellow")
    for axis, title in zip(axes[0], ["picture", "depth", *results], strict=True):
        axis.set_title(title)
    for axis in axes.flat:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(out, dpi=80)


def main(arguments: list[str] | None = None) -> None:
    """Trains, prints a table and draws masks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--steps", type=int, default=300, help="of each of the three trainings")
    parser.add_argument("--estimator", choices=OPTIONS, default="score_function")
    parser.add_argument("--budget", type=float, default=0.04, help="share of all pixels")
    parser.add_argument("--frames", type=int, default=300, help="to learn from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="masks.png", help="picture of masks")
    given = parser.parse_args(arguments)
    test, results = compare(given.steps, given.estimator, given.budget, given.frames, given.seed)
    random = results["random"][0].mean()
    print(f"{'masks':10}{'error':>8}{'to random':>11}")
    for name, (error, _) in results.items():
        print(f"{name:10}{error.mean():8.4f}{error.mean() / random:11.3f}")
    draw(test, results, given.out)


if __name__ == "__main__":
    main()
