"""Several runs at once: in processes of this machine, or on a Ray cluster; with the numbers of one after another.

Each run is of one process. Its draws are functions of its seed alone, and what its kernels compute does not depend on
the number of threads; torch's products of matrices may, so that the number of threads is told to each process, and is
one that can be given to runs one after another as well ($OMP_NUM_THREADS).
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Generic, Protocol, TypeVar

import torch

from izhi.errors import IzhiError, SettingError, shown
from izhi.experiments.run import RunListener, SilentRun
from izhi.experiments.settings import Experiment

Found = TypeVar("Found")
#: What a process tells of its runs: the number of a job, a method of its listener, and the arguments.
_Message = tuple[int, str, tuple[Any, ...]]
#: Seconds between two messages about steps.
_PAUSE = 0.2


class JobListener(RunListener, Protocol):
    """A listener of the runs of one job, which is also told that no more will come."""

    def end(self) -> None:
        """The job has come to its end."""


class SilentJob(SilentRun):
    """A listener of jobs that says nothing."""

    def end(self) -> None: ...


@dataclass(frozen=True)
class Job(Generic[Found]):
    """What one process does at a time: a run, or several in a row.

    Attributes:
        name: by which an error is reported, such as the run's folder.
        do: does it; a function of a module with its arguments, so that it can be sent to another process.
    """

    name: str
    do: Callable[[RunListener], Found]


@dataclass(frozen=True)
class Together:
    """Where jobs are done at once, and who is told of them.

    Attributes:
        jobs: how many at once; None on Ray for as many as it has cores.
        ray: address of a Ray cluster: ``local`` to start one here, ``auto`` for the one that is found, or host:port.
        listen: a listener for a job.
        report: told, in a line, of a job that failed.
        prepare: called in each process before its job; a function of a module, so that it can be sent there.

    Raises:
        SettingError: if there is no such cluster, or Ray is not installed, or no job may be done.
    """

    jobs: int | None
    ray: str | None
    listen: Callable[[], JobListener]
    report: Callable[[str], None]
    prepare: Callable[[], None]

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise SettingError(f"jobs is {self.jobs}, expected at least 1")
        # Before anything is written for runs that there is no place for; a cluster here is started when they begin.
        if self.ray == "local":
            _ray()
        elif self.ray is not None:
            with _cluster(self.ray, self.jobs):
                pass

    def run(self, jobs: Sequence[Job[Found]], keep: Callable[[Found], None] = lambda found: None) -> list[Found]:
        """Do all jobs; what they give, in their order. ``keep`` is told what each gives as soon as it has ended.

        A job that fails is reported at once, and the others go on. An interrupt, or the end of this process, ends all
        processes at once: files are written whole or not at all, so that what they were writing can be gone on with.

        Raises:
            IzhiError: after all other jobs, of the first job that failed; or if a process was killed.
            SettingError: if the cluster is there no more.
        """
        found: dict[int, Found] = {}
        failed: dict[int, IzhiError] = {}
        begin = _here if self.ray is None else _on_ray
        with begin(jobs, self, [self.listen() for _ in jobs]) as futures:
            numbers = {future: number for number, future in enumerate(futures)}
            for future in as_completed(futures):
                number = numbers[future]
                given = self._result(jobs[number].name, future)
                if isinstance(given, IzhiError):
                    failed[number] = given
                    self.report(f"{jobs[number].name}: {given}")
                else:
                    found[number] = given
                    keep(given)
        if failed:
            first = min(failed)
            more = f" ({len(failed) - 1} more failed, see above)" if len(failed) > 1 else ""
            raise type(failed[first])(f"{jobs[first].name}: {failed[first]}{more}")
        return [found[number] for number in range(len(jobs))]

    def _result(self, name: str, future: Future[Found | IzhiError]) -> Found | IzhiError:
        try:
            return future.result()
        except BrokenProcessPool:
            raise IzhiError(
                f"{name}: a process was killed, perhaps since memory ran out; go on with fewer --jobs, and --resume"
                " where there is one"
            ) from None
        except Exception as error:  # a bug, whose traceback does not say which run it was
            self.report(f"{name}: {type(error).__name__}: {shown(str(error))}")
            raise


def check(e: Experiment) -> None:
    """Raise SettingError for an experiment whose runs are of several processes each."""
    if e.machine.devices > 1 or e.machine.nodes > 1:
        raise SettingError(
            f"devices is {e.machine.devices} and nodes {e.machine.nodes}, but of several runs at once each has one"
            " process; leave jobs out"
        )


def threads(at_once: int) -> int:
    """Of each of so many processes: what $OMP_NUM_THREADS says, else an equal share of this machine's, at least one."""
    own = torch.get_num_threads()
    return own if os.environ.get("OMP_NUM_THREADS") else max(1, own // at_once)


class _Sender:
    """A listener that tells another process; steps are told a few at once."""

    def __init__(self, number: int, put: Callable[[_Message], object]) -> None:
        self._number, self._put = number, put
        self._losses: list[float] = []
        self._told = time.monotonic()

    def announce(self, e: Experiment, label: str = "") -> None:
        self._tell("announce", e, label)

    def begin(self, steps: int, finished: int) -> None:
        self._tell("begin", steps, finished)

    def step(self, loss: float) -> None:
        self._losses.append(loss)
        if time.monotonic() - self._told > _PAUSE:
            self._tell_steps()

    def epoch(self, row: dict[str, float], warnings: Sequence[str]) -> None:
        self._tell_steps()
        self._tell("epoch", row, list(warnings))

    def end(self) -> None:
        self._tell_steps()
        self._tell("end")

    def _tell_steps(self) -> None:
        if self._losses:
            self._tell("step", self._losses)
        self._losses, self._told = [], time.monotonic()

    def _tell(self, event: str, *values: Any) -> None:
        self._put((self._number, event, values))


def _hear(listeners: Sequence[JobListener], messages: Iterator[_Message]) -> None:
    """Pass on to listeners what processes tell."""
    for number, event, values in messages:
        listener = listeners[number]
        if event == "step":
            for loss in values[0]:
                listener.step(loss)
        else:
            getattr(listener, event)(*values)


def _work(
    job: Job[Found], number: int, own_threads: int, prepare: Callable[[], None], put: Callable[[_Message], object]
) -> Found | IzhiError:
    """Do a job in this process; an error that a user can put right is given back, which every pool carries alike."""
    prepare()
    torch.set_num_threads(own_threads)
    listener = _Sender(number, put)
    try:
        return job.do(listener)
    except IzhiError as error:
        return error
    finally:
        listener.end()


#: In a process of a pool: where its messages go.
_messages: Any = None


def _begin(messages: Any, lifeline: Connection) -> None:
    """The first thing that a process of a pool does."""
    global _messages
    _messages = messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    atexit.register(os._exit, 0)  # as ``processes.end`` does; multiprocessing has done the rest by then

    def end_with_the_first_process() -> None:
        multiprocessing.connection.wait([lifeline])
        os._exit(1)

    threading.Thread(target=end_with_the_first_process, daemon=True).start()


def _work_here(job: Job[Found], number: int, own_threads: int, prepare: Callable[[], None]) -> Found | IzhiError:
    return _work(job, number, own_threads, prepare, _messages.put)


@contextlib.contextmanager
def _here(
    jobs: Sequence[Job[Found]], workers: Together, listeners: Sequence[JobListener]
) -> Iterator[list[Future[Found | IzhiError]]]:
    """Processes of this machine, which end with this one, however it ends."""
    at_once = min(workers.jobs or 1, len(jobs))
    spawn = multiprocessing.get_context("spawn")  # a fork would lack the threads of torch
    messages = spawn.Queue()
    # Of a pipe whose other end is closed, also by the system for a process that was killed, there is news.
    lifeline, ours = spawn.Pipe(duplex=False)
    hearing = threading.Thread(target=_hear, args=(listeners, iter(messages.get, None)), daemon=True)
    hearing.start()
    pool = ProcessPoolExecutor(at_once, mp_context=spawn, initializer=_begin, initargs=(messages, lifeline))
    try:
        with _interrupts_later():
            own = threads(at_once)
            futures = [pool.submit(_work_here, job, k, own, workers.prepare) for k, job in enumerate(jobs)]
        yield futures
        pool.shutdown()  # which has told everything when it ends
        messages.put(None)
        hearing.join()
    finally:
        ours.close()
        pool.shutdown(cancel_futures=True)
        messages.cancel_join_thread()


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Within it interrupts wait; processes that are started within it are never interrupted."""
    mask = getattr(signal, "pthread_sigmask", None)  # Windows has none
    if mask is None:
        yield
        return
    before = mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


def _require_answer(address: str) -> None:
    """Raise OSError if nobody listens at host:port, which Ray would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def _ray() -> Any:
    """The package, if it is installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would send them to its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of what it will change
    try:
        import ray
    except ImportError:
        raise SettingError("ray is not installed; pip install 'izhi[ray]'") from None
    return ray


@contextlib.contextmanager
def _cluster(address: str, jobs: int | None) -> Iterator[Any]:
    """Ray, connected to a cluster, or to one that is started here for so many jobs, whose processes end with it."""
    ray = _ray()
    where: dict[str, object] = {"address": address}
    if address == "local":
        where |= {"num_cpus": jobs or os.cpu_count() or 1, "include_dashboard": False}
    try:
        _require_answer(address)
        ray.init(**where, logging_level="ERROR", log_to_driver=False)
    except Exception as error:  # of many kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SettingError(
            f"ray is {shown(address)}, where no cluster answers ({shown(reason)}); start one by ray start --head,"
            " or give --ray local"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _on_ray(
    jobs: Sequence[Job[Found]], workers: Together, listeners: Sequence[JobListener]
) -> Iterator[list[Future[Found | IzhiError]]]:
    """Processes of a Ray cluster, whose machines see the same files as this one."""
    with _cluster(str(workers.ray), workers.jobs) as ray:
        from ray.util.queue import Queue

        cores = int(ray.cluster_resources().get("CPU", 1))
        at_once = min(workers.jobs or cores, cores)
        share = max(1, cores // at_once)
        # On this machine as without Ray; else as many as a job's cores.
        own = threads(at_once) if workers.ray == "local" or os.environ.get("OMP_NUM_THREADS") else share
        messages = Queue(actor_options={"num_cpus": 0})
        hearing = threading.Thread(target=_hear, args=(listeners, iter(messages.get, None)), daemon=True)
        hearing.start()
        remote = ray.remote(num_cpus=share, max_retries=0)(_work)
        refs = [remote.remote(job, k, own, workers.prepare, messages.put) for k, job in enumerate(jobs)]
        yield [ref.future() for ref in refs]
        messages.put(None)
        hearing.join()


__all__ = ["Job", "JobListener", "SilentJob", "Together", "check", "threads"]
