"""The options of ``haca3-bids`` that change no voxel: judging, reporting, running."""

from __future__ import annotations

from collections.abc import Mapping

from haca3_bids.cli.kinds import memory_gb, path, positive, show_memory, show_threshold, threshold
from haca3_bids.cli.option import Option, switch

RUNNING: Mapping[str, tuple[Option, ...]] = {
    "quality": (
        Option(
            ("--qc-thresholds",),
            "quality.thresholds",
            "limits of quality numbers beyond which a session wants a look, or fails; 'none': no limit",
            kind=threshold,
            many=True,
            metavar="MEASURE=LOOK[:FAIL]",
            show=show_threshold,
        ),
        Option(
            ("--group-by",),
            "quality.group_by",
            "group level: column of participants.tsv, or scanner, manufacturer, model, field, session, by which "
            "sessions are coloured and targets suggested (default: site, else scanner, else session)",
            metavar="COLUMN",
        ),
        switch(
            "--show-targets",
            "quality.show_targets",
            "show the slices of an image that is a target in everyone's report; without it they show its numbers "
            "only, for it is another person's",
        ),
    ),
    "execution": (
        Option(
            ("-w", "--work-dir"),
            "execution.work_dir",
            "scratch folder (default: one in the system's temporary folder); never inside the input",
            kind=path,
            metavar="DIR",
        ),
        switch("--clean-workdir", "execution.clean_workdir", "empty the scratch folder before starting"),
        switch("--keep-work", "execution.keep_work", "keep the scratch files of sessions that are done"),
        Option(
            ("--nprocs", "--n-procs"),
            "execution.nprocs",
            "processes at once (default: what cgroup, Slurm and affinity allow)",
            kind=positive,
            metavar="N",
            show=int,
        ),
        Option(
            ("--omp-nthreads",),
            "execution.omp_nthreads",
            "threads of one process",
            kind=positive,
            metavar="N",
            show=int,
        ),
        Option(
            ("--mem", "--mem-gb"),
            "execution.mem_gb",
            "memory to plan with, for example 12GB (default: what cgroup and Slurm allow)",
            kind=memory_gb,
            metavar="SIZE",
            show=show_memory,
        ),
        Option(
            ("--device",),
            "harmonization.device",
            "auto, cpu, cuda or cuda:N; a GPU that is asked for and absent is an error",
            metavar="DEVICE",
        ),
        Option(
            ("--batch-size",),
            "harmonization.batch_size",
            "slices that go through the networks at once",
            kind=positive,
            metavar="N",
            show=int,
        ),
        Option(
            ("--nipype-plugin-file",),
            "execution.plugin_file",
            "YAML with 'plugin' and 'plugin_args' of Nipype, for Slurm and other engines",
            kind=path,
            metavar="FILE",
        ),
        switch("--reprocess", "execution.reprocess", "process again what is finished"),
        switch("--stop-on-first-crash", "execution.stop_on_first_crash", "stop everything at the first failure"),
        switch("--resource-monitor", "execution.resource_monitor", "record memory and CPU of every step in the logs"),
        switch("--write-graph", "execution.write_graph", "write the graph of all steps into the logs"),
        switch("--debug", "execution.debug", "keep all scratch files and log everything, tracebacks included"),
        switch("--dry-run", "execution.dry_run", "print the images found and the plan; write nothing"),
        switch("--reports-only", "execution.reports_only", "write the pages again from an existing output"),
        switch("--boilerplate-only", "execution.boilerplate_only", "write the methods text and stop"),
        Option(("-v", "--verbose"), "execution.verbosity", "log more; -vv: still more", kind=None, show=int),
    ),
}
