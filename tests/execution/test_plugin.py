from __future__ import annotations

import signal
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from nipype.interfaces.utility import Function
from nipype.pipeline import engine as pe

from haca3_bids.errors import Haca3Error, TemporaryFailure
from haca3_bids.execution.crash import error_from, read_crashes
from haca3_bids.execution.graph import _plugin
from haca3_bids.execution.plugin import NO_RESULT, SturdyMultiProcPlugin, cluster_plugin
from haca3_bids.execution.progress import Progress
from haca3_bids.execution.resources import Resources
from haca3_bids.settings import ExecutionSettings, Settings


def touch(path: str) -> str:
    from pathlib import Path

    Path(path).touch()
    return path


def kill_own_process(path: str) -> str:
    import os
    import signal
    import time

    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)
    return path


def kill_once(path: str) -> str:
    import os
    import signal
    from pathlib import Path

    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path


def refuse(path: str) -> str:
    raise ValueError(f"no {path}")


def append(path: str) -> str:
    from pathlib import Path

    with (Path.cwd().parents[2] / "order.txt").open("a") as order:
        order.write(f"{path} ")
    return path


def slow_touch(path: str) -> str:
    import time
    from pathlib import Path

    time.sleep(0.6)
    Path(path).touch()
    return path


def node(name: str, function: object, path: Path) -> pe.Node:
    made = pe.Node(Function(["path"], ["out"], function=function), name=name)
    made.inputs.path = str(path)
    return made


@pytest.fixture
def workflow(tmp_path: Path) -> pe.Workflow:
    made = pe.Workflow(name="wf", base_dir=str(tmp_path / "work"))
    made.config["execution"] = {
        "crashdump_dir": str(tmp_path),
        "crashfile_format": "txt",
        "poll_sleep_duration": 0.02,
        "create_report": False,
    }
    return made


def run(workflow: pe.Workflow, processes: int = 2) -> None:
    def give_up(*_: object) -> None:
        raise TimeoutError("the plugin waits for ever")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(600)  # far longer than any machine takes
    try:
        workflow.run(plugin=SturdyMultiProcPlugin({"n_procs": processes, "memory_gb": 4, "raise_insufficient": False}))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_a_killed_worker_fails_its_own_step_and_the_others_are_done(workflow: pe.Workflow, tmp_path: Path) -> None:
    workflow.add_nodes([node("killed", kill_own_process, tmp_path / "never")])
    workflow.add_nodes([node(f"beside{i}", slow_touch, tmp_path / f"beside{i}") for i in range(3)])
    after = node("after", touch, tmp_path / "after")
    workflow.connect([(workflow.get_node("beside0"), after, [("out", "path")])])
    with pytest.raises(Exception, match="killed"):
        run(workflow)
    assert all((tmp_path / f"beside{i}").exists() for i in range(3))
    (crash,) = read_crashes(tmp_path)
    assert crash.node == "wf.killed"
    assert crash.error.exit_code == 75
    assert "was killed" in crash.error.sentence


def test_a_failure_is_told_when_it_happens(
    workflow: pe.Workflow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workflow.add_nodes([node("register", refuse, tmp_path / "refused"), node("other", slow_touch, tmp_path / "other")])
    with caplog.at_level("WARNING", "haca3_bids"), pytest.raises(Exception, match="refused"):
        run(workflow)
    (told,) = [one.getMessage() for one in caplog.records if one.name == "haca3_bids"]
    assert "failed while registering to the template: Unexpected: ValueError: no " in told


def test_a_graph_that_ends_at_its_first_crash_leaves_no_step_running(workflow: pe.Workflow, tmp_path: Path) -> None:
    """The locks of their sessions are released."""
    workflow.config["execution"]["stop_on_first_crash"] = True
    workflow.add_nodes([node("bad", refuse, tmp_path / "bad"), node("long", slow_touch, tmp_path / "long")])
    with pytest.raises(RuntimeError, match="no"):
        run(workflow)
    assert psutil.Process().children(recursive=True) == []
    assert not (tmp_path / "long").exists()


def test_a_worker_that_is_killed_by_chance_is_tried_again(workflow: pe.Workflow, tmp_path: Path) -> None:
    workflow.add_nodes([node("once", kill_once, tmp_path / "once")])
    run(workflow)
    assert read_crashes(tmp_path) == []


def test_without_a_kill_the_plugin_does_what_multiproc_does(workflow: pe.Workflow, tmp_path: Path) -> None:
    workflow.add_nodes([node(f"n{i}", touch, tmp_path / f"n{i}") for i in range(4)])
    run(workflow)
    assert all((tmp_path / f"n{i}").exists() for i in range(4))
    assert read_crashes(tmp_path) == []


def test_a_session_is_finished_before_the_next_begins(workflow: pe.Workflow, tmp_path: Path) -> None:
    for session in ("first", "second"):
        part = pe.Workflow(name=session)
        steps = [pe.Node(Function(["path"], ["out"], function=append), name=f"step{i}") for i in range(3)]
        steps[0].inputs.path = session
        part.connect([(one, other, [("out", "path")]) for one, other in pairwise(steps)])
        workflow.add_nodes([part])
    run(workflow, processes=1)
    (order,) = tmp_path.rglob("order.txt")
    assert order.read_text().split() == ["first"] * 3 + ["second"] * 3


def test_a_step_that_needs_several_processors_is_not_overtaken_forever(tmp_path: Path) -> None:
    """Three sessions with short steps and networks on both processors: each ends before the one after the next begins.

    Otherwise the steps of later sessions take each processor as soon as it is free.
    """
    workflow = pe.Workflow(name="both", base_dir=str(tmp_path))
    for session in "abcd":
        inner, before = pe.Workflow(name=f"sub_{session}_wf"), None
        for step in ("first", "second", "third", "networks"):
            node = pe.Node(Function(["path"], ["path"], append), name=step, n_procs=2 if step == "networks" else 1)
            node.inputs.path = f"{session}-{step}"
            if before is not None:
                inner.connect([(before, node, [(("path", _next, session, step), "path")])])
            before = node
        workflow.add_nodes([inner])
    arguments = {"n_procs": 2, "memory_gb": 1.0}
    workflow.run(plugin=SturdyMultiProcPlugin(plugin_args=arguments), plugin_args=arguments)
    order = next(tmp_path.rglob("order.txt")).read_text().split()
    assert len(order) == 16
    assert order.index("a-networks") < order.index("c-second")
    assert order.index("b-networks") < order.index("d-third")


def _next(path: str, session: str, step: str) -> str:
    return f"{session}-{step}"


def test_multiproc_of_a_plugin_file_is_the_sturdy_one_with_the_arguments_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "plugin.yml").write_text("plugin: MultiProc\nplugin_args: {n_procs: 3}\n")
    execution = ExecutionSettings(plugin_file=tmp_path / "plugin.yml")
    settings = Settings(tmp_path, tmp_path, execution=execution)
    plugin, arguments = _plugin(settings, Resources(2, 1, 4.0), tmp_path, Progress(1))
    assert isinstance(plugin, SturdyMultiProcPlugin)
    assert (plugin.processors, plugin.memory_gb, arguments["n_procs"]) == (3, 4.0, 3)


def of_nipype(taskid: int, text: str) -> str:
    """As SGELikeBatchManagerBase words it."""
    return f"OSError: Job id ({taskid}) {text} after (5.0) seconds.\nNode working directory: (/x)"


@pytest.mark.parametrize(("text", "kind"), [(NO_RESULT, TemporaryFailure), ("failed", Haca3Error)])
def test_a_job_without_result_is_an_error_that_nipype_can_report(
    text: str, kind: type[Haca3Error], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"result": None, "traceback": of_nipype(7, text)}
    monkeypatch.setattr("nipype.pipeline.plugins.SLURMPlugin._get_result", lambda self, taskid: told)
    lines = cluster_plugin("SLURM", {})._get_result(7)["traceback"]
    assert isinstance(lines, list)
    assert type(error_from("".join(lines))) is kind
