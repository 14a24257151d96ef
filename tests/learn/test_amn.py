"""AMN as an estimator: what it learns, what it remembers, what it says."""

from __future__ import annotations

import copy
import pickle
import re
from itertools import pairwise

import numpy as np
import pytest
import torch

import mrfmask as mm
from mrfmask.learn import AMN, amn

NODES = np.zeros((2, 3, 4, 2))
RIGHT, DOWN = np.ones((2, 3, 3, 1)), np.ones((2, 2, 4, 1))
TARGETS = np.zeros((2, 3, 4), dtype=bool)
TARGETS[:, :, :2] = True


def noisy(sizes, seed=0):
    """Images of half-planes seen through noise, with contrasts as edge features."""
    draws = np.random.default_rng(seed)
    nodes, right, down, targets = [], [], [], []
    for height, width in sizes:
        target = np.zeros((height, width), dtype=bool)
        target[:, max(1, width // 3) :] = True
        seen = target - 0.5 + 0.7 * draws.standard_normal((height, width))
        nodes.append(np.stack((seen, np.ones_like(seen)), axis=-1))
        for out, axis in ((right, 1), (down, 0)):
            contrast = np.abs(np.diff(seen, axis=axis))
            out.append(np.stack((np.ones_like(contrast), np.exp(-contrast)), axis=-1))
        targets.append(target)
    return nodes, (right, down), targets


@pytest.mark.parametrize("solver", ["bcfw", "cutting_plane"])
@pytest.mark.parametrize("name", ["blocks_n1", "blocks_n3", "checker_n10"])
def test_amn_has_no_training_error_on_published_grids(shared_data, name, solver):
    data = np.load(shared_data / "instances" / "peers" / "pystruct" / f"{name}.npz")
    coupling = "repulsive" if name.startswith("checker") else "associative"
    fitted = AMN(C=30.0, solver=solver, coupling=coupling, tolerance=0.01)
    fitted.fit(data["X"], None, data["Y"])
    assert fitted.converged_
    assert fitted.score(data["X"], None, data["Y"]) == 1.0


def test_amn_takes_images_of_different_sizes():
    nodes, edges, targets = noisy([(5, 6), (7, 4), (5, 6), (1, 8), (6, 1)])
    fitted = AMN().fit(nodes, edges, targets)
    masks = fitted.predict(nodes, edges)
    assert [tuple(mask.shape) for mask in masks] == [target.shape for target in targets]
    alone = [fitted.predict([n], ([r], [d]))[0] for n, r, d in zip(nodes, *edges, strict=True)]
    assert all(torch.equal(a, b) for a, b in zip(masks, alone, strict=True))
    assert fitted.score(nodes, edges, targets) > 0.8


def test_amn_gives_the_same_for_arrays_tensors_and_lists():
    nodes, edges, targets = noisy([(5, 6)] * 3)
    arrays = (np.stack(nodes), tuple(np.stack(e) for e in edges), np.stack(targets))
    tensors = (
        torch.from_numpy(arrays[0]),
        [torch.from_numpy(e) for e in arrays[1]],
        torch.from_numpy(arrays[2]).int(),
    )
    fits = [AMN().fit(*data) for data in ((nodes, edges, targets), arrays, tensors)]
    for fitted in fits[1:]:
        np.testing.assert_array_equal(fitted.w_nodes_, fits[0].w_nodes_)
        np.testing.assert_array_equal(fitted.w_edges_, fits[0].w_edges_)
    assert isinstance(fits[0].predict(*arrays[:2]), torch.Tensor)
    assert isinstance(fits[0].predict(nodes, edges), list)


def test_amn_takes_read_only_and_float32_features():
    nodes, _, targets = noisy([(5, 6)] * 2)
    frozen = np.stack(nodes).astype(np.float32)
    frozen.flags.writeable = False
    fitted = AMN().fit(frozen, None, targets)
    wide = AMN().fit(frozen.astype(np.float64), None, targets)
    assert fitted.primal_ == pytest.approx(wide.primal_, rel=2e-3)
    assert fitted.dual_ <= wide.primal_ * (1 + 1e-5)


def test_model_is_what_predict_minimises():
    nodes, edges, targets = noisy([(4, 5)] * 2)
    fitted = AMN(coupling="repulsive").fit(nodes, edges, targets)
    model = fitted.model(nodes, edges)
    assert model.is_repulsive
    exact = mm.find_map(model, method="exact")
    masks = torch.stack(fitted.predict(nodes, edges))
    np.testing.assert_allclose(model.energy(masks), exact.energy)


def test_no_edges_are_the_feature_one():
    nodes, _, targets = noisy([(4, 5)] * 2)
    ones = ([np.ones((4, 4, 1))] * 2, [np.ones((3, 5, 1))] * 2)
    fits = [AMN().fit(nodes, edges, targets) for edges in (None, ones)]
    np.testing.assert_allclose(fits[0].w_edges_, fits[1].w_edges_, rtol=1e-12)


def test_pixels_without_weight_cost_nothing():
    nodes, edges, targets = noisy([(5, 6)])
    none = [np.zeros((5, 6))]
    fitted = AMN().fit(nodes, edges, targets, weights=none)
    assert fitted.primal_ == fitted.dual_ == 0
    assert fitted.converged_
    weights = [np.zeros((5, 6))]
    weights[0][0, 0] = 2.0
    assert fitted.score(nodes, edges, targets, weights) in (0.0, 1.0)


def test_class_balanced_loss_is_that_of_pixel_weights():
    nodes, edges, targets = noisy([(5, 6)] * 2)
    on, total = sum(t.sum() for t in targets), 60
    weights = [np.where(t, total / (2 * on), total / (2 * (total - on))) for t in targets]
    balanced = AMN(loss="class_balanced", tolerance=1e-5).fit(nodes, edges, targets)
    weighted = AMN(tolerance=1e-5).fit(nodes, edges, targets, weights=weights)
    plain = AMN(tolerance=1e-5).fit(nodes, edges, targets)
    assert balanced.primal_ == pytest.approx(weighted.primal_, rel=2e-5)
    assert balanced.primal_ != pytest.approx(plain.primal_, rel=1e-3)
    # With one label alone there is nothing to balance.
    one = [np.ones((5, 6), bool)] * 2
    same = [AMN(loss=loss).fit(nodes, edges, one).primal_ for loss in amn.LOSSES]
    assert same[0] == same[1]


def test_amn_depends_on_seed_and_nothing_else():
    nodes, edges, targets = noisy([(6, 6)] * 4)
    fits = [AMN(seed=seed).fit(nodes, edges, targets) for seed in (0, 0, 1)]
    assert fits[0].history_ == fits[1].history_
    assert fits[0].history_ != fits[2].history_


def test_amn_learns_the_same_on_any_number_of_threads():
    nodes, edges, targets = noisy([(4, 5)] * 40)
    before, fits = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            fits.append(AMN(max_passes=8).fit(nodes, edges, targets))
            fits[-1].predict(nodes, edges)
            assert torch.get_num_threads() == threads
            with pytest.raises(ValueError, match="X_nodes must be finite"):
                AMN().fit([n * np.nan for n in nodes], edges, targets)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert fits[0].history_ == fits[1].history_


def test_callback_sees_the_bounds_close():
    nodes, edges, targets = noisy([(5, 6)] * 2)
    seen = []
    fitted = AMN().fit(nodes, edges, targets, callback=lambda *known: seen.append(known))
    assert [number for number, _, _ in seen] == list(range(1, len(fitted.history_) + 1))
    assert seen[-1][1:] == (fitted.primal_, fitted.dual_)
    assert all(a[1] >= b[1] and a[2] <= b[2] for a, b in pairwise(seen))


def test_amn_keeps_the_best_pass_when_interrupted():
    nodes, edges, targets = noisy([(5, 6)] * 2)

    def stop(number, primal, dual):
        if number == 3:
            raise KeyboardInterrupt

    fitted = AMN()
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(nodes, edges, targets, callback=stop)
    assert len(fitted.history_) == 3
    assert fitted.primal_ == min(primal for primal, _ in fitted.history_)
    assert not fitted.converged_
    assert len(fitted.predict(nodes, edges)) == 2


def test_amn_stops_at_max_passes():
    nodes, edges, targets = noisy([(5, 6)] * 2)
    fitted = AMN(max_passes=2).fit(nodes, edges, targets)
    assert len(fitted.history_) == 2
    assert not fitted.converged_
    assert fitted.gap_ > 1e-3 * fitted.primal_


def test_amn_has_the_manners_of_scikit_learn():
    options = {"C": 2.0, "solver": "cutting_plane", "tolerance": 0.1, "max_passes": 3}
    options |= {"loss": "class_balanced", "coupling": "repulsive", "seed": 4}
    first = AMN(**options)
    assert first.get_params() == first.get_params(deep=False) == options
    # What sklearn.base.clone does: the very objects, unchanged.
    again = type(first)(**first.get_params())
    assert all(again.get_params()[name] is value for name, value in first.get_params().items())
    assert again.set_params(C=3.0) is again
    assert again.C == 3.0
    assert repr(AMN(seed=7)).startswith("AMN(C=1.0, solver='bcfw'")
    nodes, edges, targets = noisy([(5, 6)] * 2)
    fitted = AMN().fit(nodes, edges, targets)
    for twin in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert twin.score(nodes, edges, targets) == fitted.score(nodes, edges, targets)


def changed(array, value):
    array = array.astype(np.float64)
    array.flat[5] = value
    return array


BAD_DATA = [
    (("no", None, TARGETS), TypeError, "X_nodes must be an array, a tensor or a list of them"),
    (([1.0], None, TARGETS), TypeError, "X_nodes must hold arrays of real numbers; got float"),
    ((NODES.astype(complex), None, TARGETS), TypeError, "of real numbers; got complex128"),
    ((NODES[0], None, TARGETS), ValueError, "must have 4 dimensions, images first; got shape (3"),
    (([NODES], None, TARGETS), ValueError, "a list of arrays with 3 dimensions; got shape (2, 3"),
    (([], None, []), ValueError, "X_nodes must hold at least one image; got none"),
    ((NODES[:, :0], None, TARGETS), ValueError, "X_nodes must have pixels and features in every"),
    ((changed(NODES, np.nan), None, TARGETS), ValueError, "X_nodes must be finite; got nan at (0"),
    (
        ([NODES[0], NODES[1, ..., :1]], None, TARGETS),
        ValueError,
        "X_nodes must have 2 features as image 0 has; got 1 for image 1",
    ),
    ((NODES, RIGHT, TARGETS), TypeError, "X_edges must be a pair (right, down) or None; got"),
    ((NODES, (RIGHT,), TARGETS), TypeError, "X_edges must be a pair (right, down) or None; got 1"),
    ((NODES, (RIGHT[:1], DOWN), TARGETS), ValueError, "X_edges[0] must have as many images as X"),
    ((NODES, (DOWN, RIGHT), TARGETS), ValueError, "X_edges[0] must have shape (3, 3, 1) for imag"),
    ((NODES, (RIGHT, DOWN[..., :0]), TARGETS), ValueError, "X_edges[1] must have shape (2, 4, 1)"),
    (
        (NODES, (RIGHT, changed(DOWN, -0.5)), TARGETS),
        ValueError,
        "X_edges[1] must not be negative; got -0.5 in image 0. Use features such as exp(-contras",
    ),
    ((NODES, None, TARGETS[:1]), ValueError, "Y must have as many images as X_nodes, 2; got 1"),
    ((NODES, None, TARGETS[:, :2]), ValueError, "Y must have shape (3, 4) for image 0; got (2, 4"),
    ((NODES, None, changed(TARGETS, 255)), ValueError, "Y must hold 0 and 1 or bools; got 255.0"),
    ((NODES, None, changed(TARGETS, np.nan)), ValueError, "Y must hold 0 and 1 or bools; got nan"),
]


@pytest.mark.parametrize(("data", "kind", "message"), BAD_DATA)
def test_fit_names_what_is_wrong_with_the_data(data, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        AMN().fit(*data)


BAD_OPTIONS = [
    ({"C": 0.0}, ValueError, "C must be positive and finite; got 0.0"),
    ({"C": "1"}, TypeError, "C must be a number; got str"),
    ({"solver": "sgd"}, ValueError, "solver must be one of 'bcfw', 'cutting_plane', 'qp'; got 'sg"),
    ({"tolerance": 1e-9}, ValueError, "tolerance must lie in [1e-7, 1); got 1e-09"),
    ({"tolerance": 1.0}, ValueError, "tolerance must lie in [1e-7, 1); got 1.0"),
    ({"max_passes": 0}, ValueError, "max_passes must lie in 1.."),
    ({"loss": "iou"}, ValueError, "loss must be one of 'hamming', 'class_balanced'; got 'iou'"),
    ({"coupling": "both"}, ValueError, "coupling must be one of 'associative', 'repulsive'; got"),
    ({"seed": -1}, ValueError, "seed must lie in 0.."),
]


@pytest.mark.parametrize(("options", "kind", "message"), BAD_OPTIONS)
def test_fit_names_what_is_wrong_with_an_option(options, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        AMN(**options).fit(NODES, None, TARGETS)


def test_fit_names_what_is_wrong_with_weights_and_callback():
    for weights, message in (
        (changed(TARGETS, -1), "weights must not be negative; got -1.0 in image 0"),
        (changed(TARGETS, np.inf), "weights must be finite; got inf"),
        (np.ones((2, 4, 3)), "weights must have shape (3, 4) for image 0; got (4, 3)"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            AMN().fit(NODES, None, TARGETS, weights=weights)
    with pytest.raises(TypeError, match="callback must be callable; got int"):
        AMN().fit(NODES, None, TARGETS, callback=3)


def test_amn_names_what_is_wrong_after_fit():
    with pytest.raises(RuntimeError, match="AMN must be fitted first; got no weights"):
        AMN().predict(NODES, None)
    with pytest.raises(ValueError, match=r"option must be one of 'C', .*; got 'c'"):
        AMN().set_params(c=1)
    fitted = AMN().fit(NODES, None, TARGETS)
    with pytest.raises(ValueError, match="X_nodes must have 2 features as in fit; got 1"):
        fitted.predict(NODES[..., :1], None)
    with pytest.raises(ValueError, match="X_edges must have 1 features as in fit; got 2"):
        fitted.predict(NODES, (np.ones((2, 3, 3, 2)), np.ones((2, 2, 4, 2))))
    with pytest.raises(ValueError, match="weights must not all be 0"):
        fitted.score(NODES, None, TARGETS, np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match=re.escape("images of one size for a model; got [(2, 4)")):
        fitted.model([NODES[0], NODES[1, :2]], None)
