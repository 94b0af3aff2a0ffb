"""A pool whose workers die as they please."""

from collections import deque
from pathlib import Path

import pytest

from bridges.bridge import BridgeConfig
from moonseg_cli.caching.events import Cause, Died, Done, Failed, Progress, Ready
from moonseg_cli.caching.jobs import Job
from moonseg_cli.caching.runners import ATTEMPTS, InProcess, Pool
from moonseg_jax.structs import InputError

DONE = Done(frames=2, num_bytes=1, num_masks=0)
JOBS = [Job(name, name, Path("out", name), "felzenszwalb") for name in "abcde"]


class ScriptedWorkers:
    """Workers that say what a script has for them.

    Args:
        count: of workers.
        script: by job name, the events of each attempt; those without are done at once.
        starts: the first words of the first workers; later ones are ready.
    """

    def __init__(self, count, script=(), starts=()):
        self.count = count
        self.started = 0
        self.stopped = False
        self._script = {name: deque(attempts) for name, attempts in dict(script).items()}
        self._starts = deque(starts)
        self._events = deque()

    def start(self):
        self.started += 1
        self._events.append((self.started, self._starts.popleft() if self._starts else Ready()))
        return self.started

    def submit(self, worker, task, job):
        attempts = self._script.get(job.name)
        for event in attempts.popleft() if attempts else [Progress(1, 2), DONE]:
            self._events.append((worker, event))

    def wait(self):
        assert self._events, "everybody waits for ever"
        return [self._events.popleft()]

    def stop(self):
        self.stopped = True


def results(workers, jobs=JOBS):
    with Pool(workers, len(jobs)) as pool:
        events = list(pool.run(None, jobs))
    assert workers.stopped
    ends = [(job.name, event) for job, event in events if not isinstance(event, Progress)]
    assert sorted(name for name, _ in ends) == sorted(job.name for job in jobs)
    return dict(ends)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_every_job_ends_once(count):
    workers = ScriptedWorkers(count)
    assert list(results(workers).values()) == [DONE] * len(JOBS)
    assert workers.started == min(count, len(JOBS))


def test_a_pool_works_on_one_list_after_the_other():
    with Pool(ScriptedWorkers(2), 5) as pool:
        assert len(list(pool.run(None, JOBS))) == 2 * len(JOBS)
        assert len(list(pool.run(None, JOBS[:2]))) == 2 * 2


def test_a_job_whose_worker_died_is_begun_again():
    died = [Progress(1, 2), Died("signal 9")]
    workers = ScriptedWorkers(2, {"b": [died, died], "c": [died]})
    assert list(results(workers).values()) == [DONE] * len(JOBS)
    assert workers.started == 2 + 3


def test_a_job_that_kills_its_workers_is_given_up_and_the_others_are_done():
    ends = results(ScriptedWorkers(2, {"b": [[Died("signal 9")]] * ATTEMPTS}))
    assert isinstance(ends["b"], Failed) and ends["b"].cause is Cause.LOST
    assert "signal 9" in ends["b"].sentence
    assert [end for name, end in ends.items() if name != "b"] == [DONE] * 4


def test_a_job_that_fails_is_not_begun_again():
    failed = Failed("no depth", Cause.INPUT)
    assert results(ScriptedWorkers(2, {"b": [[failed], [DONE]]}))["b"] is failed


def test_a_worker_that_dies_while_it_loads_is_replaced():
    workers = ScriptedWorkers(2, starts=[Ready(), Died("signal 9")])
    assert list(results(workers).values()) == [DONE] * len(JOBS)
    assert workers.started == 3


def test_workers_that_never_get_ready_end_the_run():
    workers = ScriptedWorkers(2, starts=[Died("signal 9")] * ATTEMPTS)
    with pytest.raises(InputError, match=r"while they loaded the backbones \(signal 9\)"):
        results(workers)
    assert workers.stopped


def test_what_a_backbone_lacks_ends_the_run():
    workers = ScriptedWorkers(2, starts=[Failed("no weights", Cause.INPUT)])
    with pytest.raises(InputError, match="no weights"):
        results(workers)
    crash = Failed("KeyError: 'x'", Cause.CRASH, "Traceback: KeyError")
    with pytest.raises(RuntimeError, match="Traceback: KeyError"):
        results(ScriptedWorkers(2, starts=[crash]))


def test_an_exception_is_a_scene_that_failed():
    def task(job, backbones):
        if job.name == "b":
            raise KeyError("x")
        yield DONE

    with InProcess(BridgeConfig()) as runner:
        ends = {job.name: event for job, event in runner.run(task, JOBS)}
    assert ends["b"].cause is Cause.CRASH and "Traceback" in ends["b"].details
    assert [end for name, end in ends.items() if name != "b"] == [DONE] * 4
