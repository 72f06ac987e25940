"""The first tiers.yaml of a site: small, complete, commented, valid.

`tiers init` writes it; the next step is `tiers validate`.
"""

import os
import tempfile
from pathlib import Path

from toolkit.errors import UsageError
from toolkit.topology.schema import schema_text

SCHEMA_NAME = "tiers.schema.json"
"""File beside tiers.yaml that editors read."""

START = f"""\
# yaml-language-server: $schema={SCHEMA_NAME}
#
# What this site is and what happens on it. Check it:  tiers validate      Explain a value:  tiers explain tiers.edge
# A size, rate or time carries its unit (20MiB/s, 30m). A secret never stands here, only where it is kept.
# Lines that begin with "# " and a key are examples: take the sign away to use them.

version: 1                                  # of this format
name: my-site                               # namespace and owner label of all objects
registry: file:///var/lib/tiers/registry    # where models are kept; or s3://bucket/prefix, sftp://host/path

broker:                                     # where the cloud and the devices meet (MQTT)
  url: mqtts://broker.example:8883
  credentials: {{secret: broker-login}}       # a Kubernetes Secret; {{file: PATH}} and {{env: NAME}} work too

clusters:                                   # names of contexts in your kubeconfig, and the tiers in them
  main: {{context: my-context, tiers: [edge, hot]}}

images:                                     # of our own parts
  edge: registry.example/tiers-edge:1.0
  jobs: registry.example/tiers-jobs:1.0
  unlocked: warn                            # name your registry, take this line out, and pin them: tiers images lock

tiers:
  edge:                                     # machines where the data comes from
    storage: {{url: "file:///var/lib/tiers/data"}}
    pools:
      cameras: {{hardware: jetson-orin-nano, nodes: {{count: 3}}}}     # or nodes: {{names: [cam-a, cam-b]}}
  hot:                                      # GPU servers; drop this tier and the job when there are none
    storage: {{url: "file:///mnt/scratch"}}
    pools:
      gpu: {{hardware: a100-sxm-80gb, gpus: 8, nodes: {{count: 1}}}}

models:
  detector:
    source: detector@1.0.0                  # name@version; put it there with: tiers model push
    pools: [cameras]
    precision: fp16
    rollout: {{canary: 1, waves: [50%, 100%], soak: 10m, abort_if: {{error_rate: ">1%"}}}}
    # fallback: detector-lite               # a smaller model that answers under load
    # offload: hot                          # needs a service on hot that serves the model

jobs:
  train:
    pool: gpu
    gang: {{workers: 1, gpus_per_worker: 8}}  # all workers start together or none does
    run: python -m cloud_jobs.train --recipe digits
    # checkpoints: {{to: hot, path: checkpoints/train, every: 10m}}

routes:
  frames: {{from: edge, to: hot, path: frames, every: 10m, limit: 20MiB/s}}

# alerts: {{p99: 500ms, gpu_memory: 90%, node_offline: 5m}}
"""
"""Text of the file."""


def write_start(folder: Path) -> tuple[Path, Path]:
    """Write tiers.yaml and its schema into a folder; give both paths. The schema is ours and is always made new.

    Raises:
        UsageError: there is a tiers.yaml already, or the folder cannot be written; then nothing has changed.
    """
    file, schema_file = folder / "tiers.yaml", folder / SCHEMA_NAME
    try:
        _write(file, START, replace=False)
        _write(schema_file, schema_text(), replace=True)
    except FileExistsError as exc:
        raise UsageError(f"{file} is already there", hint=f"tiers validate -f {file}") from exc
    except OSError as exc:
        raise UsageError(f"{folder} cannot be written: {exc.strerror}", hint="tiers init FOLDER") from exc
    return file, schema_file


def _write(file: Path, text: str, *, replace: bool) -> None:
    """Write a file whole or not at all. Raises FileExistsError when it may not replace one, else OSError."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        if replace:
            temporary.replace(file)
        else:
            os.link(temporary, file)  # unlike a rename, a link never replaces
    finally:
        temporary.unlink(missing_ok=True)
