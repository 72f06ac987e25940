"""Which keys may stand at a path of tiers.yaml, from the nouns themselves.

Used by `shape` for "did you mean", by `explain` for documentation, by `schema` only for names: it asks pydantic.
"""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from toolkit.topology.nodes import Path
from toolkit.topology.noun import Noun, texts_of
from toolkit.topology.topology import Topology


def key_of(name: str, info: FieldInfo) -> str:
    """Give the key in YAML of a field; `from`, `to` and `in` are called differently in Python."""
    return info.alias or name


def keys_of(noun: type[BaseModel]) -> dict[str, FieldInfo]:
    """Give the fields of a noun by their keys in YAML, in the order of the file."""
    return {key_of(name, info): info for name, info in noun.model_fields.items()}


def noun_at(path: Path) -> type[BaseModel] | None:
    """Give the noun whose keys stand at a path; None for scalars, lists, maps of names and wrong paths."""
    kind = _kind_at(path)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def field_at(path: Path) -> FieldInfo | None:
    """Give the field that a path ends in, None when it ends in a name, a list position or nowhere."""
    noun = noun_at(path[:-1]) if path else None
    return keys_of(noun).get(str(path[-1])) if noun else None


def text_at(path: Path) -> str:
    """Give the text under the field that a path ends in, on one line; empty where there is none."""
    noun = noun_at(path[:-1]) if path else None
    if noun is None or not issubclass(noun, Noun):
        return ""
    names = (name for name, info in noun.model_fields.items() if key_of(name, info) == str(path[-1]))
    return " ".join(texts_of(noun).get(next(names, ""), "").split())


def _kind_at(path: Path) -> object:
    """Walk from Topology along a path through annotations."""
    kind: object = Topology
    for step in path:
        kind = _bare(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            info = keys_of(kind).get(str(step))
            kind = info.annotation if info else None
        elif get_origin(kind) is tuple and isinstance(step, int):
            kind = get_args(kind)[0]
        elif get_origin(kind) in (dict, Mapping):
            kind = get_args(kind)[1]
        else:
            return None
    return _bare(kind)


def _bare(kind: object) -> object:
    """Take Annotated and `| None` off; of several kinds keep the one that has keys."""
    while True:
        origin = get_origin(kind)
        if origin is Annotated:
            kind = get_args(kind)[0]
        elif origin in (Union, UnionType):
            members = [_bare(member) for member in get_args(kind) if member is not type(None)]
            nouns = [
                member for member in members if isinstance(member, type) and issubclass(member, BaseModel)
            ]
            kind = (nouns or members)[0]
        else:
            return kind
