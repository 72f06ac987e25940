"""Train: arguments -> recipe -> gang -> trainer -> train -> export -> metrics. One process of one worker.

Started by Volcano, by `tiers job submit --local`, or by hand: python -m cloud_jobs.train --recipe digits
Exit codes: 0 the artifact is complete · 143 told to leave, state saved, start me again · else as in toolkit.errors.
"""

from __future__ import annotations

import logging
import os
import sys

from cloud_jobs.arguments import Options, parse
from cloud_jobs.checkpoint import CheckpointFolder
from cloud_jobs.export import export
from cloud_jobs.gang import Place, join, place_of
from cloud_jobs.golden import GOLDEN_SAMPLES, golden_of
from cloud_jobs.interrupt import on_sigterm
from cloud_jobs.metrics import leave_artifact, measured_by
from cloud_jobs.recipes import recipe_named
from cloud_jobs.spread import processes_here, spread
from cloud_jobs.trainer import Pace, Trainer
from cloud_jobs.weights import start_digest
from toolkit.errors import TiersError
from toolkit.wire.job import EVICTED_EXIT_CODE, GOLDEN_FILE, MODEL_FILE

log = logging.getLogger("cloud_jobs")


def train(options: Options, place: Place) -> int:
    """Do one worker's part and return the exit code; the worker of rank 0 leaves the artifact."""
    config = recipe_named(options.recipe, epochs=options.epochs)
    begun_from = start_digest(options.start)
    run = f"{config.recipe}, {config.epochs} epochs, seed {options.seed}, from {begun_from or 'nothing'}"
    folder = CheckpointFolder(options.checkpoints, run)
    pace = Pace(options.checkpoint_seconds, options.checkpoint_steps)
    log.info("rank %d of %d is process %d", place.rank, place.world_size, os.getpid())
    with join(place) as gang, on_sigterm() as interrupt:
        trainer = Trainer(config, gang, folder, seed=options.seed, start=options.start)
        trained = trainer.run(interrupt, pace)
        if trained.interrupted:
            log.info("told to leave; saved at step %d, start me again to go on", trained.step)
            return EVICTED_EXIT_CODE
        scores = trainer.evaluate()
    log.info("%s %.4f on %d held-out samples", config.metric, scores.score, scores.held_out)
    if not gang.is_first:
        return 0
    samples, labels = trainer.first_held_out(GOLDEN_SAMPLES)
    model = export(trained.model.cpu(), samples, options.exporter)
    golden = golden_of(model, samples.numpy(), labels.numpy())
    measured = measured_by(config, trained, scores, gang, seed=options.seed, begun_from=begun_from)
    leave_artifact(options.output, {MODEL_FILE: model, GOLDEN_FILE: golden}, measured)
    log.info("left %s, %s and metrics.json in %s", MODEL_FILE, GOLDEN_FILE, options.output)
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        chosen = parse(sys.argv[1:], os.environ)
        if (count := processes_here(chosen.processes, os.environ)) > 1:
            sys.exit(spread(sys.argv[1:], os.environ, count))
        sys.exit(train(chosen, place_of(os.environ)))
    except TiersError as error:
        log.error("error: %s\n  try: %s", error.message, error.hint or "read the log above")  # noqa: TRY400
        sys.exit(error.exit_code)
