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
