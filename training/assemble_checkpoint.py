"""Turn training results into the folders that the package ships: half-precision files that load as float32.

Rounding comes first: the reference quantiles, and every published figure, belong to the weights that ship. What the
model cards say of sizes, ranges and labels is written to a JSON file beside, so that nobody types it.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from difiqa_hf.hub.code import remove_code
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.methods import create_method
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor
from difiqa_hf.models.unet_patch import PatchUNet2DModel
from difiqa_hf.pipeline_difiqa import DifFIQAPipeline
from difiqa_hf.recognizers import load_recognizer
from images import checked_source, read_images, to_pixel_values
from start import positive, start
from validate_ddpm import cosine_scheduler

# what a checkpoint consists of, what may lie beside it, and the entry of its first file that tells what it is
PIPELINE = ("model_index.json", "unet", "scheduler", "recognizer", "image_processor")
REGRESSOR = ("config.json", "model.safetensors", "preprocessor_config.json")
BESIDE = ("README.md", "thresholds.json")
SIGNS = {PIPELINE: ("_class_name", "DifFIQAPipeline"), REGRESSOR: ("model_type", "difiqa_regressor")}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--unet", help="unet folder written by train_difiqa_ddpm.py")
    parser.add_argument("--recognizer", help="recogniser folder, for the pipeline")
    parser.add_argument("--regressor", help="regressor folder written by train_regressor.py")
    parser.add_argument("--reference_data", nargs="+", help="zips or folders of aligned faces, for percentiles")
    parser.add_argument("--reference_every", type=positive, default=1, help="score every k-th of them only")
    parser.add_argument("--num_repeats", type=positive, default=1, help="n of Eq. 7 for the reference scores")
    parser.add_argument("--facts", help="JSON file whose `measured` entry for the checkpoint is replaced")
    parser.add_argument("--output_dir", required=True)
    args = parser.parse_args(argv)
    if (args.unet is None) == (args.regressor is None):
        parser.error("give --unet or --regressor, one of the two")
    return args


def check_place(output: Path, parts: tuple[str, ...], sources: list[str | None]) -> None:
    """Refuse a place with anything but an earlier checkpoint of the same `parts`: all its weights will be rounded."""
    if any(source and Path(source).resolve().is_relative_to(output.resolve()) for source in sources):
        raise ValueError(f"{output} is, or holds, what the checkpoint is made of; name a new folder")
    if not output.exists():
        return
    names = {path.name for path in output.iterdir()}
    if strange := sorted(names.difference(parts, BESIDE)):
        found = ", ".join(strange[:3])
        raise ValueError(f"{output} holds other files ({found}) than a checkpoint of this kind; name a new folder")
    if names and not is_ours(output, parts):
        raise ValueError(f"{output} is no earlier checkpoint of this kind ({SIGNS[parts][1]}); name a new folder")


def is_ours(folder: Path, parts: tuple[str, ...]) -> bool:
    """Whether the first file of `parts` says that a folder is DifFIQA's, and not another method's of the same class."""
    described, (key, kind) = read_object(folder / parts[0]), SIGNS[parts]
    return described.get(key) == kind and described.get("quality_method") in (None, "difiqa-r")


def read_object(path: Path) -> dict:
    """The JSON object in a file; {} where there is no file."""
    try:
        content = json.loads(path.read_text()) if path.exists() else {}
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, found a {type(content).__name__}")
    return content


def check_inputs(args: argparse.Namespace) -> dict:
    """What can be seen to be missing before hours of scoring; returns the content of --facts, {} without it."""
    if not (source := Path(args.regressor or args.unet)).is_dir():
        raise FileNotFoundError(f"{source} is no folder; need what the training wrote")
    if args.regressor and not is_ours(source, REGRESSOR):
        raise ValueError(f"{source} holds no regressor of train_regressor.py; --unet takes a denoiser")
    for data in args.reference_data or []:
        checked_source(Path(data))
    if not args.facts:
        return {}
    everything, name = read_object(Path(args.facts)), Path(args.output_dir).name
    checkpoints = everything.get("checkpoints")
    if not isinstance(checkpoints, dict) or not isinstance(checkpoints.get(name), dict):
        raise ValueError(f"{args.facts} has no entry {name} under checkpoints; it is named as --output_dir")
    if args.regressor and not (training_log(args).exists() and training_log(args).read_text().strip()):
        raise FileNotFoundError(f"{training_log(args)} is missing or empty, from which --facts are taken")
    return everything


def training_log(args: argparse.Namespace) -> Path:
    """What train_regressor.py wrote beside the regressor."""
    return Path(args.regressor).parent / "log.jsonl"


def halve(folder: Path) -> None:
    """Store every floating-point tensor of the weight files under `folder` as float16; configurations stay float32."""
    for path in folder.rglob("*.safetensors"):
        state = {key: value.half() if value.is_floating_point() else value for key, value in load_file(path).items()}
        largest = max(value.abs().max().item() for value in state.values() if value.is_floating_point())
        if largest == float("inf"):
            raise ValueError(f"{path} holds values beyond float16's 65504; ship it in float32")
        save_file(state, path, metadata={"format": "pt"})
        path.chmod(0o644)  # safetensors writes 0600, which a wheel would keep


def forget_paths(folder: Path) -> None:
    """Drop what diffusers notes in every configuration: the folder of this machine that a network was loaded from."""
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text())
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2) + "\n")


def reference_quantiles(folder: Path, args: argparse.Namespace) -> tuple[list[float], int]:
    """101 evenly spaced quantiles (0 to 100 %) of the assembled checkpoint's scores, and the number of images."""
    images, _ = read_images(args.reference_data)
    images = images[:: args.reference_every]
    if args.regressor:
        method = create_method("difiqa-r", checkpoint=folder)
    else:
        method = create_method("difiqa", checkpoint=folder, num_repeats=args.num_repeats)
    parts = tqdm(images.split(64), desc="reference scores", mininterval=10)
    scores = torch.cat([method(to_pixel_values(part)) for part in parts]).double()
    points = torch.linspace(0, 1, 101, dtype=torch.double)
    return [round(value, 6) for value in scores.quantile(points).tolist()], len(images)


def add_to_configuration(path: Path, values: dict) -> None:
    """Set entries of a JSON configuration."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values, indent=2) + "\n")


def size_facts(file: Path) -> dict:
    """Millions of parameters and bytes of a weight file."""
    state = load_file(file)
    count = sum(value.numel() for key, value in state.items() if value.is_floating_point() and "running_" not in key)
    return {"parameters_m": round(count / 1e6, 2), "megabytes": round(file.stat().st_size / 1e6, 1)}


def measured_facts(folder: Path, args: argparse.Namespace) -> dict:
    """What the model card says and this script can see."""
    facts = {
        "regressor" if file.parent == folder else file.parent.name: size_facts(file)
        for file in sorted(folder.rglob("*.safetensors"))
    }
    if args.regressor:
        config = json.loads((folder / "config.json").read_text())
        facts |= {name: round(config[name], 3) for name in ("label_minimum", "label_maximum")}
        last = training_log(args).read_text().splitlines()[-1]
        found = {key: value for key, value in json.loads(last).items() if key.startswith("validation_")}
        facts |= {key: value if value is None else round(value, 3) for key, value in found.items()}
    return facts


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    output = Path(args.output_dir)
    check_place(output, REGRESSOR if args.regressor else PIPELINE, [args.unet, args.recognizer, args.regressor])
    everything = check_inputs(args)
    if args.regressor:
        DifFIQARegressor.from_pretrained(args.regressor, dtype=torch.float32).save_pretrained(output)
        FaceImageProcessor().save_pretrained(output)
    else:
        unet = PatchUNet2DModel.from_pretrained(args.unet)
        DifFIQAPipeline(
            unet,
            cosine_scheduler(unet.config.num_train_timesteps),
            load_recognizer(args.recognizer),
            FaceImageProcessor(),
        ).save_pretrained(output)
    remove_code(output)  # the package knows its classes; `difiqa push` adds the code for those without it
    halve(output)
    forget_paths(output)
    facts = measured_facts(output, args) if args.facts else {}
    if args.reference_data:
        reference, count = reference_quantiles(output, args)
        configuration = "config.json" if args.regressor else "model_index.json"
        add_to_configuration(output / configuration, {"reference_quantiles": reference})
        facts |= {"reference_images": count, "score_1_percent": reference[1], "score_99_percent": reference[99]}
    if args.facts:
        everything["checkpoints"][output.name]["measured"] = facts
        Path(args.facts).write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    start(main)
