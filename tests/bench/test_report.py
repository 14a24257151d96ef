"""The files: complete, valid, and with nothing that is elsewhere."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.axes import Axes
from measured import instance_of, run_of
from PIL import Image
from strategies import random_grid

from mrfmask.bench import picture, wording
from mrfmask.bench.instances import draw_all
from mrfmask.bench.report import FILES_A_ROW, MOST_PICTURES, draw_figures, write_report
from mrfmask.bench.scores import Run, Score, score

METHODS = ("graph_cut", "ilp", "mean_field")
FACTS = {"processor": "<fast> & new", "threads": 1}


def unproven(run):
    """The same run with a weaker bound."""
    weaker = run.answer | {"status": "time_limit"}
    if "lower_bound" in weaker:
        weaker["lower_bound"] -= 1.0
    return replace(run, answer=weaker)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Four drawn instances, one of them not proven, with a crash."""
    folder = tmp_path_factory.mktemp("models")
    scored = []
    for instance in draw_all([3, 4], ["associative", "mixed"], [1.0], 1, 0):
        runs = [run_of(instance, method, folder) for method in METHODS]
        if instance.size == (4, 4) and instance.signs == "mixed":
            runs = [unproven(run) for run in runs]
            crash = {"status": "failed", "reason": "the process ended by <SIGSEGV>"}
            runs.append(Run(instance=instance, method="annealing", options={}, answer=crash))
        scored.append(score(runs))
    assert [result.proven for result in scored] == [True, True, True, False]
    return scored


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    write_report(out, results, FACTS, {"seed": 0})
    return out


class Links(HTMLParser):
    """Collects what a page refers to, and checks that its tags match."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        names = ("src", "href", "action", "data", "srcset", "poster")
        self.links += [value for name, value in attrs if name in names]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_refers_to_nothing_outside_itself(folder):
    text = (folder / "bench.html").read_text()
    page = Links()
    page.feed(text)
    assert page.open == []
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"https?:|url\(|@import", text)


def test_page_has_answers_runs_and_reasons(folder, results):
    text = (folder / "bench.html").read_text()
    for words in (
        "When is mean field good enough?",
        "When does the integer program pay?",
        "When is the cut free?",
        "&lt;fast&gt; &amp; new",
        "cannot: model must have couplings of one sign for graph_cut; got ",
        "failed: the process ended by &lt;SIGSEGV&gt;",
        "mixed 4x4 c=1, not proven",
    ):
        assert words in text
    assert "<SIGSEGV>" not in text
    for result in results:
        for final in result.finals:
            cells = wording.cells(final) if final.energy is not None else ()
            assert all(f"<td>{escape(cell)}</td>" in text for cell in cells)


def test_json_has_every_run(folder, results):
    found = json.loads((folder / "bench.json").read_text())
    assert found["schema"] == 1
    assert found["machine"] == FACTS
    assert [c["question"][:7] for c in found["conclusions"]] == ["When is", "When do", "When is"]
    for record, result in zip(found["instances"], results, strict=True):
        assert record["sha256"] == result.instance.sha256
        assert (record["height"], record["width"]) == result.instance.size
        assert record["proven"] == result.proven
        scores = [s for scores in result.scores.values() for s in scores]
        for run, expected in zip(record["runs"], scores, strict=True):
            assert (run["method"], run["status"]) == (expected.method, expected.status)
            for name in ("energy", "lower_bound", "gap", "same_percent", "seconds"):
                if getattr(expected, name) is None:
                    assert name not in run
                else:
                    assert run[name] == pytest.approx(getattr(expected, name), rel=1e-9)


def test_pictures_are_one_a_size(results):
    figures = draw_figures(results)
    sizes = [re.search(r"(\d+)x\d+", figure.caption)[1] for figure in figures]
    assert sizes == ["4", "3"]
    for figure in figures:
        with Image.open(io.BytesIO(figure.png)) as image:
            image.load()
            assert len(np.unique(np.asarray(image.convert("L")))) > 50


def test_pictures_of_many_files_are_limited(tmp_path, monkeypatch):
    run = run_of(instance_of(random_grid(1, 2, 2), name="$a_b^c$.npz"), "exact", tmp_path)
    shapes = []

    def draw(rows, title):
        shapes.append([len(row) for row in rows])
        return b""

    monkeypatch.setattr("mrfmask.bench.report.draw_picture", draw)
    assert len(draw_figures([score([run])] * 14)) == 2
    assert shapes == [[FILES_A_ROW] * 4, [2]]
    assert len(draw_figures([score([run])] * 500)) == MOST_PICTURES


def test_picture_draws_any_name_and_an_instance_without_a_mask(tmp_path):
    instance = instance_of(random_grid(1, 2, 2), name="$a_b^c$.npz")
    crash = {"status": "failed", "reason": "why"}
    lost = score([Run(instance=instance, method="ilp", options={}, answer=crash)])
    good = score([run_of(instance, "exact", tmp_path)])
    assert picture.draw_picture([[good, lost]], "any title").startswith(b"\x89PNG")


def test_picture_shows_every_gap_where_it_belongs(results, monkeypatch):
    drawn, plot = [], Axes.plot

    def spy(axes, x, y, **style):
        drawn.append((style["label"], x, y, axes.get_ylim()[0]))
        return plot(axes, x, y, **style)

    monkeypatch.setattr(Axes, "plot", spy)
    proven = [r for r in results if r.proven]
    picture.draw_picture([proven], "any title")
    floor, _ = picture._limits(proven)
    expected = [
        (m, [s for s in scores if s.energy is not None])
        for r in proven
        for m, scores in r.scores.items()
    ]
    for (label, seconds, heights, bottom), (method, scores) in zip(drawn, expected, strict=True):
        assert (label, seconds) == (method, [s.seconds for s in scores])
        for height, one in zip(heights, scores, strict=True):
            if one.gap_percent == 0:
                assert bottom < height < floor
            else:
                assert height == one.gap_percent >= floor
    assert any(s.gap_percent == 0 for _, scores in expected for s in scores)
    assert any(s.gap_percent > 0 for _, scores in expected for s in scores)


def test_drawing_leaves_pyplot_alone(results):
    draw_figures(results)
    assert "matplotlib.pyplot" not in sys.modules


def test_wording_rounds_as_it_says():
    assert [wording.percent(v) for v in (0.0, 0.00123, 2.345, 123.4)] == [
        "0 %",
        "0.0012 %",
        "2.3 %",
        "123 %",
    ]
    assert [wording.share(v) for v in (100.0, 99.99, 12.34)] == ["100 %", "99.9 %", "12.3 %"]
    assert [wording.seconds(v) for v in (3.2e-5, 9.996e-4, 0.25, 12.34, 123.4)] == [
        "32 us",
        "1 ms",
        "250 ms",
        "12 s",
        "123 s",
    ]
    assert [wording.mebibytes(v) for v in (0.4, 12.34)] == ["< 0.5 MiB", "12.3 MiB"]
    assert wording.cells(Score(method="a", options={}, effort="", status="failed"))[0] == ""
    assert wording.span([1.0, 3.0]) == "1 % to 3 %"
    assert wording.span([1.0, 1.0]) == "1 %"


def test_report_appears_whole_or_not_at_all(results, tmp_path, monkeypatch):
    def broken(*_):
        raise MemoryError

    monkeypatch.setattr("mrfmask.bench.report.make_page", broken)
    with pytest.raises(MemoryError):
        write_report(tmp_path, results, FACTS, {})
    assert list(tmp_path.iterdir()) == []
