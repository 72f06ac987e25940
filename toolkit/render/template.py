"""Fill one template and read it back as a dict. The only file that knows jinja2.

Views of `render` go in, objects come out; templates hold no logic beyond `for` and `if`, and every value passes
`tojson`. That filter writes a mark and keeps the value; the YAML around the marks is parsed, then values take the
places of their marks. So no text of a topology can become structure, and what a template makes for a thousand pools is
parsed once: parsing is most of the time that rendering takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from types import TracebackType

import jinja2
import yaml

from toolkit.errors import RenderError
from toolkit.render.metadata import Metadata

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MARK = "@@{}@@"
"""What stands in a filled template for its value number N; templates themselves have no such text."""
_HELD = "_held"
"""Name under which a template's context holds the values that its marks stand for."""
_SKELETONS = 256
"""Parsed outputs that are remembered; a template has one for each way through its `if` and `for`."""


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
    held: list[object] = []
    try:
        text = _environment().get_template(template).render(metadata=metadata, **{_HELD: held}, **views)
    except jinja2.TemplateSyntaxError as exc:
        raise RenderError(
            f"templates/{exc.name or template}:{exc.lineno}: {exc.message}", hint=_HINT
        ) from exc
    except jinja2.TemplateNotFound as exc:
        raise RenderError(f"templates/{exc.name} is missing", hint="install tiers again") from exc
    except (jinja2.TemplateError, TypeError, ValueError) as exc:
        raise RenderError(f"{_where(exc.__traceback__, template)}: {exc}", hint=_HINT) from exc
    places = {_MARK.format(number): value for number, value in enumerate(held)}
    return {key: _filled(value, places) for key, value in _parsed(text, template).items()}


def fill_lines(template: str, **views: object) -> str:
    """Fill a template of a configuration that is no YAML, such as Mosquitto's, where each line says one thing.

    Args:
        template: path below templates/, such as `edge/mosquitto.conf.j2`.
        views: what the template may name.

    Raises:
        RenderError: the template names something that is not there, or a value would begin a line of its own.
    """
    try:
        return _environment().overlay(finalize=_one_line).get_template(template).render(**views)
    except (jinja2.TemplateError, ValueError) as exc:
        raise RenderError(f"{_where(exc.__traceback__, template)}: {exc}", hint=_HINT) from exc


def _one_line(value: object) -> object:
    if isinstance(value, str) and not value.isprintable() and value.strip("\n"):
        raise ValueError(f"{value!r} is more than one line")
    return value


_HINT = "correct the template, or the view that toolkit/render gives it"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("templates", ""),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 -- not HTML; every values stay out of the text, see _hold
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters["tojson"] = _hold
    return environment


@jinja2.pass_context
def _hold(context: jinja2.runtime.Context, value: object) -> str:
    """Keep a value for later and give the mark that stands for it."""
    held = context[_HELD]
    held.append(_plain(value))
    return f'"{_MARK.format(len(held) - 1)}"'


def _plain(value: object) -> object:
    """Give a value as JSON would give it back: lists for tuples, text as keys, no numbers that JSON has not."""
    if type(value) in {str, int, bool}:
        return value
    found: object = json.loads(json.dumps(value, allow_nan=False, sort_keys=True, default=_refuse))
    return found


def _refuse(value: object) -> object:
    """Say what stands where a value should. The text of a StrictUndefined is an error that names what is missing."""
    raise TypeError(f"{type(value).__name__} {value} cannot be written")


def _filled(skeleton: object, places: Mapping[str, object]) -> object:
    """Give a copy of what was parsed, with values in place of marks."""
    if isinstance(skeleton, str):
        return places.get(skeleton, skeleton)
    if isinstance(skeleton, dict):
        return {str(places.get(key, key)): _filled(value, places) for key, value in skeleton.items()}
    if isinstance(skeleton, list):
        return [_filled(each, places) for each in skeleton]
    return skeleton


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


@lru_cache(maxsize=_SKELETONS)
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
