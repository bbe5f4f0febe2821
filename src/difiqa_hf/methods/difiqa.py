"""DifFIQA behind the common interface."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from difiqa_hf.methods.base import QualityMethod, read_percentiles
from difiqa_hf.pipeline_difiqa import VARIANTS, DifFIQAPipeline
from difiqa_hf.recognizers import configuration_digest, recognizer_fingerprint, resolve_recognizer, weights_revision

# Rank correlation with 100 repeats, on LFW and CFP-FP: model_cards/SPEED.md. A pair of repeats with opposite noise is
# worth more than ten with noise of their own: what is left over is of second order.
PRESETS = {
    "paper":   {},                                                                      # 100 calls of the denoiser
    "fast":    {"num_repeats": 2, "noise": "antithetic", "steps": 1},                   # 4
    "fastest": {"num_repeats": 1, "noise": "shared", "steps": 1},                       # 2
    "careful": {"num_repeats": 100, "noise": "antithetic", "max_standard_error": 2e-4}, # 80 to 1,000
}  # fmt: skip

EXACT = {"steps": None, "noise": "own", "max_standard_error": None}  # as in the paper


class DifFIQA(QualityMethod):
    """Embedding stability under forward and backward diffusion (Babnik et al., IJCB 2023, Eq. 7).

    Args:
        checkpoint: pipeline folder or Hub repository; None for the shipped one.
        recognizer: replaces the checkpoint's recogniser: a model, a callable, or what `load_recognizer` takes.
        preset: one of `PRESETS`, for what is not given.
        seed, timestep, num_repeats, flip, forward, steps, noise, max_standard_error, batch_size: as in
            `DifFIQAPipeline.__call__`.
        unet_dtype: "float32" or "bfloat16" for the denoiser (faster on CPUs with AMX, slower on others); noise,
            recogniser and Eq. 7 stay in float32.
        compile: compile the denoiser with `torch.compile` at its first call, once for each size of batch. Takes a
            minute and a C++ compiler, and pays for thousands of images.
        variant: "paper" or "released", as in `DifFIQAPipeline`; None: the checkpoint's.
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
        batch_size: int | None = None,
        unet_dtype: str = "float32",
        device: str = "cpu",
        preset: str = "paper",
        steps: int | None = None,
        noise: str | None = None,
        max_standard_error: float | None = None,
        compile: bool = False,
        variant: str | None = None,
    ):
        if unet_dtype not in ("float32", "bfloat16"):
            raise ValueError(f"unet_dtype must be 'float32' or 'bfloat16', found {unet_dtype!r}")
        if preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, found {preset!r}")
        if variant not in (None, *VARIANTS):
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, found {variant!r}")
        loaded = {} if recognizer is None else {"recognizer": resolve_recognizer(recognizer, device)}
        load = DifFIQAPipeline.from_default if checkpoint is None else DifFIQAPipeline.from_pretrained
        self.pipeline = load(*([] if checkpoint is None else [checkpoint]), **loaded).to(device)
        self.pipeline.set_progress_bar_config(disable=True)
        stored = self.pipeline.config.variant
        self.pipeline.register_to_config(variant=variant or stored)
        given = {
            "timestep": timestep, "num_repeats": num_repeats, "flip": flip, "forward": forward, "steps": steps,
            "noise": noise, "max_standard_error": max_standard_error,
        }  # fmt: skip
        given = PRESETS[preset] | {name: value for name, value in given.items() if value is not None}
        own = {name: self.pipeline.config[name] for name in ("timestep", "num_repeats", "flip", "forward")}
        self.options = own | EXACT | given | {"seed": seed, "batch_size": batch_size}
        self.pipeline.check_options(**self.options)
        if self.options["steps"] == self.options["timestep"]:
            self.options["steps"] = None  # the same, by its usual name
        # Repeats and noise only change the error; scores of another procedure are other scores, as of other weights.
        expected = {name: own[name] for name in ("timestep", "flip", "forward")} | {"steps": None}
        procedure = {name: self.options[name] for name, value in expected.items() if self.options[name] != value}
        if self.pipeline.config.variant != stored:
            procedure["variant"] = variant
        self._name_weights(unet_dtype, procedure)
        # diffusers' own `to` warns of modules to keep in float32 and names none
        torch.nn.Module.to(self.pipeline.unet, dtype=getattr(torch, unet_dtype), memory_format=torch.channels_last)
        if compile:
            self.pipeline.unet.compile()
        same = recognizer is None and not procedure  # whose scores the checkpoint's percentiles are
        self._percentiles = read_percentiles(self.pipeline.config) if same else None
        self._origin = self.pipeline.name_or_path

    def _name_weights(self, unet_dtype: str, procedure: dict) -> None:
        """Revision and fingerprint, from the weights as they were stored and what is done otherwise than they say."""
        unet, scheduler, recognizer = self.pipeline.unet, self.pipeline.scheduler, self.pipeline.active_recognizer
        revisions = weights_revision(unet), weights_revision(recognizer)
        named = [*revisions, *(f"{name}={value}" for name, value in sorted(procedure.items()))]
        self.revision = hashlib.sha256("-".join(named).encode()).hexdigest()[:12]
        always = ("timestep", "num_repeats", "flip", "forward", "seed")
        changed = [name for name, value in EXACT.items() if self.options[name] != value]
        settings = ",".join(f"{name}={self.options[name]}" for name in (*always, *changed))
        denoiser = [configuration_digest(part.config) for part in (unet, scheduler)]
        inside = recognizer_fingerprint(recognizer)
        self.fingerprint = inside and f"difiqa {'-'.join([revisions[0], *denoiser])} {settings},{unet_dtype} {inside}"
        if self.pipeline.config.variant == "released":  # depends on an image's place in the call: nothing to cache
            self.fingerprint = ""

    def score(self, pixel_values: Tensor) -> Tensor:
        return self.pipeline(pixel_values, **self.options).quality

    def save_pretrained(self, folder: str | Path) -> None:
        self.pipeline.save_pretrained(folder)
        self._save_card(folder)

    def push_to_hub(self, repo_id: str, **options):
        return self.pipeline.push_to_hub(repo_id, **options)
