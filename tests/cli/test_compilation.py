"""A person who waits for kernels to be compiled sees how far that is."""

from __future__ import annotations

import io

from minigrad.commands.compilation import ANNOUNCEMENT, LINE_EVERY, Notice


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def told(stream: io.StringIO, expected: int | None, kernels: int) -> str:
    """What stands in `stream` after so many compilations."""
    notice = Notice(stream)
    if expected is not None:
        notice.expect(expected)
    for done in range(kernels):
        notice(done, f"kernel_{done}")
    notice.finish(f"compiled {kernels} kernels")
    return stream.getvalue()


def test_a_terminal_shows_a_bar_with_the_share_that_is_done() -> None:
    shown = told(Terminal(), 4, 3)
    for phrase in (ANNOUNCEMENT, " 50% |", "2 of about 4", "now kernel_2"):
        assert phrase in shown
    assert shown.endswith("\rcompiled 3 kernels\n")


def test_where_there_are_more_than_expected_the_bar_never_claims_the_end() -> None:
    shown = told(Terminal(), 2, 5)
    assert "4 of about 5" in shown
    assert "100%" not in shown


def test_an_unknown_number_is_counted_and_not_guessed() -> None:
    shown = told(Terminal(), None, 3)
    assert "2 done, now kernel_2" in shown
    assert "about" not in shown
    assert "%" not in shown


def test_a_file_gets_a_line_now_and_then() -> None:
    lines = told(io.StringIO(), 30, LINE_EVERY + 3).splitlines()
    assert lines == [
        f"{ANNOUNCEMENT} ... 0 of about 30 done",
        f"{ANNOUNCEMENT} ... {LINE_EVERY} of about 30 done",
        f"compiled {LINE_EVERY + 3} kernels",
    ]
