"""Records and tables of an evaluation, against numbers computed by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from mrfmask.depth import Frame, SyntheticFrames, budget_of, collate_frames
from mrfmask.depth.cases import make_cases
from mrfmask.depth.evaluate import bought_by, evaluate_frame, reconstructions, summarise
from mrfmask.depth.judged import judged_frames
from mrfmask.depth.masking import MASKINGS, Masking
from mrfmask.depth.metrics import paired_ratio
from mrfmask.depth.phases import Phases
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.table import cells, columns, markdown, note
from mrfmask.depth.training.task import make_task

FRAMES = SyntheticFrames(6, size=(24, 32))


class Ends(Masking):
    """Buys the first and the last pixel of a row."""

    name = "ends"

    def _choose(self, view, count):
        mask = torch.zeros_like(view.valid)
        mask[:, :, 0] = mask[:, :, -1] = True
        return mask


def line(depths, name="a", place="p"):
    """A frame of one row of pixels; 0 is no depth."""
    depth = torch.tensor([depths])
    return Frame(torch.zeros(3, *depth.shape), depth, depth > 0, place, name)


def test_record_holds_hand_computed_errors():
    # On one line the linear fill is the nearest depth: 1 1 | 5 5 for 1 2 0 5, without the third.
    record = evaluate_frame(
        line([1.0, 2.0, 0.0, 5.0]),
        Ends(),
        Phases(),
        0.5,
        {"double": lambda depth, mask, fills: 2 * fills.nearest},
    )
    assert {k: v for k, v in record.items() if k != "metrics"} == {
        "method": "ends",
        "phases": 1,
        "share": 0.5,
        "frame": "a",
        "place": "p",
        "count": 2,
    }
    assert list(record["metrics"]) == ["linear", "nearest", "double"]
    assert record["metrics"]["linear"]["mae"] == pytest.approx(1 / 3)
    assert record["metrics"]["nearest"]["rmse"] == pytest.approx(math.sqrt(1 / 3))
    # 2, 2 and 10 instead of 1, 2 and 5.
    assert record["metrics"]["double"]["rmse"] == pytest.approx(math.sqrt((1 + 0 + 25) / 3))
    assert record["metrics"]["double"]["abs_rel"] == pytest.approx((1 + 0 + 1) / 3)
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_table_equals_hand_computed_numbers_on_two_frames(monkeypatch):
    monkeypatch.setattr("mrfmask.depth.evaluate.LEAST_PLACES", 2)
    frames = [line([1.0, 2.0, 5.0], "a", "p"), line([2.0, 6.0, 2.0], "b", "q")]
    records = []
    for frame in frames:
        record = evaluate_frame(frame, Ends(), Phases(), 2 / 3, {})
        records += [record, {**record, "method": "random"}]
        # The other method is off by twice as much in the second place alone.
        if frame.name == "b":
            linear = dict(records[-1]["metrics"]["linear"])
            linear["rmse"] *= 2
            records[-1]["metrics"] = {**records[-1]["metrics"], "linear": linear}
    rows = {(r.method, r.reconstruction): r for r in summarise(records)}
    ours = rows["ends", "linear"]
    errors = [math.sqrt(1 / 3), 4 / math.sqrt(3)]
    assert ours.frames == 2
    assert ours.over == "places"
    assert ours.means["rmse"] == pytest.approx(sum(errors) / 2)
    assert ours.means["mae"] == pytest.approx((1 / 3 + 4 / 3) / 2)
    ratio = ours.ratios["random"]
    assert ratio.ratio == pytest.approx(sum(errors) / (errors[0] + 2 * errors[1]))
    # Both places drawn alike: 1 and 1/2 are the least and the largest there are.
    assert (ratio.low, ratio.high) == (pytest.approx(0.5), pytest.approx(1.0))
    assert "k_center" not in ours.ratios
    assert rows["random", "nearest"].ratios["random"].ratio == 1.0
    text = cells(ours, list(rows.values()))
    assert text[:4] == ["66.6667 %", "ends", "1", "linear"]
    assert text[4] == format(sum(errors) / 2, ".3f")
    assert text[-2].startswith(format(ratio.ratio, ".3f"))
    assert text[-1] == "2"
    assert markdown(list(rows.values())).count("\n| ") == len(rows) + 1
    assert len(columns(list(rows.values()))) == len(text)


def test_ratios_are_those_of_the_metrics_module():
    cases = make_cases(["random", "long_range"], [1], [0.02], None, FRAMES)
    records = [
        evaluate_frame(FRAMES[i], c.masking, c.phases, c.share, {}) for i in range(6) for c in cases
    ]
    (row,) = (
        r for r in summarise(records) if (r.method, r.reconstruction) == ("long_range", "linear")
    )
    errors = {
        name: [r["metrics"]["linear"]["rmse"] for r in records if r["method"] == name]
        for name in ("random", "long_range")
    }
    expected = paired_ratio(errors["long_range"], errors["random"], FRAMES.places)
    assert row.ratios == {"random": expected}


@pytest.mark.parametrize("places", ["pppp", "pppq", "ppqr"])
def test_intervals_of_few_places_are_over_their_moments(places):
    frame = line([1.0, 2.0, 5.0])
    record = evaluate_frame(frame, Ends(), Phases(), 2 / 3, {})
    names = zip(["3#0", "3#1", "4#0", "4#1"], places, strict=True)
    records = [{**record, "frame": name, "place": place} for name, place in names]
    records += [{**r, "method": "random"} for r in records]
    rows = summarise(records)
    assert {row.over for row in rows} == {"moments"}
    assert rows[0].ratios["random"].places == 2
    assert "moments of few places" in note(rows)
    alone = summarise([r for r in records if r["frame"] == "3#0"])
    assert alone[0].over == ""
    assert alone[0].ratios == {"random": None}
    assert "too few places" in note(alone)
    assert cells(alone[0], alone)[-2] == ""


def test_baselines_are_compared_on_the_same_frames_in_one_phase():
    records = []
    for name, place, error in (("a", "p", 1.0), ("b", "q", 2.0), ("c", "r", 40.0)):
        made = {"share": 0.1, "frame": name, "place": place}
        ours = {"linear": {"rmse": error}}
        theirs = {"linear": {"rmse": 2 * error}}
        records.append({**made, "method": "ours", "phases": 4, "metrics": ours})
        if name != "c":
            records.append({**made, "method": "random", "phases": 1, "metrics": theirs})
        records.append({**made, "method": "random", "phases": 4, "metrics": ours})
    row = summarise(records)[0]
    assert row.frames == 3
    assert row.ratios["random"].ratio == pytest.approx(3 / 6)


def test_intervals_are_said_to_be_over_places_when_a_baseline_has_other_frames():
    records = [
        evaluate_frame(FRAMES[i], MASKINGS[name](), Phases(), 0.05, {})
        for name, indices in (("grid", range(5)), ("random", range(5)), ("k_center", [5]))
        for i in indices
    ]
    row = summarise(records)[0]
    assert (row.method, row.over, list(row.ratios)) == ("grid", "places", ["random"])


def test_errors_of_zero_have_a_ratio():
    record = evaluate_frame(line([1.0, 2.0, 5.0]), Ends(), Phases(), 2 / 3, {})
    exact = {"linear": {"rmse": 0.0}}
    records = [
        {**record, "method": method, "frame": name, "place": name, "metrics": metrics}
        for name in "ab"
        for method, metrics in (("full", exact), ("random", {"linear": {"rmse": 1.0}}))
    ]
    assert summarise(records)[0].ratios["random"].ratio == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("share", [0.005, 0.01, 0.02, 0.05, 0.1])
def test_budget_is_exact(share):
    cases = make_cases(
        ["random", "k_center", "long_range", "flat", "greedy"], [1, 3], [share], None, FRAMES
    )
    assert len(cases) == 7  # phases change long_range and flat alone
    for index in range(2):
        for case in cases:
            frame = FRAMES[index]
            record = evaluate_frame(frame, case.masking, case.phases, case.share, {})
            assert record["count"] == round(share * 24 * 32)


def test_evaluation_refuses_a_frame_with_too_few_valid_pixels():
    with pytest.raises(ValueError, match="budget must be at most the valid pixels"):
        evaluate_frame(line([1.0, 0.0, 0.0]), Ends(), Phases(), 0.9, {})


def test_judged_frames_are_the_test_side_of_a_training():
    said = []
    options = {"count": 14, "size": (12, 16), "seed": 3}
    frames = judged_frames(["synthetic"], shares=[0.01, 0.05], notice=said.append, **options)
    task = make_task(["synthetic"], shares=(0.01, 0.05), **options)
    assert frames.names == [frame.name for frame in task.test]
    assert frames.places == [frame.place for frame in task.test]
    assert frames.names == [frames[i].name for i in range(len(frames))]
    everything = judged_frames(["synthetic"], shares=[0.05], split="all", **options)
    assert len(everything) == 14


def test_judged_frames_leave_out_and_name_those_with_too_few_pixels():
    said = []
    options = {"count": 10, "size": (24, 32), "split": "all", "notice": said.append}
    frames = judged_frames(["synthetic"], shares=[0.01, 0.6], **options)
    every = SyntheticFrames(10, size=(24, 32))
    enough = [f.name for f in (every[i] for i in range(10)) if f.valid.sum() >= 461]
    assert 0 < len(enough) < 10
    assert frames.names == enough
    assert len(said) == 10 - len(enough)
    assert said[0].startswith("Left out ")
    with pytest.raises(ValueError, match="got none to judge"):
        judged_frames(["synthetic"], shares=[1.0], **options)
    with pytest.raises(ValueError, match="budget must be a share"):
        judged_frames(["synthetic"], shares=[0.0001, 0.1], **options)


def test_reconstructions_are_called_with_measured_depths_alone():
    seen = {}

    def spy(depth, mask, fills):
        seen.update(depth=depth, mask=mask)
        return fills.linear

    batch = collate_frames([FRAMES[0]])
    count = budget_of(batch.valid, 0.05)
    mask = bought_by(MASKINGS["random"](), batch, count, Phases())
    found = reconstructions(batch, mask, {"net": spy})
    assert torch.equal(seen["mask"], mask)
    assert torch.equal(seen["depth"], torch.where(mask, batch.depth, 0))
    assert torch.equal(found["net"], found["linear"])


def test_reconstructions_show_the_picture_to_predictors_that_look_at_it():
    torch.manual_seed(0)
    net = Predictor(width=8, picture=True).eval()
    torch.nn.init.normal_(net.net.head[-1].weight)
    batch = collate_frames([FRAMES[0]])
    mask = bought_by(MASKINGS["random"](), batch, 40, Phases())
    found = reconstructions(batch, mask, {"net": net})["net"]
    with torch.no_grad():
        expected = net(batch.depth, mask, batch.picture)
    assert torch.equal(found, expected)
    dark = replace(batch, picture=torch.zeros_like(batch.picture))
    assert not torch.equal(reconstructions(dark, mask, {"net": net})["net"], found)
