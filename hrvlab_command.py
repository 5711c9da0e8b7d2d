"""Start of the command line, apart from the package, whose import takes most of the first second.

A signal that comes before the commands are there ends in one line, as one that comes later does.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

STOPPED = 128
WAYS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


def main() -> None:
    """Run the command line; a signal that comes while it is imported is one line, too."""
    before = {number: signal.getsignal(number) for number in WAYS}
    caught = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    for number in caught:
        signal.signal(number, _stop)
    from hrvlab.cli import main as run

    try:
        run()
    finally:
        # Everything is said and written: a signal ends what is left of the process, without a word.
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, _: FrameType | None) -> None:
    """End at once: nothing was begun."""
    sys.stderr.write(
        f"stopped by {WAYS[signal.Signals(number)]}: nothing was begun; the same command begins "
        "anew\n"
    )
    sys.stderr.flush()
    os._exit(STOPPED + number)
