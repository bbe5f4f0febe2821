"""The import rules of the package, read from its source: who may know whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import difiqa_hf

ROOT = Path(difiqa_hf.__file__).parent
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py") if "checkpoints" not in path.parts)
FILES.remove(Path("__init__.py"))  # the lazy names; what it imports is tested at run time

# A part imports parts of earlier lines only, and itself.
LAYERS = (
    {"devices", "hub", "metrics", "outputs", "processes"},
    {"alignment", "degradation", "embedding", "diffusion", "image_processing", "inference", "models"},
    {"comparison_files", "onnx_graphs", "pictures", "plots", "repeats", "torch_metric"},
    {"conversion", "detection", "labels"},
    {"losses", "recognizers"},
    {"pipeline_difiqa", "pipeline_quality"},
    {"methods"},
    {"benchmarks", "demo", "explanation", "scoring"},
    {"app", "export", "report", "selection"},
    {"cli"},
    {"__main__"},
)

# In these folders files do not import each other, except those that the folder shares.
SIBLINGS = {
    "models": {"auto"},
    "methods": {"base", "registry"},
    "benchmarks": {
        "available",
        "base",
        "compute",
        "curves",
        "drawing",
        "experiment",
        "figures",
        "provenance",
        "runner",
        "store",
        "tables",
    },
}

# The extras: imported inside functions, so that the package works without them.
OPTIONAL = {
    "cv2", "gradio", "h5py", "matplotlib", "onnx", "onnxruntime", "onnxscript", "pandas", "pooch", "ray", "scipy",
    "skimage", "tensorboard", "torchmetrics",
}  # fmt: skip


def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs when the module is imported: not bodies of functions nor what type checkers see."""
    for child in ast.iter_child_nodes(node):
        for_types = isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"
        if not for_types and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import(child)


def imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Full names of what is imported; "a.b" from `from a import b` too, whatever b is."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[tuple[str, ...]]:
    """What a file imports of this package, without the package's name: ("models", "auto", …)."""
    names = (name.split(".") for name in imports(ast.walk(tree(path))))
    return {tuple(name[1:]) for name in names if name[0] == "difiqa_hf"}


def roots(names: Iterator[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def layer(name: str) -> int:
    """The layer of a top-level module or folder."""
    found = [level for level, parts in enumerate(LAYERS) if name in parts]
    assert found, f"{name} has no layer yet: add it to LAYERS in {Path(__file__).name}, and to the picture in the docs"
    return found[0]


def test_only_lower_layers_are_imported():
    for path in FILES:
        here = path.parts[0].removesuffix(".py")
        for imported in own_imports(path) - {("__version__",)}:
            assert imported[0] == here or layer(imported[0]) < layer(here), f"{path} imports {'.'.join(imported)}"


def test_siblings_do_not_import_each_other():
    for path in FILES:
        folder, own = path.parts[0], path.stem
        if folder not in SIBLINGS or own == "__init__" or own in SIBLINGS[folder]:
            continue
        siblings = {file.stem for file in FILES if file.parts[0] == folder} - SIBLINGS[folder] - {own, "__init__"}
        for imported in own_imports(path):
            assert imported[0] != folder or imported[1] not in siblings, f"{path} imports {'.'.join(imported)}"


def test_what_the_hub_copies_stands_alone():
    networks = {path for path in FILES if path.parts[0] == "models" and path.stem not in ("__init__", "auto")}
    for path in networks | {Path("image_processing.py")}:
        assert not own_imports(path), path


def test_no_forbidden_imports():
    for path in FILES:
        assert not roots(imports(ast.walk(tree(path)))) & {"torchvision", "training"}, path


def test_optional_packages_are_imported_inside_functions():
    for path in FILES:
        assert not roots(imports(at_import(tree(path)))) & OPTIONAL, path


def test_metrics_need_numpy_only():
    for path in FILES:
        if path.parts[0] == "metrics" and "edc_pauc" not in path.parts:  # edc_pauc is a module for `evaluate`
            assert roots(imports(ast.walk(tree(path)))) <= sys.stdlib_module_names | {"numpy", "difiqa_hf"}, path


def test_only_the_command_line_prints():
    for path in FILES:
        if path.parts[0] != "cli":
            calls = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
            assert not any(isinstance(function, ast.Name) and function.id == "print" for function in calls), path


def test_neither_environment_nor_devices_are_read_at_import():
    for path in FILES:
        read = {node.attr for node in at_import(tree(path)) if isinstance(node, ast.Attribute)}
        assert not read & {"environ", "getenv", "is_available"}, path


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("difiqa_hf", "torch transformers diffusers numpy PIL"),
        ("difiqa_hf.cli", "torch transformers diffusers numpy PIL"),
        ("difiqa_hf.metrics", "torch transformers diffusers scipy"),
        ("difiqa_hf.detection", "torch transformers cv2"),
    ],
)
def test_light_imports_stay_light(module, absent):
    code = f"import sys, {module}; print(*sorted(set({absent.split()!r}) & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
