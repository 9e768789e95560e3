"""What is written when: whole quick calls at once, others soon, always in order for each call."""

from __future__ import annotations

import pytest

from edge_connector.tools.ledger.notebook import HOLD_S, Notebook
from tests.unit.tools.ledger.ledgers import SetClock, request, success, tool_info


class Book(Notebook):
    """Remembers whether it asked to be written."""

    def __init__(self) -> None:
        self.clock = SetClock()
        super().__init__(self.clock)
        self.asked = self.hurried = 0

    def _schedule(self) -> None:
        self.asked += 1

    def _hurry(self) -> None:
        self.hurried += 1

    def taken(self, *, everything: bool = False) -> list[tuple[str, bool]]:
        """Ids of what is to be written now, and whether each makes a new row."""
        return [(noted.call_id, noted.request is not None) for noted in self._take(everything=everything)]


@pytest.fixture
def book() -> Book:
    return Book()


def test_a_quick_call_is_one_note_once_it_is_confirmed(book: Book) -> None:
    book.received(request("1"), tool_info())
    book.finished(success("1"), is_reported=True)
    assert (book.taken(), book.waiting) == ([], 1)
    book.confirmed("1")
    assert book.asked and not book.hurried
    noted = book._take(everything=False)
    assert [each.call_id for each in noted] == ["1"]
    assert None not in (noted[0].received, noted[0].finished, noted[0].reported, noted[0].confirmed)
    assert book.waiting == 0


def test_a_slow_call_is_written_when_it_is_old_enough_and_its_news_later(book: Book) -> None:
    book.received(request("slow"), tool_info())
    book.clock.now += HOLD_S / 2
    book.received(request("young"), tool_info())
    book.clock.now += HOLD_S / 2
    assert book.taken() == [("slow", True)]
    book.finished(success("slow"), is_reported=True)
    assert (book.taken(), book.hurried) == ([("slow", False)], 1)
    assert book.taken(everything=True) == [("young", True)]


def test_an_outcome_that_nobody_else_has_is_not_held_back(book: Book) -> None:
    book.received(request("1"), tool_info())
    book.finished(success("1"), is_reported=False)
    assert (book.taken(), book.hurried) == ([("1", True)], 1)
    book.reported("1")
    assert book.taken() == [("1", False)]


def test_a_later_attempt_comes_after_the_earlier_one(book: Book) -> None:
    book.received(request("1"), tool_info())
    book.accepted("1")
    book.received(request("1", attempt=2), tool_info())
    book.finished(success("1"), is_reported=True)
    book.confirmed("1")
    noted = book._take(everything=False)
    assert [each.request.attempt for each in noted if each.request] == [1, 2]
    assert [each.outcome is not None for each in noted] == [False, True]


def test_a_clock_that_was_set_back_holds_nothing_up(book: Book) -> None:
    book.received(request("1"), tool_info())
    book.clock.now -= 3600
    assert book.taken() == [("1", True)]


def test_what_could_not_be_written_goes_first_and_the_oldest_is_dropped_first(book: Book) -> None:
    for number in range(3):
        book.received(request(str(number)), tool_info())
    failed = book._take(everything=True)
    book.received(request("3"), tool_info())
    book._put_back(failed)
    book._drop_oldest(2)
    assert book.taken(everything=True) == [("2", True), ("3", True)]
