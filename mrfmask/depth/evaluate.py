"""How good ways to spend a budget are: errors frame by frame, and what they say together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.depth.budget import budget_of, measure
from mrfmask.depth.controls import Control
from mrfmask.depth.frames import Frame, FrameBatch, collate_frames
from mrfmask.depth.masking import Masking
from mrfmask.depth.metrics import PairedRatio, depth_metrics, paired_ratio
from mrfmask.depth.phases import Phases, buy
from mrfmask.depth.reconstruct import Fills, fill

Record = dict[str, Any]
# Completes depth: called with measured depths, their mask, the picture if it has an attribute
# `picture` that is true, and ``fills=``, as a `Predictor` is.
Predict = Callable[..., Tensor]
# What methods are compared with.
BASELINES = ("random", "k_center")
# Of fewer places an interval says nothing: drawn again, most draws would be the same.
LEAST_PLACES = 4
# Metres; stands in for an error of 0, which ratios do not take.
LEAST_ERROR = 1e-9


def bought_by(
    masking: Masking | Control, frames: FrameBatch, count: int, phases: Phases, seed: int = 0
) -> Bool[Tensor, "batch height width"]:
    """What a method or a control buys."""
    if isinstance(masking, Control):
        return masking.buy(frames, count, phases, seed)
    return buy(masking, frames, count, phases, seed)


def evaluate_frame(
    frame: Frame,
    masking: Masking | Control,
    phases: Phases,
    share: float,
    predictors: Mapping[str, Predict],
    seed: int = 0,
) -> Record:
    """Spends a budget on a frame, completes its depth and measures the errors.

    Args:
        frame: with all its depths.
        masking: says what to buy.
        phases: how the budget is spent.
        share: the budget, a share of all pixels, in (0, 1].
        predictors: trained ways to complete depth, by name; beside them always linear and nearest.
        seed: of random numbers; the draws hang on it and the frame's name alone.

    Returns:
        Plain values: method, phases (their number), share, frame, place, count, and ``metrics``:
        of every reconstruction by name all of `depth_metrics`.

    Raises:
        ValueError: the frame has fewer valid pixels than the budget buys.

    Example:
        >>> from mrfmask.depth import SyntheticFrames
        >>> from mrfmask.depth.masking import MASKINGS
        >>> from mrfmask.depth.phases import Phases
        >>> frame = SyntheticFrames(1, size=(24, 32))[0]
        >>> record = evaluate_frame(frame, MASKINGS["k_center"](), Phases(), 0.05, {})
        >>> record["count"], sorted(record["metrics"])
        (38, ['linear', 'nearest'])
    """
    count = budget_of(frame.valid, share)
    batch = collate_frames([frame])
    mask = bought_by(masking, batch, count, phases, seed)
    found = {
        name: depth_metrics(predicted, batch.depth, batch.valid, mask)
        for name, predicted in reconstructions(batch, mask, predictors).items()
    }
    return {
        "method": masking.name,
        "phases": phases.count,
        "share": share,
        "frame": frame.name,
        "place": frame.place,
        "count": int(mask.sum()),
        "metrics": {
            name: {metric: value.item() for metric, value in values.items()}
            for name, values in found.items()
        },
    }


@torch.no_grad()
def reconstructions(
    frames: FrameBatch, mask: Bool[Tensor, "batch height width"], predictors: Mapping[str, Predict]
) -> dict[str, Tensor]:
    """Dense depths from what a mask buys, by the name of the way: linear, nearest, predictors."""
    bought = measure(frames.depth, frames.valid, mask)
    fills: Fills = fill(bought, mask)
    found = {"linear": fills.linear, "nearest": fills.nearest}
    for name, net in predictors.items():
        seen = (frames.picture,) if getattr(net, "picture", False) else ()
        found[name] = net(bought, mask, *seen, fills=fills)
    return found


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a method does on average.

    Attributes:
        method, phases, share, reconstruction: what it is about.
        frames: how many.
        means: mean over frames of every metric.
        ratios: of the RMSE to that of each baseline on the same frames, at the same budget, with
            the same reconstruction and the fewest phases it was tried with; None where there is
            but one moment, and so no interval.
        over: what the intervals were drawn over: "places", "moments" where there are fewer than 4
            places, or "" for none.
    """

    method: str
    phases: int
    share: float
    reconstruction: str
    frames: int
    means: dict[str, float]
    ratios: dict[str, PairedRatio | None]
    over: str

    def plain(self) -> Record:
        """Its values for JSON."""
        return asdict(self)


def summarise(records: Iterable[Record], against: Sequence[str] = BASELINES) -> list[Row]:
    """Rows of a table, one for every method, number of phases, budget and reconstruction.

    They come in the order of the records' first of each. A baseline is left out of the ratios of
    rows that have no frame in common with it.

    Args:
        records: of `evaluate_frame`, one for each frame of every combination.
        against: names of the baselines.
    """
    groups: dict[tuple, dict[str, Record]] = defaultdict(dict)
    for record in records:
        for name in record["metrics"]:
            key = (record["share"], record["method"], record["phases"], name)
            groups[key][record["frame"]] = record
    return [_row(key, groups, against) for key in groups]


def _row(key: tuple, groups: Mapping[tuple, dict[str, Record]], against: Sequence[str]) -> Row:
    share, method, phases, name = key
    records = groups[key]
    metrics = [record["metrics"][name] for record in records.values()]
    ratios, over = {}, ""
    for baseline in against:
        tried = [k for k in groups if (k[0], k[1], k[3]) == (share, baseline, name)]
        if tried:
            other = groups[min(tried, key=lambda k: k[2])]
            common = [frame for frame in records if frame in other]
            if common:
                places, over = _places([records[frame] for frame in common])
                ratios[baseline] = _ratio(records, other, common, places, name)
    return Row(
        method=method,
        phases=phases,
        share=share,
        reconstruction=name,
        frames=len(records),
        means={m: sum(found[m] for found in metrics) / len(metrics) for m in metrics[0]},
        ratios=ratios,
        over=over,
    )


def _ratio(
    ours: Mapping[str, Record],
    theirs: Mapping[str, Record],
    frames: Sequence[str],
    places: list[str],
    name: str,
) -> PairedRatio | None:
    if not places:
        return None
    errors = [
        [max(records[frame]["metrics"][name]["rmse"], LEAST_ERROR) for frame in frames]
        for records in (ours, theirs)
    ]
    return paired_ratio(*errors, places)


def _places(records: Sequence[Record]) -> tuple[list[str], str]:
    """What resembles each other, for every record; and what that is called."""
    places = [record["place"] for record in records]
    if len(set(places)) >= LEAST_PLACES:
        return places, "places"
    # Cuts of one picture are named by it, then their number.
    moments = [record["frame"].partition("#")[0] for record in records]
    return (moments, "moments") if len(set(moments)) > 1 else ([], "")
