"""Everything that the engine uses of TensorRT exists in the real bindings of each generation, under the names it uses.

What it uses stands in `trt_types`, and mypy lets it use nothing else. The bindings are NVIDIA's own; TensorRT itself
is not here, so its three libraries are stubs without a function that works: classes, signatures and documentation are
there, and no builder can be made. This proves names, not numbers; numbers need a GPU.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.engine.trt_types import CALLED_BACK, ONLY

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
ENGINE = ROOT / "edge_runtime" / "engine"
GENERATIONS = ("10.3", "10.13", "11.4")
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "getPluginRegistry",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "initLibNvInferPlugins",
)
"""All that the bindings take from the libraries (nm -D --undefined-only)."""
ABI = f"cp{sys.version_info.major}{sys.version_info.minor}"


@pytest.fixture(scope="module", params=GENERATIONS)
def real(request, require, tmp_path_factory):
    """Give what `look.py` found in one generation."""
    require("TensorRT's bindings")
    major = request.param.partition(".")[0]
    stubs = tmp_path_factory.mktemp("stubs")
    source = stubs / "stub.c"
    source.write_text("\n".join(f"void *{name}(void) {{ return 0; }}" for name in SYMBOLS))
    for name in LIBRARIES:
        file = f"lib{name}.so.{major}"
        command = ["cc", "-shared", "-fPIC", "-o", str(stubs / file), f"-Wl,-soname,{file}", str(source)]
        subprocess.run(command, check=True, timeout=60)
    folder = ROOT / ".cache" / "tensorrt" / f"{request.param}-{ABI}"
    done = subprocess.run(
        [sys.executable, str(HERE / "look.py"), str(folder)],
        env={**os.environ, "LD_LIBRARY_PATH": str(stubs)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["version"].startswith(request.param + ".")
    return found


def declared() -> dict[str, list[tuple[str, tuple[str, ...] | None]]]:
    """Read `trt_types`: for each class its members, with the names of arguments or None for what is no method."""
    tree = ast.parse((ENGINE / "trt_types.py").read_text(encoding="utf-8"))
    found: dict[str, list[tuple[str, tuple[str, ...] | None]]] = {}
    for kind in tree.body:
        if not isinstance(kind, ast.ClassDef):
            continue
        members = found[kind.name] = []
        for each in kind.body:
            if isinstance(each, ast.AnnAssign):
                members.append((ast.unparse(each.target), None))
            elif isinstance(each, ast.FunctionDef) and each.name != "__bytes__":
                arguments = tuple(argument.arg for argument in each.args.args[1:])
                members.append((each.name, None if each.decorator_list else arguments))
    return found


def used() -> list[tuple[str, str, tuple[str, ...] | None]]:
    """List (class, member, names of arguments) of all that the engine may use."""
    return [
        (name, *member)
        for name, members in declared().items()
        if name not in {"TensorRt", "Enumerated"}
        for member in members
    ]


def overloads(member: str, doc: str) -> list[list[tuple[str, bool]]]:
    """Read signatures out of pybind11's documentation: for each a list of (argument, whether it may be left out)."""
    found = []
    for line in doc.splitlines():
        match = re.match(rf"\s*(?:\d+\. )?{re.escape(member)}\((.*)\)(?: -> .*)?$", line)
        if match and "*args" not in match[1]:
            depth, parts = 0, [""]
            for sign in match[1]:
                depth += (sign in "[(<{") - (sign in "])>}")
                if sign == "," and depth == 0:
                    parts.append("")
                else:
                    parts[-1] += sign
            found.append([(part.partition(":")[0].strip(), "=" in part) for part in parts if part.strip()])
    return found


def fits(signature: list[tuple[str, bool]], arguments: tuple[str, ...]) -> bool:
    """Say whether a call with these arguments, in this order and by these names, is one for this signature."""
    names = [name for name, _ in signature if name != "self"]
    required = {name for name, optional in signature if not optional and name != "self"}
    return tuple(names[: len(arguments)]) == arguments and required <= set(arguments)


def applies(name: str, member: str, major: int) -> bool:
    first, last = ONLY.get(f"{name}.{member}", (0, 99))
    return first <= major <= last


def test_every_member_exists_with_its_arguments(real):
    major, wrong = real["release"][0], []
    for name, member, arguments in used():
        if not applies(name, member, major):
            continue
        has = real["members"].get(name, {}).get(member)
        if has is None:
            wrong.append(f"{name}.{member} is missing")
        elif arguments is not None:
            signatures = overloads(member, has["doc"] or "")
            if not any(fits(each, arguments) for each in signatures):
                wrong.append(f"{name}.{member}{arguments} fits none of {signatures}")
    assert wrong == []
    assert ("Builder", "__init__", ("logger",)) in used()
    assert ("IExecutionContext", "execute_async_v3", ("stream_handle",)) in used()


ASSIGNED = (
    ("Runtime", "engine_host_code_allowed"),
    ("IBuilderConfig", "progress_monitor"),
    ("IBuilderConfig", "builder_optimization_level"),
)


@pytest.mark.parametrize(("name", "member"), ASSIGNED)
def test_what_is_assigned_can_be(real, name, member):
    assert real["members"][name][member]["assignable"]


def test_classes_that_tensorrt_calls_back_can_be_made_and_work(real):
    assert real["said"] == "first; second"
    assert real["told"] == [["Building", 0, 2], ["Building", 1, 2]]
    assert real["goes on"] is True
    assert real["allocator"] == [4096, 4096, 10, [2, 3]]


def test_methods_that_tensorrt_calls_back_have_the_names_and_arguments_that_it_uses(real):
    for name, methods in CALLED_BACK.items():
        for method, arguments in methods.items():
            has = real["members"][name].get(method)
            if has is None:  # the bindings tell these in the documentation of the class alone
                assert f"def {method}(self, {', '.join(arguments)}):" in real["docs"][name]
            else:
                assert any(fits(each, arguments) for each in overloads(method, has["doc"]))


def test_networks_are_strongly_typed_everywhere(real):
    assert real["flags"] == (2 if real["release"][0] == 10 else 0)  # STRONGLY_TYPED is bit 1 in 10


def test_types_are_numpys(real):
    assert real["dtypes"] == {
        "FLOAT": "float32",
        "HALF": "float16",
        "INT8": "int8",
        "INT32": "int32",
        "INT64": "int64",
        "UINT8": "uint8",
        "BOOL": "bool",
    }


# ------------------------------------------------------------------ the list itself
def trees():
    return {file.name: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(ENGINE.glob("*.py"))}


def test_tensorrt_is_imported_in_one_place_as_the_type_that_is_checked_here():
    importing = [
        (name, ast.unparse(node))
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import | ast.ImportFrom) and "tensorrt" in ast.unparse(node).split())
        or (isinstance(node, ast.Call) and ast.unparse(node).endswith("import_module('tensorrt')"))
        or (isinstance(node, ast.Call) and ast.unparse(node).startswith("cast('TensorRt'"))
    ]
    assert importing == [
        ("generation.py", "cast('TensorRt', import_module('tensorrt'))"),
        ("generation.py", "import_module('tensorrt')"),
    ]


def test_only_declared_members_of_the_module_are_used_and_all_of_them():
    members = {name for name, _ in declared()["TensorRt"]}
    taken = {
        node.attr
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) in {"trt", "self.trt", "plan.trt", "tools.trt"}
    }
    assert taken | {"__version__"} == members - {
        "DataType"
    }  # `generation.ELEMENTS` names its members as texts


def test_nothing_is_declared_that_is_not_used():
    names = {
        node.attr
        for name, tree in trees().items()
        if name != "trt_types.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    }
    names |= {member for member, _ in declared()["ILogger"]}  # callbacks.LEVELS has them as texts
    names |= {member for member, _ in declared()["DataType"]}  # generation.ELEMENTS likewise
    idle = {f"{name}.{member}" for name, member, _ in used() if member not in names and member != "__init__"}
    assert idle == set()


def test_the_engine_does_what_is_called_back():
    """Each method of CALLED_BACK is one that `callbacks` gives to its classes, with exactly these arguments."""
    functions = {
        node.name: [each.arg for each in node.args.args][1:]
        for node in ast.walk(trees()["callbacks.py"])
        if isinstance(node, ast.FunctionDef)
    }
    given = {
        key.value: value.id
        for node in ast.walk(trees()["callbacks.py"])
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(value, ast.Name)
    }
    for methods in CALLED_BACK.values():
        for method, arguments in methods.items():
            assert tuple(functions[given[method]]) == arguments, method
