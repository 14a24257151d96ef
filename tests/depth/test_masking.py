"""Masking methods: the promise that all keep, and what each may look at."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import dataclass, replace

import pytest
import torch

from mrfmask.depth import SyntheticFrames, budget_of, collate_frames
from mrfmask.depth.density_net import DensityNet, PositionPrior
from mrfmask.depth.masking import MASKINGS, Masking, first_view
from mrfmask.depth.phases import Phases, buy
from mrfmask.nn import MaskNet

SIZE = (48, 64)
BUDGETS = (0.005, 0.01, 0.02, 0.05, 0.1)
# Two rooms and two streets.
FRAMES = collate_frames([SyntheticFrames(4, 3, SIZE)[index] for index in range(4)])
# Methods of one class but for their names are called once.
GRID = "ising_score"
LOOK = {"superpixel", "ising_density", GRID}
NAMES = [
    name for name, masking in MASKINGS.items() if masking.net_class is not MaskNet or name == GRID
]


def make(name: str, seed: int = 0) -> Masking:
    """The method, with a network whose weights are random where it has one."""
    kind = MASKINGS[name]
    if kind.net_class is None:
        return kind()
    torch.manual_seed(seed)
    if kind.net_class is PositionPrior:
        net = PositionPrior(12, 16)
        net.maps.normal_()
        return kind(net=net)
    if kind.net_class is DensityNet:
        net = DensityNet(8, dropout=0.5)
        torch.nn.init.normal_(net.net.head[-1].weight)
        return kind(net=net)
    return kind(net=MaskNet(width=8, coupling="repulsive", rate=0.05))


@pytest.fixture(scope="module")
def maskings() -> dict[str, Masking]:
    return {name: make(name) for name in NAMES}


def part(frames, keep):
    """Some frames of a batch."""
    return replace(
        frames,
        picture=frames.picture[keep],
        depth=frames.depth[keep],
        valid=frames.valid[keep],
        places=tuple(frames.places[i] for i in keep),
        names=tuple(frames.names[i] for i in keep),
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", BUDGETS)
def test_masking_buys_exactly_the_budget_of_valid_pixels(maskings, name, budget):
    count = budget_of(FRAMES.valid, budget)
    mask = maskings[name](first_view(FRAMES), count)
    assert not (mask & ~FRAMES.valid).any()
    wanted = {"none": 0, "full": FRAMES.valid.sum((1, 2))}.get(name, count)
    assert (mask.sum((1, 2)) == wanted).all()


@pytest.mark.parametrize("name", NAMES)
def test_masking_keeps_what_was_taken(maskings, name):
    draws = torch.Generator().manual_seed(1)
    taken = FRAMES.valid & (torch.rand(FRAMES.valid.shape, generator=draws) < 0.02)
    count = int(taken.sum((1, 2)).max())
    view = replace(first_view(FRAMES), taken=taken)
    for more in (0, 7):
        mask = maskings[name](view, count + more)
        assert not (taken & ~mask).any()
        if maskings[name].budgeted:
            assert (mask.sum((1, 2)) == count + more).all()


@pytest.mark.parametrize("name", NAMES)
def test_mask_of_a_frame_hangs_on_its_name_and_the_seed_alone(maskings, name):
    """Not on the other frames of the batch, nor on how often the method was called."""
    masking, count = maskings[name], 60
    together = masking(first_view(FRAMES, seed=5), count)
    for index in (3, 1):
        alone = masking(first_view(part(FRAMES, [index]), seed=5), count)
        assert torch.equal(alone[0], together[index])
    other = masking(first_view(FRAMES, seed=6), count)
    renamed = replace(FRAMES, names=("a", "b", "c", "d"))
    assert torch.equal(other, together) == (name not in {"random", "poisson_disk"})
    again = masking(first_view(renamed, seed=5), count)
    assert torch.equal(again, together) == (name not in {"random", "poisson_disk"})


@pytest.mark.parametrize("name", NAMES)
def test_only_methods_that_look_at_pictures_change_with_them(maskings, name):
    shuffled = replace(FRAMES, picture=FRAMES.picture[[1, 2, 3, 0]])
    masks = [maskings[name](first_view(frames), 60) for frames in (FRAMES, shuffled)]
    same = (masks[0] == masks[1]).all(dim=(1, 2))
    assert not same.any() if name in LOOK else same.all()


@pytest.mark.parametrize("name", [name for name in NAMES if MASKINGS[name].budgeted])
def test_masking_never_sees_depth_in_one_phase(maskings, name):
    deeper = replace(FRAMES, depth=2 * FRAMES.depth + FRAMES.valid)
    masks = [buy(maskings[name], frames, 40, Phases()) for frames in (FRAMES, deeper)]
    assert torch.equal(*masks)


@pytest.mark.parametrize("name", NAMES)
def test_masking_works_on_thin_and_on_tiny_frames(maskings, name):
    for size in ((1, 40), (40, 1), (1, 1)):
        valid = torch.ones(1, *size, dtype=torch.bool)
        frames = replace(
            part(FRAMES, [0]), picture=torch.rand(1, 3, *size), depth=valid.float(), valid=valid
        )
        count = min(4, valid.numel())
        mask = maskings[name](first_view(frames), count)
        assert int(mask.sum()) == {"none": 0, "full": valid.numel()}.get(name, count)


@pytest.mark.parametrize("name", NAMES)
def test_masking_finds_the_only_valid_pixel(maskings, name):
    valid = torch.zeros_like(FRAMES.valid[:1])
    valid[0, 7, 11] = True
    frames = replace(part(FRAMES, [0]), valid=valid, depth=valid.float())
    mask = maskings[name](first_view(frames), 1)
    assert torch.equal(mask, valid & (name != "none"))


@pytest.mark.parametrize("name", sorted({"prior", "ising_density", "random", "k_center"}))
def test_view_may_be_float64(maskings, name):
    view = first_view(FRAMES)
    double = replace(view, picture=view.picture.double(), log_weight=view.log_weight.double())
    assert torch.equal(maskings[name](double, 40), maskings[name](view, 40))


@pytest.mark.parametrize("name", MASKINGS)
def test_masking_can_be_pickled(name):
    masking = make(name)
    again = pickle.loads(pickle.dumps(masking))
    assert type(again) is type(masking)
    assert again.options() == masking.options()


@pytest.mark.parametrize("name", MASKINGS)
def test_options_make_the_masking_again(name):
    masking = make(name)
    net = {} if masking.net_class is None else {"net": masking.net}
    assert type(masking)(**net, **masking.options()) == masking
    assert json.loads(json.dumps(masking.options())) == masking.options()


def test_density_says_where_to_buy():
    """A density of e^6 on the left half: nearly all picks lie there; none where not valid."""
    net = PositionPrior(1, 2)
    net.maps[:, :, 0], net.maps[:, :, 1] = 3.0, -3.0
    valid = torch.ones_like(FRAMES.valid)
    valid[:, :, :8] = False
    frames = replace(FRAMES, valid=valid, depth=valid.float())
    count = 50
    mask = MASKINGS["prior"](net=net)(first_view(frames), count)
    assert (mask[..., 8:24].sum((1, 2)) > 0.6 * count).all()
    # Bought depths and the trust in the picture shift it as the formula says.
    view = first_view(frames)
    density = net.log_density(frames.picture, count / (SIZE[0] * SIZE[1]))
    equal = MASKINGS["prior"](net=net)(replace(view, trust=0.5, log_weight=-density / 2), count)
    assert torch.equal(equal, MASKINGS["long_range"]()(view, count))
    sharp = MASKINGS["prior"](net=net, sharpness=0.25)(view, count)
    weak = MASKINGS["prior"](net=net)(replace(view, trust=0.25), count)
    assert torch.equal(sharp, weak)
    assert sharp[..., 8:24].sum() < mask[..., 8:24].sum()


def test_density_masking_needs_its_network():
    for name, net in (("ising_density", PositionPrior(2, 2)), ("prior", None)):
        with pytest.raises(
            TypeError, match=f"net must be a .* for {name}; got {type(net).__name__}"
        ):
            MASKINGS[name](net=net)
    with pytest.raises(ValueError, match="sharpness must be positive"):
        MASKINGS["prior"](net=PositionPrior(2, 2), sharpness=0.0)
    with pytest.raises(ValueError, match=re.escape("exponent must lie in 1..16; got 17")):
        MASKINGS["prior"](net=PositionPrior(2, 2), exponent=17)


@dataclass(frozen=True, kw_only=True)
class Broken(Masking):
    """Breaks the promise in one of three ways."""

    how: str
    name = "broken"

    def _choose(self, view, count):
        mask = MASKINGS["k_center"]()(view, count)
        pixels = {"count": mask, "valid": ~view.valid, "taken": view.taken}[self.how].nonzero()
        mask[tuple(pixels[-1 if self.how == "count" else 0])] ^= True
        if self.how != "count":  # as many as before
            pixels = (~mask & view.valid if self.how == "taken" else mask & view.valid).nonzero()
            mask[tuple(pixels[-1])] ^= True
        return mask


@pytest.mark.parametrize("how", ["count", "valid", "taken"])
def test_masking_that_breaks_the_promise_is_caught(how):
    frames = part(FRAMES, [1])
    taken = torch.zeros_like(frames.valid)
    taken[tuple(frames.valid.nonzero()[0])] = True
    view = replace(first_view(frames), taken=taken)
    with pytest.raises(RuntimeError, match="broken must keep the budget, the taken and the valid"):
        Broken(how=how)(view, 20)


def test_counts_that_no_mask_has_are_refused():
    masking, view = MASKINGS["random"](), first_view(FRAMES)
    least = int(FRAMES.valid.sum((1, 2)).min())
    message = f"count must lie between the pixels taken and the valid ones, 0..{least}; got"
    with pytest.raises(ValueError, match=re.escape(message)):
        masking(view, least + 1)
    taken = FRAMES.valid & (torch.arange(SIZE[1]) < SIZE[1] // 2)
    with pytest.raises(ValueError, match=r"count must lie between the pixels taken .*; got 5\."):
        masking(replace(view, taken=taken), 5)
    for count, error in ((0, ValueError), (0.01, TypeError), (True, TypeError)):
        with pytest.raises(error, match="count must"):
            masking(view, count)
    with pytest.raises(TypeError, match=r"view must be a View; got FrameBatch\. Use first_view"):
        masking(FRAMES, 5)


def test_views_are_checked():
    view = first_view(FRAMES)
    with pytest.raises(TypeError, match="frames must be a FrameBatch; got Frame"):
        first_view(SyntheticFrames(1, size=(4, 4))[0])
    with pytest.raises(ValueError, match=r"taken must lie on valid pixels; got \(0, \d+, \d+\)"):
        replace(view, taken=torch.ones_like(view.valid))
    with pytest.raises(TypeError, match="valid must be a bool tensor"):
        replace(view, valid=view.valid.float())
    with pytest.raises(ValueError, match="log_weight must be finite"):
        replace(view, log_weight=view.log_weight - torch.inf)
    with pytest.raises(ValueError, match=re.escape("picture must have shape (4, 3, 48, 64)")):
        replace(view, picture=view.picture[:, :1])
    with pytest.raises(ValueError, match=re.escape("trust must lie in [0, 1]; got 1.5")):
        replace(view, trust=1.5)
    with pytest.raises(ValueError, match="seeds must have one int for each of 4 images; got 1"):
        replace(view, seeds=[3])
    with pytest.raises(ValueError, match="at least one image and pixel"):
        first_view(replace(FRAMES, depth=FRAMES.depth[:0], valid=FRAMES.valid[:0], names=()))
