import threading

from hrvlab.widgets.latest import Latest


def test_a_newer_request_stops_the_one_that_is_worked_on_and_skips_those_between():
    begun, done = [], []
    first_began, all_asked, last_done = (threading.Event() for _ in range(3))

    def work(request, check):
        begun.append(request)
        first_began.set()
        all_asked.wait(10)
        check()
        done.append(request)
        last_done.set()

    latest = Latest(work)
    latest.ask("first")
    assert first_began.wait(10)
    latest.ask("second")
    latest.ask("third")
    all_asked.set()
    assert last_done.wait(10)
    assert begun == ["first", "third"]
    assert done == ["third"]
