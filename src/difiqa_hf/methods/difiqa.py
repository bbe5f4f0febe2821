"""DifFIQA behind the common interface."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from difiqa_hf.methods.base import QualityMethod, read_percentiles
from difiqa_hf.pipeline_difiqa import DifFIQAPipeline
from difiqa_hf.recognizers import configuration_digest, recognizer_fingerprint, resolve_recognizer, weights_revision


class DifFIQA(QualityMethod):
    """Embedding stability under forward and backward diffusion (Babnik et al., IJCB 2023, Eq. 7).

    Args:
        checkpoint: pipeline folder or Hub repository; None for the shipped one.
        recognizer: replaces the checkpoint's recogniser: a model, a callable, or what `load_recognizer` takes.
        seed, timestep, num_repeats, flip, forward, batch_size: as in `DifFIQAPipeline.__call__`.
        unet_dtype: "float32" or "bfloat16" for the denoiser (faster on CPUs with AMX, slower on others); noise,
            recogniser and Eq. 7 stay in float32.
        device: where to run.
    """

    name = "difiqa"
    kind = "analytical"
    score_range = (-1.0, 1.0)
    is_stochastic = True
    needs_recognizer = True
    needs_training = True
    has_weights = True
    input_contract = "denoiser: as given; recogniser: its own"
    paper = "Babnik et al., DifFIQA, IJCB 2023"
    code_license = "MIT"
    weights_license = "shipped ones: research use only (see their card)"
    parity = "retrained, no official weights obtainable; the released procedure is checked on rule-made weights"

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        recognizer=None,
        seed: int = 0,
        timestep: int | None = None,
        num_repeats: int | None = None,
        flip: bool | None = None,
        forward: bool | None = None,
        batch_size: int = 32,
        unet_dtype: str = "float32",
        device: str = "cpu",
    ):
        loaded = {} if recognizer is None else {"recognizer": resolve_recognizer(recognizer, device)}
        load = DifFIQAPipeline.from_default if checkpoint is None else DifFIQAPipeline.from_pretrained
        self.pipeline = load(*([] if checkpoint is None else [checkpoint]), **loaded).to(device)
        self.pipeline.set_progress_bar_config(disable=True)
        config = self.pipeline.config
        chosen = {"timestep": timestep, "num_repeats": num_repeats, "flip": flip, "forward": forward}
        self.options = {name: config[name] if value is None else value for name, value in chosen.items()}
        self.options.update(seed=seed, batch_size=batch_size)
        revisions = weights_revision(self.pipeline.unet), weights_revision(self.pipeline.active_recognizer)
        self.revision = hashlib.sha256("-".join(revisions).encode()).hexdigest()[:12]
        settings = ",".join(f"{name}={self.options[name]}" for name in (*chosen, "seed"))
        inside = recognizer_fingerprint(self.pipeline.active_recognizer)
        denoiser = [configuration_digest(part.config) for part in (self.pipeline.unet, self.pipeline.scheduler)]
        self.fingerprint = inside and f"difiqa {'-'.join([revisions[0], *denoiser])} {settings},{unet_dtype} {inside}"
        if config.variant == "released":  # scores depend on an image's place in the call: nothing to cache
            self.fingerprint = ""
        if unet_dtype not in ("float32", "bfloat16"):
            raise ValueError(f"unet_dtype must be 'float32' or 'bfloat16', found {unet_dtype!r}")
        dtype = getattr(torch, unet_dtype)
        # diffusers' own `to` warns of modules to keep in float32 and names none
        torch.nn.Module.to(self.pipeline.unet, dtype=dtype, memory_format=torch.channels_last)
        # The percentiles belong to the checkpoint's own recogniser and procedure; repeats only change the error.
        own = recognizer is None and all(self.options[name] == config[name] for name in ("timestep", "flip", "forward"))
        self._percentiles = read_percentiles(config) if own else None
        self._origin = self.pipeline.name_or_path

    def score(self, pixel_values: Tensor) -> Tensor:
        return self.pipeline(pixel_values, **self.options).quality

    def save_pretrained(self, folder: str | Path) -> None:
        self.pipeline.save_pretrained(folder)
        self._save_card(folder)

    def push_to_hub(self, repo_id: str, **options):
        return self.pipeline.push_to_hub(repo_id, **options)
