"""A mask layer within somebody else's depth model: where to measure, learned with what it is for.

`DepthNet` is a plain encoder-decoder as one finds it anywhere; `MaskedDepth` puts a mask before it,
and both are trained together on synthetic frames. The same network is trained on random and on
k-center masks with as many pixels, for comparison. Run it with::

    python examples/mask_layer_in_depth_net.py --steps 400 --budget 0.04 --out masks.png
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import pairwise

import matplotlib.figure
import torch
from torch import Tensor, nn

import mrfmask as mm
from mrfmask.depth import FrameBatch, SyntheticFrames, budget_of, collate_frames
from mrfmask.nn import MaskLayer, MaskNet

SIZE = (32, 40)
BATCH, LEARNING_RATE = 8, 3e-3
# Of the estimators that make masks of exactly the budget; tv_prox and gumbel also make soft ones.
OPTIONS = {
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
        self.register_buffer("even", evenness(count))

    def forward(self, batch: FrameBatch) -> tuple[Tensor, Tensor]:
        """Completed depths and the masks, each (batch, 1, height, width)."""
        model = self.look(batch.picture)
        model = mm.IsingGrid(model.unary + self.even, model.right, model.down)
        mask = self.choose(model.clamp(off=~batch.valid))[:, None]
        return self.complete(batch.picture, mask * batch.depth[:, None], mask), mask


def evenness(count: int) -> Tensor:
    """Logarithm of `count` over a pixel's rank in the order in which k-center takes all pixels.

    By itself it makes an even mask. Where a network adds log c, it makes a mask c times as dense,
    and even still: this is dithering, and without it picks crowd together.
    """
    pixels = SIZE[0] * SIZE[1]
    rank = torch.full(SIZE, float(pixels))
    steps = sorted({round(1.1**power) for power in range(75)}, reverse=True)
    for first in (step for step in steps if step < pixels):
        rank[even_masks(torch.ones(1, *SIZE, dtype=torch.bool), first)[0]] = first
    return (count / rank).log()


# ---- training and comparison ---------------------------------------------------------------------


def even_masks(valid: Tensor, count: int) -> Tensor:
    """The k-center masks of a batch."""
    return mm.select(torch.zeros(valid.shape).where(valid, -torch.inf), "k_center", budget=count)


def random_masks(valid: Tensor, count: int, seed: int) -> Tensor:
    """Random masks of a batch."""
    scores = torch.zeros(valid.shape).where(valid, -torch.inf)
    return mm.select(scores, "random", budget=count, seed=seed)


def errors(depth: Tensor, batch: FrameBatch) -> Tensor:
    """The mean absolute error of every frame as a share of its mean depth, valid pixels alone."""
    wrong = (depth[:, 0] - batch.depth).abs().where(batch.valid, 0)
    return wrong.sum((1, 2)) / batch.depth.sum((1, 2))


def frames_of(count: int, seed: int) -> list:
    """Rooms and streets; other seeds give other ones."""
    frames = SyntheticFrames(count, seed, SIZE)
    return [frames[index] for index in range(count)]


Run = Callable[[FrameBatch, int], tuple[Tensor, Tensor]]


def train(net: nn.Module, run: Run, frames: list, steps: int, seed: int) -> None:
    """Trains a network so that ``run(batch, step)``, its depths and masks, has small errors."""
    draws = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    net.train()
    for step in range(steps):
        chosen = torch.randint(len(frames), (BATCH,), generator=draws).tolist()
        batch = collate_frames([frames[index] for index in chosen])
        loss = errors(run(batch, step)[0], batch).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        rates.step()
    net.eval()


def compare(
    steps: int, estimator: str, budget: float, frames: int, seed: int
) -> tuple[FrameBatch, dict[str, tuple[Tensor, Tensor]]]:
    """Test frames, and for every kind of mask the errors and masks on them."""
    seen, test = frames_of(frames, seed), collate_frames(frames_of(60, seed + 1))
    count = budget_of(test.valid, budget)
    seen = [frame for frame in seen if int(frame.valid.sum()) >= count]

    def measured(net: DepthNet, batch: FrameBatch, mask: Tensor) -> tuple[Tensor, Tensor]:
        mask = mask[:, None].float()
        return net(batch.picture, mask * batch.depth[:, None], mask), mask

    torch.manual_seed(seed)
    learned = MaskedDepth(count, estimator, seed)
    plain = {name: DepthNet() for name in ("random", "k_center")}
    for net in plain.values():
        net.load_state_dict(learned.complete.state_dict())  # all start alike
    runs: dict[str, tuple[nn.Module, Run]] = {
        "random": (
            plain["random"],
            lambda batch, step: measured(
                plain["random"], batch, random_masks(batch.valid, count, seed + step)
            ),
        ),
        "k_center": (
            plain["k_center"],
            lambda batch, step: measured(plain["k_center"], batch, even_masks(batch.valid, count)),
        ),
        "learned": (learned, lambda batch, step: learned(batch)),
    }
    results = {}
    for name, (net, run) in runs.items():
        train(net, run, seen, steps, seed)
        with torch.no_grad():
            depth, mask = run(test, steps)
        assert (mask.sum((1, 2, 3)) == count).all()
        results[name] = errors(depth, test), mask[:, 0]
    return test, results


def draw(test: FrameBatch, results: dict[str, tuple[Tensor, Tensor]], out: str) -> None:
    """A picture of four frames and their masks."""
    figure = matplotlib.figure.Figure(figsize=(2.2 * (2 + len(results)), 7.2))
    axes = figure.subplots(4, 2 + len(results))
    for index, row in enumerate(axes):
        picture = test.picture[index].permute(1, 2, 0)
        row[0].imshow(picture)
        row[1].imshow(test.depth[index].where(test.valid[index], torch.nan), cmap="magma")
        for axis, (_, mask) in zip(row[2:], results.values(), strict=True):
            axis.imshow(picture * 0.5)
            rows, columns = mask[index].nonzero().unbind(dim=1)
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
    parser.add_argument("--steps", type=int, default=400, help="of each of the three trainings")
    parser.add_argument("--estimator", choices=OPTIONS, default="tv_prox")
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
