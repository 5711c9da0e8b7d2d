import subprocess
import sys
import threading

from hrvlab.widgets.latest import Latest


def test_a_newer_request_cancels_the_current_one_and_skips_those_between():
    begun, done = [], []
    first_began, all_submitted, last_done = (threading.Event() for _ in range(3))

    def work(request, check):
        begun.append(request)
        first_began.set()
        all_submitted.wait(10)
        check()
        done.append(request)
        last_done.set()

    latest = Latest(work)
    latest.submit("first")
    assert first_began.wait(10)
    latest.submit("second")
    latest.submit("third")
    all_submitted.set()
    assert last_done.wait(10)
    assert begun == ["first", "third"]
    assert done == ["third"]


AT_THE_END = """
import time
from hrvlab.widgets.latest import Latest

def work(request, check):
    print("begun", flush=True)
    try:
        while True:
            time.sleep(0.01)
            check()
    finally:
        print("left", flush=True)

Latest(work).submit("endless")
time.sleep(0.1)
"""


def test_work_is_left_in_order_when_python_ends():
    ended = subprocess.run(
        [sys.executable, "-c", AT_THE_END], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout.split()) == (0, ["begun", "left"])
    assert not ended.stderr
