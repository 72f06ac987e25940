"""Objects as YAML text: one document an object, in apply order. Every reader of YAML must see the same values.

Used by `write` and by `tiers render` without a folder; goldens hold this text. Texts that look like anything else to
some reader (YAML 1.1 booleans, 1e3, 0o7, 12:30) are quoted, whatever PyYAML thinks of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import yaml

from toolkit.render.rendered import RenderedObject

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@-]*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_OTHER_BREAKS = re.compile("[\r\x85\u2028\u2029]")
"""Line breaks of YAML 1.1 that a block would turn into a plain newline."""
_NEVER_FOLD = 2**20
_REMEMBERED = 4096
"""Texts whose form is remembered: keys and words that stand in every object."""


class _Dumper(yaml.CSafeDumper):
    """The safe dumper of libyaml, five times as fast as PyYAML's own, with our quoting and without anchors."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 -- PyYAML's signature
        return True


def _text(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


@lru_cache(maxsize=_REMEMBERED)
def _style(text: str) -> str | None:
    """Say how a text is written: as a block, plain, or in quotes."""
    if "\n" in text and not _OTHER_BREAKS.search(text):
        return "|"
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return None if plain else '"'


_Dumper.add_representer(str, _text)


def to_yaml(rendered: RenderedObject) -> str:
    """Write one object, without a `---`."""
    return document_to_yaml(rendered.body)


def document_to_yaml(document: object) -> str:
    """Write a mapping or a list that is no object, such as a file of another program."""
    text: str = yaml.dump(
        document,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=_NEVER_FOLD,
    )
    return text


def to_stream(objects: Iterable[RenderedObject]) -> str:
    """Write objects as one stream; a comment says what each was made from and for which cluster."""
    return "".join(f"---\n# {each.source} for cluster {each.cluster}\n{to_yaml(each)}" for each in objects)
