"""DifFIQA: quality as the stability of a face's embedding under the forward and backward diffusion process (Eq. 7)."""

import importlib
import inspect
import math
import sys
from collections.abc import Callable
from importlib.resources import files
from numbers import Integral
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, DiffusionPipeline, ModelMixin
from torch import Tensor
from transformers import PreTrainedModel

from difiqa_hf.diffusion import (
    ReleasedNoise,
    add_noise,
    alphas_cumprod,
    backward_indices,
    posterior,
    released_posterior,
    restore,
)
from difiqa_hf.embedding import embed
from difiqa_hf.hub.code import add_code, sources
from difiqa_hf.image_processing import FaceImageProcessor, check_pixel_values
from difiqa_hf.outputs import DifFIQAPipelineOutput
from difiqa_hf.repeats import NOISES, Rows, noise_source, rounds, standard_error, summarise

VARIANTS = ("paper", "released")
BATCHES = {"cpu": 8, "cuda": 256}


class DifFIQAPipeline(DiffusionPipeline):
    """Face image quality from a denoiser D and a recogniser M (Fig. 2 of the paper), without training labels.

    Args:
        unet: D, predicts x0 from (x_t, t): `PatchUNet2DModel`, `ReleasedUNet2DModel`, `UNet2DModel` or another with
            their interface.
        scheduler: noise schedule with `prediction_type="sample"`; only its betas are used.
        recognizer: M, a recogniser model or any callable `pixel_values -> embeddings`.
        image_processor: turns paths, PIL images and arrays into pixel values.
        timestep: number of forward steps t; the way back begins at index t - 1 of the schedule.
        num_repeats: n of Eq. 7.
        flip: also use the mirrored image (off: ablation A1).
        forward: also compare with the noisy images (off: ablation A2).
        reference_quantiles: evenly spaced quantiles of the score on a reference set, from 0 to 100 %, for percentiles.
        variant: "paper", or "released" for what the authors' code computes.

    Variant "paper": four terms, noise of index t - 1, drawn from (seed, an image's own pixels, repeat), so that neither
    its neighbours nor the batch size matter.
    Variant "released": a fifth term, the cosine to the mirrored image; noise of index t, one index more than the
    denoiser is told; drawn for all images from one generator (`ReleasedNoise`), so that an image's score depends on its
    place in the call. Made for the published weights, but a matter of procedure only: any weights run in either.
    """

    model_cpu_offload_seq = "unet->recognizer"
    _optional_components = ["recognizer", "image_processor"]  # noqa: RUF012  diffusers reads a plain list

    def __init__(
        self,
        unet: ModelMixin,
        scheduler: DDPMScheduler,
        recognizer: PreTrainedModel | None = None,
        image_processor: FaceImageProcessor | None = None,
        timestep: int = 5,
        num_repeats: int = 10,
        flip: bool = True,
        forward: bool = True,
        reference_quantiles: list[float] | None = None,
        variant: str = "paper",
    ):
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant must be one of {VARIANTS}, found {variant!r}")
        self.register_modules(
            unet=unet, scheduler=scheduler, recognizer=None, image_processor=image_processor or FaceImageProcessor()
        )
        self.use_recognizer(recognizer)
        self.register_to_config(
            timestep=timestep,
            num_repeats=num_repeats,
            flip=flip,
            forward=forward,
            reference_quantiles=reference_quantiles,
            variant=variant,
        )
        if scheduler.config.prediction_type != "sample":
            raise ValueError(
                "the denoiser must predict x0 (prediction_type='sample', Eq. 5), "
                f"the scheduler says {scheduler.config.prediction_type!r}"
            )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs) -> "DifFIQAPipeline":
        """As in diffusers, from a folder or a repository; runs no code of it and loads no pickle.

        `recognizer` may also be a plain module, any callable, or what `load_recognizer` takes; the checkpoint needs
        none then. `variant="paper"` or "released" replaces the checkpoint's; other values name weight files, as in
        diffusers.

        Raises:
            ValueError: for a repository that is not safe, whole and a pipeline (`difiqa_hf.hub.fetch`).
        """
        fetch, recognizers = _of_package("hub.fetch"), _of_package("recognizers")
        for denoiser in ("unet_patch", "unet_released"):
            _of_package(f"models.{denoiser}")  # diffusers finds only classes of modules that are imported already
        recognizer, variant = kwargs.pop("recognizer", None), kwargs.get("variant")
        kwargs.pop("use_safetensors", None)  # always
        changed = {"variant": kwargs.pop("variant")} if variant in VARIANTS else {}
        hub = {name: kwargs.pop(name) for name in fetch.HUB_OPTIONS if name in kwargs}
        given = [name for name in ("unet", "scheduler", "image_processor") if name in kwargs]
        skip = given + ["recognizer"] * (recognizer is not None)
        folder = fetch.fetch_pipeline(pretrained_model_name_or_path, skip, kwargs.get("variant"), **hub)
        # Handed over afterwards: diffusers refuses classes it does not know, and loads incomplete weights silently.
        pipeline = super().from_pretrained(folder, recognizer=None, use_safetensors=True, **kwargs)
        if recognizer is None and (folder / "recognizer").is_dir():
            recognizer = recognizers.load_recognizer(folder / "recognizer", variant=kwargs.get("variant"))
        pipeline.use_recognizer(None if recognizer is None else recognizers.resolve_recognizer(recognizer))
        pipeline.register_to_config(**changed)
        return pipeline

    @classmethod
    def load_config(cls, *args, **kwargs):
        """As in diffusers; names of modules in a repository (`hub.code`) become those of this package."""
        loaded = super().load_config(*args, **kwargs)
        config = loaded[0] if isinstance(loaded, tuple) else loaded
        if not __name__.startswith("difiqa_hf."):
            return loaded
        if isinstance(config.get("_class_name"), list):
            config["_class_name"] = config["_class_name"][-1]
        for component, value in config.items():
            if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
                own = [f"difiqa_hf.{folder}{value[0]}" for folder in ("", "models.")]
                config[component] = [next((name for name in own if name in sys.modules), value[0]), value[1]]
        return loaded

    def save_pretrained(self, save_directory, *args, push_to_hub: bool = False, **kwargs) -> None:
        """As in diffusers; with the code that those need who load the folder, as a repository, without this package."""
        super().save_pretrained(save_directory, *args, **kwargs)
        known = None
        if not __name__.startswith("difiqa_hf."):  # a copy: what it was loaded with is handed on
            classes = [type(self), *(type(part) for part in self.components.values())]
            copies = [kind for kind in classes if kind.__module__.partition(".")[0].endswith("_modules")]
            known = sources([Path(inspect.getfile(kind)) for kind in copies])
        add_code(save_directory, known)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", Path(save_directory).name), **kwargs)

    def push_to_hub(self, repo_id: str, **options):
        """Save and publish, with the card; see `difiqa_hf.hub.push_to_hub`."""
        return _of_package("hub").push_to_hub(self, repo_id, **options)

    @classmethod
    def from_default(cls, **kwargs) -> "DifFIQAPipeline":
        """The pipeline that the package ships; no download. Keyword arguments as for `from_pretrained`."""
        folder = Path(str(files("difiqa_hf") / "checkpoints" / "difiqa"))
        if not (folder / "model_index.json").exists():
            raise FileNotFoundError(
                f"this installation has no default checkpoint at {folder}; reinstall, or use from_pretrained"
            )
        return cls.from_pretrained(folder, **kwargs)

    @torch.no_grad()
    def __call__(
        self,
        images,
        timestep: int | None = None,
        num_repeats: int | None = None,
        flip: bool | None = None,
        forward: bool | None = None,
        seed: int = 0,
        batch_size: int | None = None,
        callback: Callable[[dict], None] | None = None,
        steps: int | None = None,
        noise: str = "own",
        max_standard_error: float | None = None,
    ) -> DifFIQAPipelineOutput:
        """Score aligned faces.

        Args:
            images: paths, PIL images or arrays for `FaceImageProcessor`, or pixel values (batch, 3, 112, 112), RGB in
                [-1, 1].
            timestep, num_repeats, flip, forward: override the pipeline's configuration.
            seed: of all noise.
            batch_size: copies of images that go through the networks at once; changes speed and memory, not the scores
                (beyond the last digits of floating-point arithmetic, about 1e-6). None is 8 on a CPU, whose cache holds
                as many, 256 on CUDA, where the shipped networks then take 3 GB, and 64 elsewhere.
            callback: gets, for every batch of copies, `rows` (image, repeat, mirrored), `noisy` and `restored`.
            steps: calls of the denoiser a copy, from 1 to `timestep`; None is one for every step of the way back
                (Eq. 3). Fewer are quicker and give other scores.
            noise: "own", "shared" or "antithetic", see `repeats.noise_source`.
            max_standard_error: repeat an image only until its standard error seems to be at most this, at least 4
                times (4 pairs of antithetic repeats) and at most `num_repeats` times. The error is an estimate from
                these few repeats, and who stops by it stops too early rather than too late: the true error is larger
                where an image would need many more repeats than 4.

        Returns:
            `DifFIQAPipelineOutput`, on the CPU, float32.

        Raises:
            ValueError: if there is no recogniser, or an option is out of range.
        """
        timestep, num_repeats = self._option("timestep", timestep), self._option("num_repeats", num_repeats)
        flip, forward = self._option("flip", flip), self._option("forward", forward)
        self.check_options(timestep, num_repeats, seed, batch_size, steps, noise, max_standard_error, flip, forward)
        batch_size = batch_size or BATCHES.get(self._execution_device.type, 64)
        clean = self._pixel_values(images)
        clean_embedding = torch.cat([self._embed(part) for part in clean.split(batch_size)])

        # One row is one perturbed copy of one image; rows are independent, so they fill batches in any order.
        sides = (False, True) if flip else (False,)
        noise_of = self._noise_source(noise, clean, seed, timestep, num_repeats, len(sides))
        perturb = self._perturbation(timestep, steps)
        terms = torch.full((len(clean), num_repeats, len(sides), 1 + forward), math.nan)
        pairs, active = noise == "antithetic", range(len(clean))
        for repeats in rounds(num_repeats, max_standard_error is not None, pairs):
            rows = [(i, r, side) for i in active for r in repeats for side in sides]
            for start in self.progress_bar(range(0, len(rows), batch_size)):
                part = rows[start : start + batch_size]
                image, repeat, side = (torch.tensor(column) for column in zip(*part, strict=True))
                x = torch.where(side.to(clean.device).view(-1, 1, 1, 1), clean[image].flip(-1), clean[image])
                # 1. Noise (Eq. 2)   2. Restore (Eq. 3, 4)
                noisy, restored = perturb(x, noise_of(part))
                # 3. Embed   4. Compare (Eq. 7)
                e_x, compared = clean_embedding[image], (noisy, restored) if forward else (restored,)
                cosines = torch.stack([F.cosine_similarity(e_x, self._embed(copy)) for copy in compared], 1)
                terms[image, repeat, side.long()] = cosines.cpu()
                if callback is not None:
                    callback({"rows": part, "noisy": noisy, "restored": restored})
            error = standard_error(terms.flatten(2).mean(2), pairs)
            active = [i for i in active if not error[i] <= (max_standard_error or 0)]
            if not active:
                break
        mirrored = None
        if self.config.variant == "released" and flip:  # its fifth term
            mirrored = torch.cat([self._embed(part.flip(-1)) for part in clean.split(batch_size)])
            mirrored = F.cosine_similarity(clean_embedding, mirrored).cpu()
        return summarise(terms, mirrored, pairs)

    def use_recognizer(self, recognizer) -> None:
        """Replace M. A transformers model becomes a component, saved with the pipeline; other callables stand in."""
        component = isinstance(recognizer, PreTrainedModel)
        self.register_modules(recognizer=recognizer if component else None)
        self._stand_in = None if component else recognizer

    @property
    def active_recognizer(self):
        """The recogniser in use: the component, or the callable that stands in for it."""
        return self._stand_in if self.recognizer is None else self.recognizer

    def _option(self, name: str, value):
        return self.config[name] if value is None else value

    def check_options(
        self,
        timestep: int,
        num_repeats: int,
        seed: int = 0,
        batch_size: int | None = None,
        steps: int | None = None,
        noise: str = "own",
        max_standard_error: float | None = None,
        flip: bool = True,
        forward: bool = True,
    ) -> None:
        """Raise ValueError for options that `__call__` refuses, or without a recogniser."""
        most = len(self.scheduler.betas) - (self.config.variant == "released")  # which noises one index higher
        counts = {"timestep": timestep, "num_repeats": num_repeats, "seed": seed}
        given = {"batch_size": batch_size, "steps": steps}
        counts |= {name: value for name, value in given.items() if value is not None}
        wrong = [f"{k} = {v!r}" for k, v in counts.items() if isinstance(v, bool) or not isinstance(v, Integral)]
        if wrong:
            raise ValueError(f"{', '.join(counts)} must be whole numbers, found {', '.join(wrong)}")
        for name, value in {"flip": flip, "forward": forward}.items():
            if not isinstance(value, bool):
                raise ValueError(f"{name} must be true or false, found {value!r}")
        if not 1 <= timestep <= most:
            raise ValueError(f"timestep must be between 1 and {most}, found {timestep}")
        if steps is not None and not 1 <= steps <= timestep:
            raise ValueError(f"steps must be between 1 and timestep = {timestep}, found {steps}")
        if num_repeats < 1 or (batch_size is not None and batch_size < 1):
            raise ValueError(f"num_repeats and batch_size must be at least 1, found {num_repeats} and {batch_size}")
        self._check_noise(noise, num_repeats, max_standard_error)
        if self.active_recognizer is None:
            raise ValueError(
                "DifFIQA needs a recogniser: pass recognizer=… to from_pretrained, a model or any callable"
            )

    def _check_noise(self, noise: str, num_repeats: int, max_standard_error: float | None) -> None:
        if noise not in NOISES:
            raise ValueError(f"noise must be one of {NOISES}, found {noise!r}")
        if max_standard_error is not None and not max_standard_error > 0:
            raise ValueError(f"max_standard_error must be above 0, found {max_standard_error!r}")
        if self.config.variant == "released" and (noise != "own" or max_standard_error is not None):
            raise ValueError("variant 'released' draws noise as the released code does: noise and max_standard_error "
                             "are for variant 'paper'")  # fmt: skip
        if noise == "antithetic" and num_repeats % 2:
            raise ValueError(f"antithetic noise comes in pairs: num_repeats must be even, found {num_repeats}")

    def _pixel_values(self, images) -> Tensor:
        if not isinstance(images, Tensor):
            images = self.image_processor(images, return_tensors="pt")["pixel_values"]
        check_pixel_values(images)
        return images.to(self._execution_device, torch.float32)

    def _noise_source(
        self, noise: str, clean: Tensor, seed: int, timestep: int, num_repeats: int, num_sides: int
    ) -> Callable[[Rows], Callable[[], Tensor]]:
        """Rows (image, repeat, side) -> `draw`, which gives their next noise at every call."""
        if self.config.variant == "released":
            return ReleasedNoise(seed, clean.shape, num_repeats, num_sides, timestep, clean.device)
        return noise_source(noise, clean, seed)

    def _perturbation(self, timestep: int, steps: int | None) -> Callable[..., tuple[Tensor, Tensor]]:
        """(copies, draw) -> the same noisy, and restored."""
        released, alpha_bar = self.config.variant == "released", alphas_cumprod(self.scheduler)
        noise_index, step = (timestep, released_posterior) if released else (timestep - 1, posterior)
        indices = backward_indices(timestep - 1, steps)

        def perturb(x: Tensor, draw: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
            noisy = add_noise(x, draw(), torch.full((len(x),), noise_index), alpha_bar)
            return noisy, restore(self._denoise, noisy, indices, alpha_bar, draw, step)

        return perturb

    def _embed(self, pixel_values: Tensor) -> Tensor:
        return embed(self.active_recognizer, pixel_values)

    def _denoise(self, sample: Tensor, timestep: int) -> Tensor:
        if not getattr(self.unet, "keeps_input_precision", False):
            sample = sample.to(self.unet.dtype)
        # a tensor: a compiled denoiser would be compiled anew for every number
        return self.unet(sample, torch.tensor(timestep, device=sample.device)).sample


def _of_package(module: str):
    """A module of this package, imported late: a copy of this file that came from the Hub may be without it."""
    return importlib.import_module(f"difiqa_hf.{module}")
