"""A plan on a real Dask cluster of local processes."""

import functools
import importlib
import os
import signal
import threading
import time

import pytest

from mesascope.plans import Here, Plan, PlanFailed, Work, execute
from mesascope.plans import cluster as module
from mesascope.plans.cluster import Cluster
from mesascope.records.codec import to_json
from mesascope.records.journal import Journal
from mesascope.types import Measured

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask's own


WORK = '''
"""Work that other processes can import."""
import os
import time

from mesascope.instruments.reading.readout import readouts
from mesascope.models.constructions import gradient_descent
from mesascope.tasks import LinearRegression
from mesascope.types import Measured


def brief(number: int, say) -> Measured:
    """Work that cannot be told from work: a few milliseconds."""
    time.sleep(0.05)
    return Measured(seconds=float(number))


def sleepy(seconds: float, say) -> Measured:
    time.sleep(seconds)
    return Measured(seconds=seconds)


def fatal(say) -> Measured:
    os._exit(1)


def readable(seed: int, say) -> Measured:
    found = readouts(gradient_descent(layers=2), LinearRegression(dim=2, examples=6), seed=seed, fit=12, score=8)
    return Measured(measurements=found)
'''


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The work as a module on the path, which workers are started with: they cannot import tests."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "cluster_work.py").write_text(WORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
        yield importlib.import_module("cluster_work")


def local(workers: int):
    return distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")


@pytest.fixture(scope="module")
def cluster(work):
    with local(2) as made:
        yield made


@pytest.fixture
def expendable(work):
    """A cluster of one test's own that loses workers: none has to start again, because on a busy machine Dask may not see to it.

    Dask gives the work of a dead worker to no other one here, so two deaths end a work item: one among others, one alone.
    """
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), local(3) as made:
        yield made


def plan_of(*runs) -> Plan:
    works = (Work(name=f"work {i}", key=i, result=Measured, run=run) for i, run in enumerate(runs))
    return Plan(words="a plan", works=tuple(works))


def test_it_finds_what_this_process_finds(cluster, work, unchecked):
    plan = plan_of(*(functools.partial(work.readable, seed) for seed in range(4)))
    engines = Here(), Cluster(scheduler=cluster.scheduler_address)
    here, there = (execute(plan, Journal(None), engine=engine) for engine in engines)
    assert to_json(dict(there)) == to_json(dict(here))


def test_twenty_measures_survive_the_death_of_a_worker(work, tmp_path):
    plan = plan_of(*(functools.partial(work.sleepy, 0.2 + i / 1000) for i in range(20)))
    with local(2) as cluster:
        victim = next(iter(cluster.workers.values()))

        def kill() -> None:
            time.sleep(0.8)
            os.kill(victim.pid, signal.SIGKILL)

        killing = threading.Thread(target=kill)
        killing.start()
        found = execute(plan, Journal(tmp_path), engine=Cluster(scheduler=cluster.scheduler_address))
        killing.join()
    assert [each.seconds for each in found.values()] == [0.2 + i / 1000 for i in range(20)]


def test_work_that_kills_its_workers_is_named_and_the_rest_completes(expendable, work, tmp_path):
    plan = plan_of(work.fatal, *(functools.partial(work.brief, i) for i in range(3)))
    with pytest.raises(PlanFailed, match=r"1 of 4 work items killed every worker .*: work 0\."):
        execute(plan, Journal(tmp_path), engine=Cluster(scheduler=expendable.scheduler_address))
    assert len([path for path in (tmp_path / "parts").glob("*.json") if len(path.stem) == 64]) == 3


def test_a_scheduler_that_does_not_answer_is_said(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 1)
    with pytest.raises(ValueError, match=r"'tcp://127\.0\.0\.1:9' did not answer within 1 s") as raised:
        Cluster(scheduler="tcp://127.0.0.1:9").check()
    assert "\n" not in str(raised.value)


def test_a_worker_with_another_version_is_refused(cluster, work, monkeypatch):
    here = module.provenance()
    older = {**here, "versions": {**here["versions"], "torch": "1.0"}}
    monkeypatch.setattr(module, "provenance", lambda: older)
    with pytest.raises(
        ValueError, match=r"worker tcp://.* has torch 2.*, and this process has 1\.0\. Start the workers from this"
    ):
        Cluster(scheduler=cluster.scheduler_address).check()


def test_a_worker_that_ends_while_it_is_asked_is_no_other_version(cluster, work, monkeypatch):
    real, asked = distributed.Client.run, []

    def run(*args, **options):
        asked.append(args)
        if len(asked) == 1:
            raise distributed.comm.CommClosedError("Stream is closed")
        return real(*args, **options)

    monkeypatch.setattr(distributed.Client, "run", run)
    Cluster(scheduler=cluster.scheduler_address).check()
    assert len(asked) == 2


def test_a_cluster_whose_workers_are_gone_ends_the_plan(cluster, work, monkeypatch):
    monkeypatch.setattr(module, "LOOK", 0.1)
    monkeypatch.setattr(module, "ALONE", 0.3)
    real = distributed.Client.scheduler_info
    monkeypatch.setattr(distributed.Client, "scheduler_info", lambda *a, **k: {**real(*a, **k), "workers": {}})
    plan = plan_of(functools.partial(work.sleepy, 30.0))
    with pytest.raises(OSError, match=r"the scheduler has had no worker for 0\.3 s\. The finished results are kept"):
        execute(plan, Journal(None), engine=Cluster(scheduler=cluster.scheduler_address))
