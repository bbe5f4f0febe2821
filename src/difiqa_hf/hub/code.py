"""The code that a repository carries for people who do not have this package: generated from its sources, never typed.

Three readers, three conventions:
    diffusers      pipeline.py at the root, and the class of a component in <component>/<module>.py
    transformers   "auto_map" in a configuration, and <module>.py at the root, for subfolders too
    this package   none of it: `DifFIQAPipeline` and the Auto classes know their own classes, and no code is run
"""

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

PACKAGE = "difiqa_hf"
PIPELINE = "pipeline"  # name of the module, as diffusers asks for it


class Source(NamedTuple):
    """A class that a repository may name: the file that defines it, and the configuration that belongs to it."""

    file: Path
    config: str | None = None
    model_type: str | None = None


def package_sources() -> dict[str, Source]:
    """Class name -> source, for every network, the image processor and the pipeline of this package."""
    root = Path(find_spec(PACKAGE).origin).parent
    files = [root / "pipeline_difiqa.py", root / "image_processing.py", *sorted((root / "models").glob("*_*.py"))]
    return sources([file for file in files if not file.name.startswith("_")])


def sources(files: Sequence[Path]) -> dict[str, Source]:
    """Class name -> source, for all classes that the files define."""
    found = {}
    for file in files:
        classes = [node for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
        types = {node.name: ast.literal_eval(value) for node in classes if (value := _attribute(node, "model_type"))}
        for node in classes:
            config = getattr(_attribute(node, "config_class"), "id", None)
            found[node.name] = Source(file, config, types.get(config))
    return found


def _attribute(node: ast.ClassDef, name: str) -> ast.expr | None:
    assigned = [item for item in node.body if isinstance(item, ast.Assign)]
    return next((item.value for item in assigned if getattr(item.targets[0], "id", None) == name), None)


def add_code(folder: str | Path, known: Mapping[str, Source] | None = None) -> list[Path]:
    """Complete a folder of weights so that, as a repository, it loads with this package and without it.

    Args:
        folder: written by `save_pretrained` of the pipeline, a network or the image processor; or several of them in
            subfolders.
        known: where classes are defined; those of this package if not given.

    Returns:
        The files written or changed.
    """
    folder, known = Path(folder), package_sources() if known is None else known
    written: dict[Path, str] = {}
    for path in [*folder.glob("*config.json"), *folder.glob("*/*config.json")]:
        if path.name in ("config.json", "preprocessor_config.json"):
            for name, text in _completed(path, known).items():
                written[path.parent / name] = text
                if name.endswith(".py"):
                    written[folder / name] = text
    index = folder / "model_index.json"
    if index.exists():
        content = _read(index)
        content.pop("_name_or_path", None)
        for component, value in content.items():
            if isinstance(value, list) and len(value) == 2 and value[1] in known and component != "_class_name":
                file = known[value[1]].file
                content[component] = [_stem(file), value[1]]
                written[folder / component / f"{_stem(file)}.py"] = standalone_source(file)
        if "DifFIQAPipeline" in known and _class_name(content) == "DifFIQAPipeline":
            content["_class_name"] = [PIPELINE, "DifFIQAPipeline"]
            written[folder / f"{PIPELINE}.py"] = standalone_source(known["DifFIQAPipeline"].file)
        written[index] = _dump(content)
    changed = [path for path, text in written.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in changed:
        path.write_text(written[path], encoding="utf-8")
    return changed


def remove_code(folder: str | Path) -> None:
    """What `add_code` generated, for folders that ship inside the package; `add_code` brings it back."""
    for path in [*Path(folder).glob("*.py"), *Path(folder).glob("*/*.py")]:
        path.unlink()
    for path in [*Path(folder).glob("*config.json"), *Path(folder).glob("*/*config.json")]:
        config = _read(path)
        if config.pop("auto_map", None) is not None:
            path.write_text(_dump(config), encoding="utf-8")


def _completed(path: Path, known: Mapping[str, Source]) -> dict[str, str]:
    """File name -> text: the configuration with its auto_map, and the modules that this names."""
    config = _read(path)
    elsewhere = config.pop("_name_or_path", None)  # diffusers notes the folder of this machine that it loaded from
    if "image_processor_type" in config:
        source = known.get(config["image_processor_type"])
        names = {"AutoImageProcessor": config["image_processor_type"]}
    else:
        model, source = _network(config.get("model_type"), known)
        names = source and {"AutoConfig": source.config, "AutoModel": model}
    if source is None:
        return {path.name: _dump(config)} if elsewhere is not None else {}
    config["auto_map"] = {kind: f"{_stem(source.file)}.{name}" for kind, name in names.items()}
    text, files = standalone_source(source.file), {}
    backbone, inside = _network((config.get("backbone_config") or {}).get("model_type"), known)
    if inside is not None:
        files[f"{_stem(inside.file)}.py"] = standalone_source(inside.file)
        text += BACKBONE.format(module=_stem(inside.file), name=backbone)
    return files | {path.name: _dump(config), f"{_stem(source.file)}.py": text}


def _network(model_type: str | None, known: Mapping[str, Source]) -> tuple[str, Source | None]:
    """Name and source of the network of a `model_type`; None if there is none, or it is not ours."""
    found = (item for item in known.items() if model_type is not None and item[1].model_type == model_type)
    return next(found, ("", None))


# What a copy of a composite network needs besides, because it cannot ask the Auto classes. (transformers' loader takes
# every line that begins with such an import for one.)
BACKBONE = "\nfrom .{module} import {name}  # noqa: E402\n\nBACKBONES[{name}.config_class.model_type] = {name}\n"


def standalone_source(file: Path) -> str:
    """The text of a module of this package with all that it imports of the package in it.

    A module that imports nothing of the package, as a generated one does, comes back as it is, but for the lines that
    only the package runs.

    Raises:
        ValueError: if two modules define the same name, or one imports another module as a whole.
    """
    parts: dict[Path, str] = {}
    owners: dict[str, Path] = {}
    _collect(file, parts, owners)
    if len(parts) == 1:
        return parts[file].strip("\n") + "\n"
    head = f'"""Generated by {PACKAGE}.hub.code from {", ".join(path.name for path in parts)}."""\n'
    return head + "".join(f"\n\n# ---- {path.name}\n\n{text.strip(chr(10))}\n" for path, text in parts.items())


def _collect(file: Path, parts: dict[Path, str], owners: dict[str, Path]) -> None:
    """Add `file`, after what it imports, to `parts`, and what it defines to `owners`."""
    if file in parts:
        return
    text = file.read_text(encoding="utf-8")
    tree, lines, dropped = ast.parse(text), text.splitlines(), set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE:
            spec = find_spec(node.module)
            if spec is None or Path(spec.origin).name == "__init__.py" or any(alias.asname for alias in node.names):
                raise ValueError(f"{file.name}: cannot inline `{ast.unparse(node)}`; import names from a module")
            _collect(Path(spec.origin), parts, owners)
            dropped |= set(range(node.lineno, node.end_lineno + 1))
        elif isinstance(node, ast.If) and PACKAGE in ast.unparse(node.test):  # registers with the Auto classes
            dropped |= set(range(node.lineno, node.end_lineno + 1))
    for name in _defined(tree):
        if owners.setdefault(name, file) != file:
            raise ValueError(f"{name} is defined in {owners[name].name} and in {file.name}")
    parts[file] = "\n".join(line for number, line in enumerate(lines, 1) if number not in dropped)


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _stem(file: Path) -> str:
    return PIPELINE if file.stem == "pipeline_difiqa" else file.stem


def _class_name(index: Mapping) -> str:
    name = index.get("_class_name")
    return name[-1] if isinstance(name, list) else name


def _read(path: Path) -> dict:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, found a {type(content).__name__}")
    return content


def _dump(content: Mapping) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"
