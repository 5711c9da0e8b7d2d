import os
import shutil
import signal
import threading
import time

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from diffusers import DDIMScheduler
from distributed import Client, LocalCluster

import hrvlab as hl
from hrvlab import watch
from hrvlab.cluster import connect, spread
from hrvlab.errors import ClusterError, ModelError, StoreError
from hrvlab.results.make import read_result
from hrvlab.storage.datasets import read_dataset
from hrvlab.storage.shards import Shards
from tests.experiments.weakening.test_trial import PROMPTS as WEAKENED
from tests.experiments.weakening.test_trial import TEXTS, vectors
from tests.faults import start_worker
from tests.pipelines import tiny_sd
from tests.relevance.test_votes import PROMPTS, STEPS, same
from tests.results.test_own import options, write_inputs
from tests.scores import Brightness
from tests.test_cli import run

MANY = PROMPTS * 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    tiny_sd().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def pipe(folder):
    return hl.load(folder, device="cpu")


@pytest.fixture
def client():
    """Return a client of a scheduler without workers, which tolerates many deaths of workers."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 20}),
        LocalCluster(n_workers=0, dashboard_address=None, protocol="tcp://") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def workers(client):
    """Return a function that starts workers; they are stopped after the test."""
    processes = []

    def start(count, **odd):
        processes.extend(start_worker(client.scheduler.address, **odd) for _ in range(count))
        client.wait_for_workers(len(processes))
        return processes

    yield start
    for process in processes:
        process.kill()
        process.join()


def test_one_two_and_four_workers_count_the_same_votes_as_one_process(
    pipe, concepts, client, workers
):
    alone = hl.collect_votes(pipe, concepts, PROMPTS, **STEPS)
    for more in (1, 1, 2):
        workers(more)
        same(alone, hl.collect_votes(pipe, concepts, PROMPTS, client=client, **STEPS))


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.full)])
def test_workers_killed_at_random_points_cost_only_their_units(
    pipe, concepts, client, workers, tmp_path, kills
):
    points = np.random.default_rng(0).integers(1, 12, size=kills).tolist()
    deaths = []

    def keep_replacing():
        while points:
            process = start_worker(client.scheduler.address, points.pop())
            process.join()
            deaths.append(process.exitcode)

    replacing = [threading.Thread(target=keep_replacing) for _ in range(2)]
    for thread in replacing:
        thread.start()
    finish = threading.Thread(target=lambda: [*map(threading.Thread.join, replacing), workers(1)])
    finish.start()
    votes = hl.collect_votes(pipe, concepts, MANY, client=client, store=tmp_path, **STEPS)
    finish.join()
    assert deaths == [-signal.SIGKILL] * kills
    same(votes, hl.collect_votes(pipe, concepts, MANY, **STEPS))


def threads(pipe):
    return lambda: (torch.get_num_threads(), id(pipe))


def test_workers_record_the_same_queries_as_one_process(pipe, client, workers, tmp_path):
    given = {"vocabulary": ["red", "blue", "cat", "dog"], **STEPS}
    alone = hl.record_queries(pipe, PROMPTS, store=tmp_path / "alone", **given)
    workers(2)
    spread_out = hl.record_queries(pipe, PROMPTS, store=tmp_path / "c", client=client, **given)
    one, other = (Shards(pool.folder) for pool in (alone, spread_out))
    for name in one.names():
        np.testing.assert_array_equal(one.read(name), other.read(name))


def test_workers_use_the_client_s_threads_and_load_the_pipeline_once(pipe, client, workers):
    workers(1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        answers = dict(spread(client, pipe, threads, (), dict.fromkeys(range(4), ())))
    finally:
        torch.set_num_threads(before)
    assert {count for count, _ in answers.values()} == {3}
    assert len({loaded for _, loaded in answers.values()}) == 1


def test_only_the_client_writes_and_what_is_finished_is_not_sent_out(
    pipe, concepts, client, workers, tmp_path
):
    (first,) = workers(1)
    hl.collect_votes(pipe, concepts, PROMPTS, client=client, store=tmp_path, **STEPS)
    first.kill()
    shutil.rmtree(next(tmp_path.glob("*/data.zarr")))
    # No worker is left to compute anything.
    again = hl.collect_votes(pipe, concepts, PROMPTS, client=client, store=tmp_path, **STEPS)
    same(again, hl.collect_votes(pipe, concepts, PROMPTS, store=tmp_path, **STEPS))


def test_a_pipeline_made_in_memory_is_refused_before_anything_is_sent(concepts, client):
    with pytest.raises(ModelError, match="save it with save_pretrained"):
        hl.collect_votes(tiny_sd(), concepts, PROMPTS, client=client, **STEPS)


def test_a_worker_that_would_load_another_model_names_the_difference(
    folder, concepts, client, workers
):
    workers(1)
    changed = hl.load(folder, device="cpu")
    changed.scheduler = DDIMScheduler.from_config(changed.scheduler.config)
    with pytest.raises(ModelError, match="differs on a worker from yours in scheduler; save"):
        hl.collect_votes(changed, concepts, PROMPTS, client=client, **STEPS)


def test_workers_load_with_your_options_and_generate_the_images_of_a_trial(
    folder, client, workers, tmp_path
):
    workers(1)
    pipe = hl.load(folder, device="cpu", scheduler="ddim")
    given = {"texts": TEXTS, "score": Brightness(), "cuts": [3], "draws": 1, "progress": False}
    given |= {"num_inference_steps": 2, "batch_size": 4}
    here, there = (
        hl.weaken(
            pipe, vectors(pipe), "Color", WEAKENED, store=tmp_path / name, client=one, **given
        )
        for name, one in (("here", None), ("there", client))
    )
    np.testing.assert_array_equal(there.data["score"], here.data["score"])
    np.testing.assert_array_equal(*(run.images(run.data["image"]) for run in (here, there)))


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ({"blocked": "hrvlab.cluster"}, "a worker cannot load hrvlab.cluster: install hrvlab 0"),
        (
            {"versions": {"torch": "1.0", "hrvlab": "9"}},
            r"other versions than this process: hrvlab 9 \(here 0.*\), torch 1.0 \(here",
        ),
    ],
    ids=["without hrvlab", "with other versions"],
)
def test_a_worker_that_cannot_take_part_ends_the_run_at_once_and_loads_nothing(
    pipe, concepts, client, workers, tmp_path, odd, message
):
    workers(1, **odd)
    start = time.monotonic()
    with pytest.raises(ClusterError, match=message):
        hl.collect_votes(pipe, concepts, PROMPTS, client=client, store=tmp_path, **STEPS)
    assert time.monotonic() - start < 30
    assert not list(tmp_path.glob("*/ledger/*"))


def test_a_run_that_waits_for_workers_says_so(pipe, client, workers, caplog):
    late = threading.Timer(1, workers, [1])
    late.start()
    assert len(dict(spread(client, pipe, threads, (), {0: ()}))) == 1
    late.join()
    assert f"waiting for workers: start some with `dask worker {client.scheduler.address}" in (
        caplog.text
    )


def refuse(pipe):
    return lambda: [].pop()


def test_any_other_failure_on_a_worker_is_one_line(pipe, client, workers):
    workers(1)
    with pytest.raises(ClusterError, match="unit 3 failed on a worker: IndexError: pop from empty"):
        list(spread(client, pipe, refuse, (), {3: ()}))


def end(pipe):
    return lambda: os.kill(os.getpid(), signal.SIGKILL)


def test_a_unit_that_kills_every_worker_is_an_error(pipe, client, workers):
    client.cluster.scheduler.allowed_failures = 1
    workers(2)
    with pytest.raises(
        ClusterError, match="every worker that computed unit 7 died, the last one at tcp"
    ):
        list(spread(client, pipe, end, (), {7: ()}))


def hang(pipe):
    return lambda number: number == 3 and time.sleep(60)


def call_slowly(pipe):
    watch.SECONDS_BETWEEN_SIGNS = 0

    def wait(*_):
        time.sleep(0.7)
        return {}

    call = {"num_inference_steps": 6, "output_type": "latent", "callback_on_step_end": wait}
    return lambda: bool(pipe("a cat", **call))


@pytest.fixture
def impatient(pipe, client, workers, monkeypatch):
    """A worker that has loaded the pipeline, and is not waited for long."""
    workers(1)
    assert len(dict(spread(client, pipe, threads, (), {0: ()}))) == 1
    monkeypatch.setattr(watch, "SECONDS_OF_SILENCE", 2)
    monkeypatch.setattr(watch, "SECONDS_BETWEEN_SIGNS", 0.2)


def test_a_worker_that_hangs_is_named_and_what_is_finished_is_kept(pipe, client, impatient):
    (address,) = client.scheduler_info()["workers"]
    found = []
    message = f"the worker at {address} has given no sign of life for . seconds, .* unit 3 to"
    start = time.monotonic()
    with pytest.raises(ClusterError, match=message):
        for number, _ in spread(client, pipe, hang, (), {n: (n,) for n in range(4)}):
            found.append(number)
    assert time.monotonic() - start < 30
    assert sorted(found) == [0, 1, 2]


def test_a_worker_that_is_slow_is_waited_for_as_long_as_it_calls_the_denoiser(
    pipe, client, impatient
):
    assert dict(spread(client, pipe, call_slowly, (), {0: ()})) == {0: True}


def test_a_lost_scheduler_is_an_error(pipe, client, workers):
    workers(1)
    with pytest.raises(ClusterError, match="the scheduler was lost"):
        for _ in spread(client, pipe, threads, (), {0: (), 1: ()}):
            client.cluster.close()


def test_an_address_without_scheduler_is_an_error():
    with pytest.raises(ClusterError, match="no dask scheduler at 'nowhere'"):
        connect("nowhere")


def test_the_votes_command_uses_the_workers_of_a_scheduler(
    folder, client, workers, tmp_path, monkeypatch, capsys
):
    workers(1)
    (tmp_path / "c.yaml").write_text("concepts: {Color: [red, blue], Animals: [cat, dog]}")
    options = ["-m", folder, "--concepts", tmp_path / "c.yaml", "--steps", 2, "--prompt", "a cat"]
    address = ["--cluster", client.scheduler.address]
    code, _, _ = run(monkeypatch, capsys, "votes", "-o", tmp_path / "there", *options, *address)
    assert code == 0
    code, _, _ = run(monkeypatch, capsys, "votes", "-o", tmp_path / "here", *options)
    assert code == 0
    there, here = (
        read_dataset(next((tmp_path / name).glob("*/data.zarr"))) for name in ("there", "here")
    )
    same(there, here)


@pytest.mark.full
def test_the_results_command_shares_votes_and_images_among_the_workers(
    client, workers, tmp_path, monkeypatch, capsys
):
    workers(1)
    (tmp_path / "inputs").mkdir()
    inputs = write_inputs(tmp_path / "inputs", tiny_sd())

    def none():
        raise StoreError("there is no checkout")

    monkeypatch.setattr("hrvlab.publish.chapters.find_checkout", none)  # so that no pages are made
    address = ["--cluster", client.scheduler.address]
    for name, more in (("there", address), ("here", [])):
        given = options(inputs, output=tmp_path / name)
        code, _, said = run(monkeypatch, capsys, "results", "weakening", *given, *more)
        assert code == 0, said
    for name in ("votes", "weakening"):
        there, here = (
            read_result(name, tmp_path / one / "results").data for one in ("there", "here")
        )
        xr.testing.assert_equal(there, here)
