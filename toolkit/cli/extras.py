"""Which extra of the distribution brings a package, so that a bare install answers with the install line.

Called by `toolkit.cli.main` when a command's lazy import finds nothing.
"""

from __future__ import annotations

from typing import Final

from toolkit.errors import MissingExtraError

EXTRA_OF: Final[dict[str, str]] = {
    "typer": "operator",
    "rich": "operator",
    "pydantic": "operator",
    "yaml": "operator",
    "jinja2": "operator",
    "kubernetes": "operator",
    "urllib3": "operator",
    "jsonschema_rs": "operator",
    "kubernetes_validate": "operator",
    "onnxruntime": "edge",
    "numpy": "edge",
    "httptools": "edge",
    "uvloop": "edge",
    "prometheus_client": "edge",
    "torch": "train",
    "sklearn": "train",
    "onnx": "train",
    "onnxscript": "train",
    "obstore": "s3",
    "asyncssh": "ssh",
    "awscrt": "awscrt",
    "amqtt": "demo",
    "pydicom": "demo",
}
"""Top-level import name -> extra in pyproject.toml (a test holds the two together)."""


def missing_extra(error: ModuleNotFoundError) -> MissingExtraError | None:
    """Return the error that names the extra, or None when the missing module is no optional package of ours."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRA_OF.get(package)
    if extra is None:
        return None
    return MissingExtraError(f"this command (it imports {package})", extra=extra)
