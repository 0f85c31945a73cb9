"""What action=trace prints of texts that somebody else has written."""

from __future__ import annotations

import io

from rich.console import Console

from cem_lightning.questions.records import Question
from cem_lightning.reporting.trace import Trace, TracedAnswer, print_trace


def test_nothing_in_a_question_or_answer_moves_the_cursor_or_hides() -> None:
    hostile = "\x1b]0;title\x07\x00\u202e\x9b2J"
    question = Question(f"id{hostile}", f"Q{hostile}\nsecond line", (f"a{hostile}", "b"), 0, "c")
    answer = TracedAnswer(0, "wrong", 1, (0.4, 0.6), f"says {hostile}", "", "")
    file = io.StringIO()
    print_trace(
        Trace("run", question, "source", (answer,), (), f"full{hostile}"),
        Console(file=file, width=200, force_terminal=False),
    )
    printed = file.getvalue()
    assert all(each.isprintable() or each == "\n" for each in printed)
    escaped = r"\u001b]0;title\u0007\u0000\u202e\u009b2J"
    for shown in (f"id{escaped}", f"Q{escaped}\nsecond line", f"a{escaped}", f"says {escaped}"):
        assert shown in printed
    assert f"full{escaped}" in printed
