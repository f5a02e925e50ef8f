"""Execution of a graph with Nipype: configuration, plugin, crash files."""

import gc
import logging
from contextlib import chdir
from pathlib import Path
from typing import Any

from haca3_bids.errors import UsageError
from haca3_bids.execution.crash import Crash, read_crashes
from haca3_bids.execution.progress import Progress
from haca3_bids.execution.resources import Resources
from haca3_bids.settings import Settings

LOGGER = logging.getLogger("haca3_bids")
POLL_SECONDS = 0.2


def configure_nipype(settings: Settings) -> None:
    """Configure Nipype in this process and its workers."""
    from nipype import config

    execution = settings.execution
    config.update_config(
        {
            "execution": {
                "hash_method": "content",
                "crashfile_format": "txt",
                "stop_on_first_crash": execution.stop_on_first_crash,
                "remove_unnecessary_outputs": False,  # results refer to files that are not outputs themselves
                "keep_inputs": True,
                "poll_sleep_duration": POLL_SECONDS,
                "create_report": False,
                "check_version": False,
                "get_linked_libs": False,
            },
            "monitoring": {"enabled": execution.resource_monitor, "sample_frequency": 0.5},
        }
    )
    if execution.resource_monitor:
        config.enable_resource_monitor()
    else:
        config.disable_resource_monitor()


def run_graph(workflow: Any, settings: Settings, resources: Resources, logs: Path, progress: Progress) -> list[Crash]:
    """Run a workflow to its end and return the steps that crashed; errors of Nipype itself are raised."""
    if settings.execution.write_graph:
        write_graph(workflow, logs)
    known = {crash.file for crash in read_crashes(logs)}
    workflow.config["execution"] |= {"crashdump_dir": str(logs)}  # the common configuration takes no % in a path
    scratch = Path(workflow.base_dir)
    scratch.mkdir(parents=True, exist_ok=True)
    gc.freeze()  # Nipype collects garbage at each poll, which takes a quarter of a second with all that is imported
    try:
        with chdir(scratch):  # Nipype's resource monitor leaves files where its workers were started
            plugin, arguments = _plugin(settings, resources, logs, progress)
            _run(workflow, plugin, arguments)
    except Exception as error:
        crashes = [crash for crash in read_crashes(logs) if crash.file not in known]
        if not crashes:
            raise
        LOGGER.debug("The graph ended with %s", error)
        return crashes
    finally:
        gc.unfreeze()
    return [crash for crash in read_crashes(logs) if crash.file not in known]


def _run(workflow: Any, plugin: Any, arguments: dict[str, Any]) -> None:
    """Run a workflow; if it ends early, no job is left on the cluster."""
    from haca3_bids.execution.plugin import cancel_jobs

    try:
        workflow.run(plugin=plugin, plugin_args=arguments)
    except BaseException:
        cancel_jobs(plugin)
        raise


def _plugin(settings: Settings, resources: Resources, logs: Path, progress: Progress) -> tuple[Any, dict[str, Any]]:
    """The plugin and its arguments: those of --nipype-plugin-file, else our MultiProc."""
    from haca3_bids.execution.plugin import SturdyMultiProcPlugin, cluster_plugin

    chosen: dict[str, Any] = {"plugin": "MultiProc"}
    if settings.execution.plugin_file is not None:
        chosen = read_plugin_file(settings.execution.plugin_file)
    if chosen["plugin"] != "MultiProc":
        own = {"status_callback": progress} | (chosen.get("plugin_args") or {})
        return cluster_plugin(chosen["plugin"], own), own
    arguments: dict[str, Any] = {
        "n_procs": resources.nprocs,
        "memory_gb": resources.memory_gb,
        "raise_insufficient": False,
        "n_gpu_procs": 1,  # all networks run on one device
    }
    monitored = settings.execution.resource_monitor
    arguments["status_callback"] = ResourceTable(progress, logs / "resources.tsv") if monitored else progress
    arguments |= chosen.get("plugin_args") or {}
    return SturdyMultiProcPlugin(plugin_args=arguments), arguments


class ResourceTable:
    """Callback of Nipype that reports progress and adds the resources used by each step to a table."""

    def __init__(self, progress: Progress, path: Path) -> None:
        self.progress, self.path = progress, path
        if not path.exists():
            path.write_text("step\tstatus\tseconds\tpeak_memory_gb\tcpu_percent\n")

    def __call__(self, node: Any, status: str) -> None:
        """Report progress, and add a line when a step ends."""
        self.progress(node, status)
        if status == "start":
            return
        try:
            runtime = node.result.runtime
        except Exception:  # for a step without a result, Nipype raises several kinds
            runtime = None
        values = [getattr(runtime, name, None) for name in ("duration", "mem_peak_gb", "cpu_percent")]
        words = ["n/a" if value is None else f"{value:.3g}" for value in values]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\t".join([node.fullname, status, *words]) + "\n")


def read_plugin_file(path: Path) -> dict[str, Any]:
    """``plugin`` and ``plugin_args`` from a YAML file; UsageError if Nipype has no such plugin."""
    import yaml
    from nipype.pipeline import plugins

    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UsageError(
            f"The plugin file {path.name} cannot be read ({error.strerror}).", "Check its path."
        ) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"The plugin file {path.name} cannot be read as YAML ({type(error).__name__}).") from error
    if not (
        isinstance(content, dict)
        and isinstance(content.get("plugin"), str)
        and isinstance(content.get("plugin_args") or {}, dict)
    ):
        raise UsageError(f"The plugin file {path.name} must contain 'plugin: NAME' and may contain plugin_args.")
    if not hasattr(plugins, f"{content['plugin']}Plugin"):
        known = ", ".join(sorted(name.removesuffix("Plugin") for name in vars(plugins) if name.endswith("Plugin")))
        raise UsageError(f"Nipype has no plugin '{content['plugin']}', named in {path.name}.", f"It has {known}.")
    return content


def write_graph(workflow: Any, logs: Path) -> Path:
    """The graph of all steps as ``graph.dot`` in the logs."""
    graph = workflow._create_flat_graph()
    lines = [f'  "{node.fullname}";' for node in graph.nodes()]
    lines += [f'  "{source.fullname}" -> "{target.fullname}";' for source, target in graph.edges()]
    count = len(list(logs.glob(f"{workflow.name}*.dot")))  # of earlier rounds of sessions
    path = logs / f"{workflow.name}{f'-{count + 1}' if count else ''}.dot"
    path.write_text("digraph haca3_bids {\n" + "\n".join(sorted(lines)) + "\n}\n")
    return path
