"""Making the next item while the one before is used."""

import threading

import pytest

from incremental._fit.ahead import make_ahead

PATIENCE = 30  # seconds, where a test would wait forever if it failed


def test_all_items_come_in_their_order():
    assert list(make_ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
    assert list(make_ahead(iter([]))) == []
    assert list(make_ahead(iter([None, None]))) == [None, None]


def test_the_next_item_is_made_while_one_is_used():
    made = threading.Event()

    def items():
        yield "first"
        made.set()
        yield "second"

    ahead = make_ahead(items())
    assert next(ahead) == "first"
    assert made.wait(PATIENCE)
    assert list(ahead) == ["second"]


def test_one_item_is_made_ahead_and_not_more():
    made = []

    def items():
        for item in range(10):
            made.append(item)
            yield item

    for item in make_ahead(items()):
        assert len(made) <= item + 2
    assert len(made) == 10


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("broken")

    ahead = make_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


def test_the_thread_ends_when_the_iterator_is_closed():
    makers = []

    def items():
        for item in range(10):
            makers.append(threading.current_thread())
            yield item

    ahead = make_ahead(items())
    next(ahead)
    ahead.close()
    assert threading.current_thread() not in makers
    assert len(makers) <= 2
    assert not any(maker.is_alive() for maker in makers)
