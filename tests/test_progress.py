import io
import sys

from hrvlab import progress
from hrvlab.progress import track


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, **options):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    assert list(track("abc", "letters", **options)) == ["a", "b", "c"]
    return stream.getvalue()


def test_a_log_gets_lines_and_a_terminal_a_bar(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    log = shown(monkeypatch, io.StringIO())
    assert "\r" not in log
    assert log.splitlines()[-1].startswith("letters: 3/3, 00:00 elapsed")
    assert "\r" in shown(monkeypatch, Terminal())


def test_a_log_gets_one_line_in_a_while(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    list(track(range(1000), "numbers"))
    assert len(sys.stderr.getvalue().splitlines()) <= 2


def test_nothing_is_shown_if_nobody_asked(monkeypatch):
    assert shown(monkeypatch, io.StringIO(), disable=True) == ""
