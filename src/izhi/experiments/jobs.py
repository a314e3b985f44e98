"""Planned runs at the same time: in processes of this machine, or on a Ray cluster; same numbers as in series.

Each run has one process. Its draws depend on its seed alone, and its kernels do not depend on the number of threads.
Torch's products of matrices may depend on it; every process therefore gets a fixed number of threads, which
$OMP_NUM_THREADS sets for runs in series as well.
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
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

import torch

from izhi.errors import IzhiError, SettingError, of_extra, shown
from izhi.experiments.planned import Outcome, PlannedRun, Resources
from izhi.experiments.settings import Experiment
from izhi.training import Listener, ProgressEvent, ignore_progress

#: Seconds between two messages about steps.
_PAUSE = 0.2
#: Modules that the server of processes imports once for all of them.
PRELOADED = ["izhi.experiments.run"]


@dataclass(frozen=True)
class ParallelRunner:
    """Executes planned runs at the same time, in processes of this machine or on a Ray cluster.

    Raises:
        SettingError: if no cluster answers, Ray is not installed, or ``jobs`` is below 1.
    """

    jobs: int | None  #: number of processes; None on Ray for as many as it has cores
    ray: str | None  #: address of a Ray cluster: ``local`` to start one here, ``auto`` for a running one, or host:port
    report: Callable[[str], None]  #: receives a line about each run that fails
    prepare: Callable[[], None]  #: called in each process before a run; it must be picklable
    listener: Listener = ignore_progress  #: receives the progress of all runs, in a thread of this process
    resources: Resources = field(default_factory=Resources)  #: resources of this process

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise SettingError(f"jobs is {self.jobs}, expected at least 1")
        # Before any folder is made for runs that no cluster would execute; a local cluster starts with the runs.
        if self.ray == "local":
            _ray()
        elif self.ray is not None:
            with _cluster(self.ray, self.jobs):
                pass

    def run(
        self, planned: Sequence[PlannedRun[Outcome]], keep: Callable[[Outcome], object] = lambda outcome: None
    ) -> list[Outcome]:
        """Execute runs: their outcomes in order. ``keep`` receives each outcome as soon as its run ends.

        If a run fails, its error is reported at once and the others continue. An interrupt, or the end of this
        process, ends all processes at once; files are written whole or not at all, so that every run can resume.

        Raises:
            IzhiError: after all other runs, the error of the first run that failed; or if a process was killed.
            SettingError: if the cluster does not answer any more.
        """
        outcomes: dict[int, Outcome] = {}
        failed: dict[int, IzhiError] = {}
        start = _start_here if self.ray is None else _start_on_ray
        with start(planned, self) as futures:
            numbers = {future: number for number, future in enumerate(futures)}
            for future in as_completed(futures):
                number = numbers[future]
                outcome = self._result(planned[number].name, future)
                if isinstance(outcome, IzhiError):
                    failed[number] = outcome
                    self.report(f"{planned[number].name}: {outcome}")
                else:
                    outcomes[number] = outcome
                    keep(outcome)
        if failed:
            first = min(failed)
            more = f" ({len(failed) - 1} more failed, see above)" if len(failed) > 1 else ""
            raise type(failed[first])(f"{planned[first].name}: {failed[first]}{more}")
        return [outcomes[number] for number in range(len(planned))]

    def _result(self, name: str, future: Future[Outcome | IzhiError]) -> Outcome | IzhiError:
        try:
            return future.result()
        except BrokenProcessPool:
            raise IzhiError(
                f"{name}: a process was killed, perhaps since memory ran out; use fewer --jobs, and --resume"
                " where there is one"
            ) from None
        except Exception as error:  # a bug; its traceback does not name the run
            self.report(f"{name}: {type(error).__name__}: {shown(str(error))}")
            raise


def check(e: Experiment) -> None:
    """Raise SettingError for an experiment whose runs use several processes each."""
    if e.machine.devices > 1 or e.machine.nodes > 1:
        raise SettingError(
            f"devices is {e.machine.devices} and nodes {e.machine.nodes}, but of several runs at once each has one"
            " process; leave jobs out"
        )


def threads(at_once: int) -> int:
    """Threads of each of so many processes: $OMP_NUM_THREADS, else an equal share of this machine's, at least one."""
    own = torch.get_num_threads()
    return own if os.environ.get("OMP_NUM_THREADS") else max(1, own // at_once)


def _bundle_steps(send: Listener) -> Listener:
    """A listener that sends the events of several steps as one."""
    steps: list[ProgressEvent] = []
    sent = time.monotonic()

    def listen(event: ProgressEvent) -> None:
        nonlocal sent
        if event.kind == "step":
            steps.append(event)
        if steps and (event.kind != "step" or time.monotonic() - sent > _PAUSE):
            send(replace(steps[-1], losses=[loss for step in steps for loss in step.losses]))
            steps.clear()
            sent = time.monotonic()
        if event.kind != "step":
            send(event)

    return listen


#: Of a process that executes run after run: its resources, and the queue of its events.
_resources = Resources()
_events: Any = None


def _execute(
    run: PlannedRun[Outcome], own_threads: int, prepare: Callable[[], None], send: Listener
) -> Outcome | IzhiError:
    """Execute a run in this process; an error of the user is returned, which every pool transmits alike."""
    prepare()
    torch.set_num_threads(own_threads)
    try:
        return run.execute(_resources, _bundle_steps(send))
    except IzhiError as error:
        return error


def _execute_here(run: PlannedRun[Outcome], own_threads: int, prepare: Callable[[], None]) -> Outcome | IzhiError:
    return _execute(run, own_threads, prepare, _events.put)


def _initialize(events: Any, lifeline: Connection, environment: dict[str, str]) -> None:
    global _events
    _events = events
    os.environ.clear()  # those of an earlier command of the same first process
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    atexit.register(os._exit, 0)  # as ``processes.end`` does; multiprocessing has done the rest by then

    def end_with_the_first_process() -> None:
        multiprocessing.connection.wait([lifeline])
        os._exit(1)

    threading.Thread(target=end_with_the_first_process, daemon=True).start()


@contextlib.contextmanager
def _receiving(listener: Listener, events: Any) -> Iterator[None]:
    """Pass the events of a queue to a listener in a thread, all of them unless an error ends the block."""

    def receive() -> None:
        for event in iter(events.get, None):
            listener(event)

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    yield
    events.put(None)
    thread.join()


@contextlib.contextmanager
def _start_here(
    planned: Sequence[PlannedRun[Outcome]], runner: ParallelRunner
) -> Iterator[list[Future[Outcome | IzhiError]]]:
    """Start processes of this machine, which end with this one, however it ends."""
    processes = min(runner.jobs or 1, len(planned))
    # A fork of this process would lack the threads of torch; the server has none. Windows has no server.
    has_server = "forkserver" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if has_server else "spawn")
    if has_server:
        context.set_forkserver_preload(PRELOADED)
    events = context.Queue()
    # The system closes our end of the pipe even if this process is killed; the others then end.
    lifeline, ours = context.Pipe(duplex=False)
    arguments = (events, lifeline, dict(os.environ))
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_initialize, initargs=arguments)
    try:
        with _receiving(runner.listener, events):
            with _interrupts_later():
                own = threads(processes)
                futures = [pool.submit(_execute_here, run, own, runner.prepare) for run in planned]
            yield futures
            pool.shutdown()  # after which all events are in the queue
    finally:
        ours.close()
        pool.shutdown(cancel_futures=True)
        events.cancel_join_thread()


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Defer interrupts; processes that are started meanwhile are never interrupted."""
    mask = getattr(signal, "pthread_sigmask", None)  # Windows has none
    if mask is None:
        yield
        return
    before = mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would send them to its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of what it will change
    with of_extra("ray", "ray"):
        import ray
    return ray


@contextlib.contextmanager
def _cluster(address: str, jobs: int | None) -> Iterator[Any]:
    """Ray, connected to a cluster, or to one that is started here for so many jobs, whose processes end with it."""
    ray = _ray()
    where: dict[str, object] = {"address": address}
    if address == "local":
        where |= {"num_cpus": jobs or os.cpu_count() or 1, "include_dashboard": False}
    try:
        host, colon, port = address.rpartition(":")
        if colon and port.isdecimal():  # Ray would try for minutes to reach one that does not answer
            socket.create_connection((host, int(port)), timeout=10).close()
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
def _start_on_ray(
    planned: Sequence[PlannedRun[Outcome]], runner: ParallelRunner
) -> Iterator[list[Future[Outcome | IzhiError]]]:
    """Start processes of a Ray cluster, whose machines see the same files as this one."""
    with _cluster(str(runner.ray), runner.jobs) as ray:
        from ray.util.queue import Queue

        cores = int(ray.cluster_resources().get("CPU", 1))
        processes = min(runner.jobs or cores, cores)
        share = max(1, cores // processes)
        # On this machine as without Ray; else as many as a run's cores.
        own = threads(processes) if runner.ray == "local" or os.environ.get("OMP_NUM_THREADS") else share
        events = Queue(actor_options={"num_cpus": 0})
        with _receiving(runner.listener, events):
            remote = ray.remote(num_cpus=share, max_retries=0)(_execute)
            refs = [remote.remote(run, own, runner.prepare, events.put) for run in planned]
            yield [ref.future() for ref in refs]
