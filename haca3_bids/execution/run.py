"""One run of the App, from its settings to its exit code.

A participant-level run is a straight line, each step in a file of its own: ``select`` the sessions, ``encode`` their
targets, then a few of them at a time ``lock``, ``plan``, run the ``graph``, ``judge`` and ``publish``.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from haca3_bids import __version__
from haca3_bids.bids.atomic import write_text
from haca3_bids.bids.database import keep_database
from haca3_bids.bids.describe import check_dataset, check_maker, describe_dataset
from haca3_bids.bids.given import check_derivatives
from haca3_bids.bids.replaced import check_origin
from haca3_bids.bids.validate import check_description, validate_bids
from haca3_bids.checkpoints.registry import check_fusion
from haca3_bids.errors import UsageError
from haca3_bids.execution.described_targets import MIXTURE
from haca3_bids.execution.encode import with_targets
from haca3_bids.execution.ending import RUN_FILE, recorded_end, write_end
from haca3_bids.execution.environment import set_threads
from haca3_bids.execution.graph import configure_nipype, read_plugin_file
from haca3_bids.execution.group import run_group
from haca3_bids.execution.logs import log_file, terminal_messages
from haca3_bids.execution.outcome import FAILED, PLANNED, Outcome, exit_code, summary
from haca3_bids.execution.places import check_places, log_folder, shareable_command
from haca3_bids.execution.process import process
from haca3_bids.execution.publish import methods_sentences, rewrite_pages, write_boilerplate
from haca3_bids.execution.resources import plan_resources
from haca3_bids.execution.scratch import scratch_folder
from haca3_bids.execution.select import Selection, select_sessions, table
from haca3_bids.execution.targets import TargetRequest, default_targets, parse_targets
from haca3_bids.execution.task import Run, as_planned, shared_frames
from haca3_bids.execution.weights import find_weights
from haca3_bids.preprocessing.eclare import find_eclare
from haca3_bids.preprocessing.template import check_template
from haca3_bids.records.engine import Weights
from haca3_bids.records.files import to_readable_json
from haca3_bids.records.run import RunRecord
from haca3_bids.records.target import Target
from haca3_bids.reports.methods import write_methods
from haca3_bids.settings import Settings

LOGGER = logging.getLogger("haca3_bids")


def run(settings: Settings, *, words: Sequence[str], config: str) -> int:
    """Carry out what the command line asks for and return the exit code.

    ``words`` are the arguments as typed, ``config`` the options as TOML; both go into the logs.
    """
    with terminal_messages(settings.execution.verbosity):
        check_places(settings)
        check_maker(settings.output_dir)
        if settings.execution.boilerplate_only:
            return write_boilerplate(settings)
        if settings.execution.reports_only:
            return rewrite_pages(settings)
        if settings.level == "group":
            return run_group(settings)
        return run_participant(settings, list(words), config)


def run_participant(settings: Settings, words: list[str], config: str) -> int:
    """Check everything in advance, then process every session; the exit codes are listed in ``errors``."""
    started = time.monotonic()
    selection = check_input(settings)
    weights, requests = check_means(settings)
    if not requests:
        selection = with_references(selection, weights)
    check_origin(settings.output_dir, settings.bids_dir, selection.sessions)
    if settings.execution.dry_run:
        LOGGER.info("%s\n%s", table(selection, settings), _plan(settings, selection, weights))
        return exit_code([*selection.outcomes, *(Outcome(session.name, PLANNED) for session in selection.sessions)])
    if settings.selection.database_dir is not None:
        keep_database(settings.bids_dir, settings.selection.database_dir)
    describe_dataset(settings.output_dir, settings.bids_dir, version=__version__, weights=weights.described())
    logs, resources = log_folder(settings), plan_resources(settings.execution)
    planned = as_planned(settings, weights, resources)
    with log_file(logs / "log.txt", settings.execution.verbosity), scratch_folder(settings) as work:
        methods = methods_sentences(planned)
        write_methods(logs, methods)
        about = _write_beginning(settings, words, config, logs, selection)
        set_threads(resources.threads)
        configure_nipype(settings)
        task = Run(
            settings=planned,
            weights=weights,
            requests=tuple(requests),
            resources=resources,
            logs=logs,
            work=work,
            command=shareable_command(words, settings),
            methods=tuple(methods),
            visits=shared_frames(selection.sessions, settings),
        )
        with recorded_end(about, logs):
            outcomes = [*selection.outcomes, *process(with_targets(task, selection), selection)]
        seconds = time.monotonic() - started
        write_end(about, outcomes, logs, seconds)
        LOGGER.info("%s", summary(outcomes, settings.output_dir, seconds))
    return exit_code(outcomes)


def check_input(settings: Settings) -> Selection:
    """The selected sessions; raises the errors of the input (16, 18, 64, 66). Writes nothing."""
    check_description(settings.bids_dir)
    check_derivatives(settings.selection.derivatives)
    selection = select_sessions(settings)
    if not settings.selection.skip_validation:
        validate_bids(settings.bids_dir, {session.folder for session in (*selection.sessions, *selection.empty)})
    return selection


def check_means(settings: Settings) -> tuple[Weights, list[TargetRequest]]:
    """Weights and targets; raises an error if something is missing or unsuitable (64, 69, 73). Writes nothing."""
    if settings.execution.plugin_file is not None:
        read_plugin_file(settings.execution.plugin_file)
    check_template(settings.preprocessing.template)
    eclare = settings.preprocessing.super_resolution == "eclare"
    if eclare:
        find_eclare()
    weights = find_weights(settings.harmonization)
    LOGGER.info("Weights %s (%s, %s), device %s.", weights.name, weights.variant, weights.sha256[:12], weights.device)
    if weights.variant == MIXTURE and settings.harmonization.beta == "sample":
        raise UsageError(f"--beta sample is not possible with {weights.name}.", "Only HACA3 weights draw anatomy.")
    if weights.variant == MIXTURE:
        check_fusion(weights.name, weights.fusion)
    if eclare and weights.device == "cpu":
        LOGGER.warning("ECLARE without a GPU takes half a day for each scan in thick slices; builtin takes minutes.")
    requests = parse_targets(settings, weights)
    check_dataset(settings.output_dir, weights.described())
    return weights, requests


def with_references(selection: Selection, weights: Weights) -> Selection:
    """The selection with the built-in target of each contrast of its sessions.

    A session fails if the weights have no reference for it; UsageError if this is true of all sessions.
    """
    references: dict[str, Sequence[Target]] = {}
    lacking: list[Outcome] = []
    for session in selection.sessions:
        try:
            references[session.name] = default_targets(session, weights)
        except UsageError as error:
            lacking.append(Outcome(session.name, FAILED, "choosing its targets", error))
    if lacking and not references and lacking[0].error is not None:
        raise lacking[0].error
    without = tuple(session for session in selection.sessions if session.name not in references)
    return replace(
        selection,
        sessions=tuple(session for session in selection.sessions if session.name in references),
        outcomes=(*selection.outcomes, *lacking),
        failed=(*selection.failed, *without),
        references=references,
    )


def _plan(settings: Settings, selection: Selection, weights: Weights) -> str:
    lines = ["plan"]
    for session in selection.sessions:
        names = settings.targets or [target.contrast for target in selection.references[session.name]]
        lines.append(f"  {session.name}: from {', '.join(session.images)} to {', '.join(names)}")
    template = settings.preprocessing.template
    lines.append(f"  template {template}, weights {weights.name}, device {weights.device}; nothing was written")
    return "\n".join(lines)


def _write_beginning(
    settings: Settings, words: Sequence[str], config: str, logs: Path, selection: Selection
) -> RunRecord:
    write_text(logs / "config.toml", config)
    about = RunRecord(("haca3-bids", *words))
    write_text(logs / RUN_FILE, to_readable_json(about))
    LOGGER.info("haca3-bids %s, logs in %s", about.version, logs)
    LOGGER.info("%s", table(selection, settings))
    return about
