"""Nipype's plugins, extended to survive a worker or a job that is killed."""

import logging
import os
import pickle
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from traceback import format_exception
from typing import Any

from nipype.pipeline import plugins
from nipype.pipeline.plugins.multiproc import MultiProcPlugin, process_initializer, run_node

from haca3_bids.errors import TemporaryFailure
from haca3_bids.execution.crash import HINT_MEMORY
from haca3_bids.execution.interrupt import not_again
from haca3_bids.execution.progress import tell_failure
from haca3_bids.orphan import end_with_parent

LOGGER = logging.getLogger("haca3_bids")
KILLED = TemporaryFailure("The worker process was killed, probably because memory ran out.", HINT_MEMORY)
NO_RESULT = "finished or terminated, but results file does not exist"  # Nipype, of a job that left nothing
JOB_KILLED = TemporaryFailure(
    "The job of this step was killed, or could not start.",
    "Request more memory or time for jobs in the plugin file; the scheduler says why it ended (sacct -j).",
)

CANCEL = {"SLURM": "scancel", "SGE": "qdel", "PBS": "qdel", "LSF": "bkill", "OAR": "oardel"}
CANCEL_S = 60.0  # time for a busy scheduler to answer


def cluster_plugin(name: str, arguments: dict[str, Any]) -> Any:
    """Nipype's plugin of that name, in which a killed job fails its own step, and the run goes on.

    Nipype gives the traceback of a job without result as one text where it wants a list, and ends with a TypeError.
    """
    plugin = getattr(plugins, f"{name}Plugin")(plugin_args=arguments)
    if hasattr(plugin, "_get_result"):
        ask = plugin._get_result
        plugin._get_result = lambda taskid: _with_list(ask(taskid))
    if hasattr(plugin, "_clean_queue"):
        clean = plugin._clean_queue
        plugin._clean_queue = lambda jobid, graph, result=None: _told(plugin, clean, jobid, graph, result)
    return plugin


def _told(plugin: Any, clean: Callable[..., Any], jobid: int, graph: Any, result: dict[str, Any] | None) -> Any:
    """The answer of Nipype's ``_clean_queue``, which removes the steps after one that failed; the failure is told."""
    if traceback := (result or {}).get("traceback"):
        tell_failure(plugin.procs[jobid], traceback)
    return clean(jobid, graph, result=result)


def _with_list(result: dict[str, Any] | None) -> dict[str, Any] | None:
    text = (result or {}).get("traceback")
    if result is None or not isinstance(text, str):
        return result
    return result | {"traceback": format_exception(JOB_KILLED) if NO_RESULT in text else text.splitlines(keepends=True)}


def cancel_jobs(plugin: Any) -> None:
    """Cancel the jobs that a plugin of Nipype has submitted to a cluster and that may still wait or run."""
    jobs = [str(job) for job in getattr(plugin, "_pending", ())]
    command = CANCEL.get(type(plugin).__name__.removesuffix("Plugin"))
    if not (jobs and command):
        return
    not_again()
    try:
        subprocess.run([command, *jobs], capture_output=True, timeout=CANCEL_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        LOGGER.warning("Not all of the jobs %s could be cancelled: %s", ", ".join(jobs), error)
    else:
        LOGGER.info("Jobs cancelled: %s", ", ".join(jobs))


@dataclass(frozen=True)
class _Task:
    node: Any
    updatehash: bool
    pool: ProcessPoolExecutor
    alone: bool = False  # the second try, in a pool of its own


class SturdyMultiProcPlugin(MultiProcPlugin):  # type: ignore[misc]
    """MultiProc in which a killed worker fails its own step, and the run goes on.

    When a worker is killed, the whole pool of concurrent.futures breaks: every running task ends with
    BrokenProcessPool, which Nipype ignores in a callback, so that it waits forever. Here the pool is replaced. It is
    not known which of the running tasks was killed, so each is repeated alone in a pool of its own; a task that is
    killed again is reported as failed.
    """

    def __init__(self, plugin_args: dict[str, Any] | None = None) -> None:
        super().__init__(plugin_args=plugin_args)
        self.pool: ProcessPoolExecutor = self._make_pool(self.processors)
        self._tasks: dict[int, _Task] = {}
        self._guard = threading.RLock()

    def run(self, graph: Any, config: Any, updatehash: bool = False) -> None:
        """Run the graph; if it ends early, as with --stop-on-first-crash, the steps that are running are stopped."""
        try:
            super().run(graph, config, updatehash=updatehash)
        except Exception:
            for pool in {self.pool, *(task.pool for task in self._tasks.values())}:
                for process in list((pool._processes or {}).values()):  # none after an ordinary end
                    process.kill()
                pool.shutdown(cancel_futures=True)
            raise

    def _sort_jobs(self, jobids: Iterable[int], scheduler: str | None = None) -> list[int]:
        """Steps that can start, those of earlier sessions first.

        Nipype's order is step by step: all sessions would be read, then all registered, and all networks would run at
        the end, with nothing to do beside them. In this order, sessions are finished one after the other. If a step
        waits for several processors, later ones wait too: they would take each processor as soon as it is free.
        """
        ready = super()._sort_jobs(jobids, scheduler=scheduler)
        ordered = sorted(ready, key=lambda jobid: self.procs[jobid].fullname.split(".")[:2])
        free = self._check_resources(self.pending_tasks)[1]
        needed = [min(self.procs[jobid].n_procs, self.processors) for jobid in ordered]
        waiting = next((place for place, count in enumerate(needed) if count > max(1, free)), len(ordered))
        return ordered[:waiting]

    def _local_hash_check(self, jobid: int, graph: Any) -> bool:
        """Whether a step need not run, because its results exist, or because its inputs do not.

        Inputs are missing if the results of the steps before it are there, but not all of their files, as where a
        cleaning of the scratch folder has begun. MultiProc ends with an error then, and so do all other steps.
        """
        try:
            self.procs[jobid].is_cached()
        except Exception as error:
            result: dict[str, Any] = {"result": None, "traceback": format_exception(error)}
            self._run_errors.append("".join(result["traceback"]))
            self._clean_queue(jobid, graph, result=result)
            self.proc_pending[jobid] = False
            return True
        return bool(super()._local_hash_check(jobid, graph))

    def _clean_queue(self, jobid: int, graph: Any, result: dict[str, Any] | None = None) -> Any:
        return _told(self, super()._clean_queue, jobid, graph, result)

    def _submit_job(self, node: Any, updatehash: bool = False) -> int:
        with self._guard:
            self._taskid += 1
            taskid: int = self._taskid
            try:
                self._submit(taskid, _Task(node, updatehash, self.pool))
            except BrokenProcessPool:
                self._renew(self.pool)
                self._submit(taskid, _Task(node, updatehash, self.pool))
        return taskid

    def _submit(self, taskid: int, task: _Task) -> None:
        self._tasks[taskid] = task
        future = task.pool.submit(_run, pickle.dumps(task.node), task.updatehash, taskid)
        self._task_obj[taskid] = future
        future.add_done_callback(lambda done: self._finished(taskid, done))

    def _finished(self, taskid: int, future: Future[dict[str, Any]]) -> None:
        """Called in a thread of the pool: keep the result, or mark the task for the main thread."""
        try:
            result = future.result()
        except BrokenProcessPool:
            result = {"taskid": taskid, "killed": True}
        except Exception as error:  # the result could not be sent back, which is a failure too
            result = {"result": None, "traceback": [f"{type(error).__name__}: {error}"], "taskid": taskid}
        self._taskresult[taskid] = result

    def _get_result(self, taskid: int) -> dict[str, Any] | None:
        result: dict[str, Any] | None = self._taskresult.get(taskid)
        if not result or not result.get("killed"):
            return result
        del self._taskresult[taskid]
        with self._guard:
            task = self._tasks[taskid]
            self._renew(task.pool)
            if not task.alone:
                LOGGER.warning("A worker was killed; the step %s is tried once more, by itself.", task.node.fullname)
                self._submit(taskid, _Task(task.node, task.updatehash, self._make_pool(1), alone=True))
                return None
        failed: dict[str, Any] = {"result": None, "traceback": format_exception(KILLED), "taskid": taskid}
        self._taskresult[taskid] = failed
        return failed

    def _clear_task(self, taskid: int) -> None:
        task = self._tasks.pop(taskid, None)
        if task is not None and task.alone:
            task.pool.shutdown(wait=False)
        super()._clear_task(taskid)

    def _renew(self, broken: ProcessPoolExecutor) -> None:
        """A new pool in place of the common one, if that is the one that broke."""
        if self.pool is broken:
            broken.shutdown()  # until the other workers, which the pool stops, are gone: their steps start anew
            self.pool = self._make_pool(self.processors)

    def _make_pool(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            max_workers=workers, initializer=_begin, initargs=(os.getpid(), self._cwd), mp_context=get_context("fork")
        )


def _run(node: bytes, updatehash: bool, taskid: int) -> dict[str, Any]:
    """The result of Nipype's run_node for a pickled step; an exception outside of it becomes the error of the step.

    A step with a missing file cannot be unpickled, which would break the pool as if its worker had been killed. If a
    step failed before it wrote a result, run_node fails because it searches for the result.
    """
    try:
        result: dict[str, Any] = run_node(pickle.loads(node), updatehash, taskid)
    except Exception as error:
        cause: BaseException = error
        while isinstance(cause, FileNotFoundError) and cause.__context__ is not None:
            cause = cause.__context__
        result = {"result": None, "traceback": format_exception(cause), "taskid": taskid}
    return result


def _begin(parent: int, folder: str) -> None:
    """Initialize a worker. Signals that reach all processes are ignored, since the main process handles them."""
    end_with_parent(parent)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    process_initializer(folder)
