"""Items in threads: all are done, and an error or Ctrl-C ends those that have begun."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import CancelledError

import pytest
import torch

from mrfmask.graphs.threads import each_item, may_stop


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_each_item_is_done_once(threads):
    done = []
    each_item(done.append, 7)
    assert sorted(done) == [*range(7)]


def test_items_that_have_begun_stop_when_asked():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    begun, looks = threading.Event(), itertools.count()
    turned = []

    def run(item):
        if item == 0:
            begun.wait()
            raise ValueError("the first item fails")
        begun.set()
        while next(looks) < 10**6:
            try:
                may_stop()
            except CancelledError:
                turned.append(item)
                raise

    try:
        with pytest.raises(ValueError, match="first item"):
            each_item(run, 2)
    finally:
        torch.set_num_threads(before)
    assert turned == [1]


def test_nobody_asks_outside_of_threads():
    may_stop()
