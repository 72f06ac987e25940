"""Small real models with golden examples, keys and a registry, for the tests of registry, fleet and the commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper, numpy_helper

from toolkit.registry.keys import KeyPair, make_key, make_keyring, read_key
from toolkit.registry.push import PushRequest, PushResult, push
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.keyring import Keyring


def make_model(
    folder: Path, *, width: int = 20_000, head: int = 1, ir: int = 10, opset: int = 20
) -> tuple[Path, Path]:
    """Write a model x -> tanh(x @ body) @ head of about 28 * width bytes, and its golden examples.

    The same width gives the same body, so two heads make two versions that share most of their bytes.
    """
    body = np.random.default_rng(width).standard_normal((4, width), dtype=np.float32)
    last = np.random.default_rng(head).standard_normal((width, 3), dtype=np.float32) / width
    # The head is small beside the body: only its first rows differ from head to head.
    last[width // 10 :] = (
        np.random.default_rng(0).standard_normal((width - width // 10, 3), dtype=np.float32) / width
    )
    nodes = [
        helper.make_node("MatMul", ["x", "body"], ["a"]),
        helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "head"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(body, "body"), numpy_helper.from_array(last, "head")],
    )
    model = helper.make_model(graph, ir_version=ir, opset_imports=[helper.make_opsetid("", opset)])
    folder.mkdir(parents=True, exist_ok=True)
    model_file, golden_file = folder / "model.onnx", folder / "golden.npz"
    onnx.save(model, model_file)
    x = np.random.default_rng(7).standard_normal((8, 4), dtype=np.float32)
    y = np.tanh(x @ body) @ last
    np.savez_compressed(golden_file, **{"input.x": x, "output.y": y, "labels": y.argmax(axis=1)})
    return model_file, golden_file


def drifting(folder: Path, step: int, *, kind: type = np.float16, count: int = 200_000) -> tuple[Path, Path]:
    """Write a model x -> x @ body[:, :3] whose `count` weights are all a little other at each step, and its golden."""
    weights = np.random.default_rng(1).standard_normal((4, count // 4), dtype=np.float32) * np.float32(0.05)
    for each in range(step):
        drift = np.random.default_rng(each + 2).standard_normal(weights.shape, dtype=np.float32)
        weights += drift * np.float32(0.05e-3)
    body = weights.astype(kind)
    nodes = [
        helper.make_node("Slice", ["body", "first", "last", "axis"], ["used"]),
        helper.make_node("Cast", ["used"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "wide"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "drifting",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [
            numpy_helper.from_array(body, "body"),
            *(numpy_helper.from_array(np.array([v]), n) for n, v in (("first", 0), ("last", 3), ("axis", 1))),
        ],
    )
    folder.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, folder / "model.onnx")
    x = np.random.default_rng(7).standard_normal((8, 4), dtype=np.float32)
    y = x @ body[:, :3].astype(np.float32)
    np.savez_compressed(folder / "golden.npz", **{"input.x": x, "output.y": y, "labels": y.argmax(axis=1)})
    return folder / "model.onnx", folder / "golden.npz"


@dataclass
class Site:
    """A registry, the keys of its people, and whom everybody trusts."""

    folder: Path
    store: PackStore
    pair: KeyPair
    key: Ed25519PrivateKey
    keyring: Keyring

    def push(self, name: str = "digits", version: str = "1", **options: object) -> PushResult:
        """Push a model of the given width and head."""
        shape = {each: options.pop(each) for each in ("width", "head", "ir", "opset") if each in options}
        model, golden = make_model(self.folder / "models" / f"{name}-{version}-{len(options)}", **shape)
        return push(self.store, PushRequest(model, golden, name, version, **options), self.key)


def make_site(folder: Path) -> Site:
    """Make an empty registry, one key with both roles, and the keyring that trusts it."""
    pair = make_key(folder / "keys" / "site.pem")
    keyring = make_keyring({"registry": [pair], "operator": [pair]})
    store = PackStore(DirectoryRemote(str(folder / "registry"), create=True))
    return Site(folder, store, pair, read_key(pair.file), keyring)
