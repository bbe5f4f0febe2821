"""Turn training results into the folders that the package ships: half-precision files that load as float32.

Rounding comes first, so that the reference quantiles, and every published figure, belong to the weights that ship.
"""

import argparse
import json
from pathlib import Path

import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file, save_file

from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor
from difiqa_hf.models.unet_patch import PatchUNet2DModel
from difiqa_hf.pipeline_difiqa import DifFIQAPipeline
from difiqa_hf.recognizers import load_recognizer


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--unet", help="unet folder written by train_difiqa_ddpm.py")
    parser.add_argument("--recognizer", help="recogniser folder, for the pipeline")
    parser.add_argument("--regressor", help="regressor folder written by train_regressor.py")
    parser.add_argument("--reference_scores", help="JSON list of scores on the reference set, for percentiles")
    parser.add_argument("--output_dir", required=True)
    return parser.parse_args(argv)


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


def quantiles(path: str | None) -> list[float] | None:
    """101 evenly spaced quantiles (0 to 100 %) of the scores in a JSON list."""
    if path is None:
        return None
    scores = torch.tensor(json.loads(Path(path).read_text()), dtype=torch.double)
    return [round(value, 6) for value in scores.quantile(torch.linspace(0, 1, 101, dtype=torch.double)).tolist()]


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    output, reference = Path(args.output_dir), quantiles(args.reference_scores)
    if args.regressor:
        regressor = DifFIQARegressor.from_pretrained(args.regressor, dtype=torch.float32)
        regressor.config.reference_quantiles = reference
        regressor.save_pretrained(output)
        FaceImageProcessor().save_pretrained(output)
    else:
        DifFIQAPipeline(
            PatchUNet2DModel.from_pretrained(args.unet),
            DDPMScheduler(prediction_type="sample", beta_schedule="squaredcos_cap_v2"),
            load_recognizer(args.recognizer),
            FaceImageProcessor(),
            reference_quantiles=reference,
        ).save_pretrained(output)
    halve(output)
    forget_paths(output)


if __name__ == "__main__":
    main()
