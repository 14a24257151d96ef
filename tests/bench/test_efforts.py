from __future__ import annotations

import pytest

import mrfmask as mm
from mrfmask.bench.efforts import SWEEPS, able_methods, efforts, name_of


def test_able_methods_are_all_that_answer_map():
    listed = ["exact", "graph_cut", "strips", "qpbo", "ilp", "mean_field", "belief_propagation"]
    assert able_methods() == [*listed, "annealing"]


@pytest.mark.parametrize("method", able_methods())
def test_efforts_are_options_that_the_method_has(method):
    given = efforts(mm.METHODS[method], 8.0, 5)
    made = [mm.METHODS[method](**options) for options in given]
    assert len(made) == {"exact": 1, "graph_cut": 1, "qpbo": 1, "ilp": 4}.get(method, len(SWEEPS))
    if method == "annealing":
        assert {one.seed for one in made} == {5}


def test_efforts_rise_to_the_whole_time():
    limits = [options["time_limit_s"] for options in efforts(mm.Ilp, 8.0, 0)]
    assert limits == sorted(limits)
    assert limits[-1] == 8.0
    sweeps = [options["max_sweeps"] for options in efforts(mm.MeanField, 8.0, 0)]
    assert sweeps == sorted(sweeps)


def test_name_of_says_it_in_words():
    assert name_of({"sweeps": 1, "seed": 0}) == "1 sweep"
    assert name_of({"max_sweeps": 10_000}) == "10 000 sweeps"
    assert name_of({"time_limit_s": 0.3}) == "at most 0.3 s"
    assert name_of({}) == ""
