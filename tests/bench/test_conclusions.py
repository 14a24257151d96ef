"""Each answer follows from the numbers: made-up ones, so that every branch is seen."""

from __future__ import annotations

import dataclasses

import pytest

from mrfmask.bench.conclusions import conclude
from mrfmask.bench.instances import draw
from mrfmask.bench.scores import Score, Scored


def scored(signs="associative", strength=1.0, size=8, proven=True, **methods):
    """A result; a method is (status, gap %, same %, seconds), or a reason why it cannot."""
    scores = {}
    for name, value in methods.items():
        if isinstance(value, str):
            scores[name] = [Score(method=name, options={}, effort="", status=value, reason="why")]
            continue
        status, gap, same, seconds = value
        scores[name] = [
            Score(
                method=name,
                options={"time_limit_s": 10.0} if name == "ilp" else {},
                effort="",
                status=status,
                energy=-1.0,
                gap=gap,
                gap_percent=gap,
                same_percent=same,
                seconds=seconds,
                proof=status == "optimal",
            )
        ]
    instance = draw(size, signs, strength, 0, 0)
    return Scored(instance=instance, proven=proven, energy=-1.0, lower_bound=-1.0, scores=scores)


def answer(question, *results):
    """All lines of the answer to a question that has this word in it."""
    (found,) = [c for c in conclude(results) if question in c.question]
    return " ".join(found.lines)


CUT = ("optimal", 0.0, 100.0, 0.001)
ILP = ("optimal", 0.0, 100.0, 0.5)


def test_mean_field_is_good_where_every_instance_is():
    text = answer(
        "mean field",
        scored(strength=0.1, graph_cut=CUT, mean_field=("heuristic", 0.5, 97.0, 0.001)),
        scored(strength=0.1, size=9, graph_cut=CUT, mean_field=("heuristic", 1.9, 90.5, 0.001)),
        scored(strength=1.0, graph_cut=CUT, mean_field=("heuristic", 0.5, 97.0, 0.001)),
        scored(strength=1.0, size=9, graph_cut=CUT, mean_field=("heuristic", 2.1, 99.0, 0.001)),
        scored(strength=2.0, graph_cut=CUT, mean_field=("heuristic", 0.1, 89.0, 0.001)),
    )
    assert "yes at c = 0.1 (gap 1.9 %, 90.5 % of pixels); no at c = 1 (gap 2.1 %, 97.0 % of" in text
    assert "and c = 2 (gap 0.1 %, 89.0 % of pixels)" in text


def test_mean_field_without_a_proven_optimum_is_not_judged():
    open_one = scored(size=9, proven=False, mean_field=("heuristic", 3.0, None, 0.001))
    text = answer("mean field", open_one)
    assert (
        "not known at c = 1 (gap 3 % against the bound where none is known, pixels unknown)" in text
    )
    text = answer("mean field", open_one, scored(mean_field=("heuristic", 1.0, 99.0, 0.001)))
    assert "not known at c = 1 (gap 3 % against" in text
    text = answer("mean field", open_one, scored(mean_field=("heuristic", 2.5, 99.0, 0.001)))
    assert "no at c = 1 (gap 3 % against" in text


def test_ilp_pays_where_nothing_proves_the_same_sooner():
    text = answer(
        "integer program",
        scored(ilp=ILP, graph_cut=CUT),
        scored("mixed", ilp=ILP, graph_cut="cannot", annealing=("heuristic", 0.25, 9.0, 0.02)),
        scored("mixed", size=16, ilp=("optimal", 0.0, 100.0, 3.0), graph_cut="cannot"),
        scored("mixed", 2.0, size=4, ilp=ILP, exact=("optimal", 0.0, 100.0, 0.25)),
        scored("mixed", 2.0, 16, False, ilp=("time_limit", 0.7, None, 10.0), mean_field="failed"),
    )
    assert "It proved the optimum of 4 of 5 instances, given at most 10 s." in text
    assert "Not where graph_cut and exact can go: that proved the same optimum of 2" in text
    assert "251 times faster (median)" in text
    assert "It pays on 2: mixed, c = 1 (8x8 to 16x16). It took 500 ms to 3 s;" in text
    assert "There annealing ended 0.25 % above the optimum, after 20 ms." in text
    assert "Not proven: mixed 16x16 c = 2. Above the best bound: ilp 0.7 %." in text


def test_cut_is_free_where_it_takes_about_the_time_of_mean_field():
    def timed(strength, size, cut, mean):
        methods = {
            "graph_cut": ("optimal", 0.0, 100.0, cut),
            "mean_field": ("heuristic", 1.0, 99.0, mean),
        }
        return scored(strength=strength, size=size, **methods)

    text = answer(
        "cut",
        timed(0.5, 8, 0.001, 0.0006),
        timed(0.5, 9, 0.004, 0.002),
        timed(0.5, 10, 0.009, 0.001),
        timed(1.0, 8, 0.003, 0.001),
        scored("mixed", graph_cut="cannot", mean_field=("heuristic", 1.0, 99.0, 0.003)),
    )
    assert (
        "solved 4 instances with couplings of one sign exactly, all with proof, in at most 9 ms"
        in text
    )
    assert "free at c = 0.5 (2 times, at most 9 ms); not free at c = 1 (3 times, at most 3" in text
    assert "It cannot take 1 instance, of mixed couplings." in text


def test_cut_that_can_go_nowhere_says_so():
    text = answer("cut", scored("mixed", graph_cut="cannot"))
    assert text == "Never here: no instance has couplings of one sign."


def test_files_are_called_by_their_names():
    result = scored("mixed", ilp=ILP, mean_field=("heuristic", 3.0, 80.0, 0.001))
    instance = dataclasses.replace(result.instance, name="a/b.npz", strength=None)
    result = dataclasses.replace(result, instance=instance)
    assert "no at a/b.npz (gap 3 %" in answer("mean field", result)
    assert "mixed, a/b.npz (8x8)" in answer("integer program", result)


@pytest.mark.parametrize("methods", [{"exact": CUT}, {"ilp": "failed", "mean_field": "killed"}])
def test_questions_about_methods_that_gave_nothing_are_left_out(methods):
    assert conclude([scored(**methods)]) == []
