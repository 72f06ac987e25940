"""Fill one template and read it back as a dict. The only file that knows jinja2.

Views of `render` go in, objects come out; templates hold no logic beyond `for` and `if`, and every value passes
`tojson`, so that no text of a topology can become structure.
"""

from __future__ import annotations

import json
import re
from functools import cache
from types import TracebackType

import jinja2
import yaml

from toolkit.errors import RenderError
from toolkit.render.metadata import Metadata

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_ASCII = re.compile(r"[^\x20-\x7e]")
_ONE_UNIT = 0xFFFF


def fill(template: str, metadata: Metadata, **views: object) -> dict[str, object]:
    """Fill a template of templates/ and parse it.

    Args:
        template: path below templates/, such as `volcano/job.yaml.j2`.
        metadata: for the partial `_metadata.yaml.j2`, which every template includes.
        views: what the template may name.

    Raises:
        RenderError: the template is missing, names something that is not there, or is no YAML mapping afterwards;
            the message has template and line.
    """
    try:
        text = _environment().get_template(template).render(metadata=metadata, **views)
    except jinja2.TemplateSyntaxError as exc:
        raise RenderError(
            f"templates/{exc.name or template}:{exc.lineno}: {exc.message}", hint=_HINT
        ) from exc
    except jinja2.TemplateNotFound as exc:
        raise RenderError(f"templates/{exc.name} is missing", hint="install tiers again") from exc
    except (jinja2.TemplateError, TypeError, ValueError) as exc:
        raise RenderError(f"{_where(exc.__traceback__, template)}: {exc}", hint=_HINT) from exc
    return _parsed(text, template)


_HINT = "correct the template, or the view that toolkit/render gives it"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("templates", ""),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 -- not HTML; every value passes tojson, which a test asserts
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_function"] = _as_yaml_scalar
    return environment


def _as_yaml_scalar(value: object, *, sort_keys: bool) -> str:
    """Write JSON that is YAML too: pure ASCII, with YAML's escapes for what JSON would write as surrogate pairs."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=sort_keys, default=_refuse)
    return _NOT_ASCII.sub(_escape, text)


def _refuse(value: object) -> object:
    """Say what stands where a value should. The text of a StrictUndefined is an error that names what is missing."""
    raise TypeError(f"{type(value).__name__} {value} cannot be written")


def _escape(found: re.Match[str]) -> str:
    number = ord(found.group())
    return f"\\u{number:04x}" if number <= _ONE_UNIT else f"\\U{number:08x}"


def _where(traceback: TracebackType | None, template: str) -> str:
    """Find the innermost line of a template in a traceback; jinja2 maps its frames to template lines."""
    place = f"templates/{template}"
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file.endswith(".j2"):
            name = file.replace("\\", "/").rpartition("templates/")[2]
            place = f"templates/{name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def _parsed(text: str, template: str) -> dict[str, object]:
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 -- both loaders are safe ones
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 0
        raise RenderError(
            f"templates/{template}: line {line} of its output: {exc.problem}", hint=_HINT
        ) from exc
    if not isinstance(value, dict) or not value.get("kind"):
        raise RenderError(f"templates/{template}: its output is no object with a kind", hint=_HINT)
    return value
