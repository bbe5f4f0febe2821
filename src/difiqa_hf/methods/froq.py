"""FROQ: quality as the norm of feature maps that were chosen once, without labels (LSIbabnikz/FROQ, IJCB 2025)."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from difiqa_hf.diffusion import NoiseStream, image_digests, stable_seed
from difiqa_hf.hub import fetch
from difiqa_hf.image_processing import check_pixel_values
from difiqa_hf.methods.base import RecognizerMethod
from difiqa_hf.recognizers import embed, recorded

FILE = "froq_calibration.json"


@dataclass(frozen=True)
class Calibration:
    """Which layers FROQ reads, for which recogniser, and how well they agreed with the pseudo labels.

    Attributes:
        layers: module names, in the order in which they were chosen.
        correlations: Spearman correlation of the mean norm with the pseudo labels after each choice.
        revision: of the recogniser's weights.
        num_images: that it was calibrated on.
    """

    layers: tuple[str, ...]
    correlations: tuple[float, ...]
    revision: str
    num_images: int


class FROQ(RecognizerMethod):
    """Mean norm of a few feature maps, chosen by how well they follow the embedding's stability (IJCB 2025).

    Args:
        recognizer: a model (a plain callable shows no layers), or what `load_recognizer` takes.
        checkpoint: folder of `save_pretrained`, or a repository, with a calibration for this recogniser; without one,
            call `calibrate`.
        device: where to run.
        seed: of the noise in the pseudo labels; without effect on scores.

    Example:
        >>> froq = create_method("froq", recognizer=model).calibrate(pixel_values)     # a few hundred ordinary faces
        >>> froq.save_pretrained("froq/"); create_method("froq", recognizer=model, checkpoint="froq/")
    """

    name = "froq"
    kind = "analytical"
    score_range = (0.0, None)
    has_weights = True
    paper = "FROQ, IJCB 2025"
    code_license = "MIT"
    parity = (
        "formula, from a description, checked on real networks by its sign; strength of the perturbations and "
        "candidate layers are ours; the official calibration was not obtainable"
    )

    def __init__(self, recognizer=None, checkpoint: str | Path | None = None, device: str = "cpu", seed: int = 0):
        super().__init__(recognizer, device, seed)
        if not isinstance(self.recognizer, nn.Module):
            raise ValueError(f"FROQ reads feature maps, a {type(self.recognizer).__name__} shows none; pass a model")
        self._inside, self.fingerprint = self.fingerprint, ""
        self.calibration: Calibration | None = None
        if checkpoint is not None:
            self._use(_read(checkpoint))

    def check_ready(self) -> None:
        if self.calibration is None:
            raise ValueError(
                "FROQ is not calibrated: call calibrate(pixel_values) with a few hundred ordinary faces, "
                "or pass checkpoint=…, a folder of save_pretrained (--method froq=FOLDER)"
            )

    def score(self, pixel_values: Tensor) -> Tensor:
        self.check_ready()
        layers = {name: self.recognizer.get_submodule(name) for name in self.calibration.layers}
        return self._norms(pixel_values, layers).mean(1)

    def calibrate(self, pixel_values: Tensor, max_layers: int = 10, batch_size: int = 32) -> "FROQ":
        """Choose layers greedily: each time the one whose norm helps the mean most, while any does; returns itself.

        Args:
            pixel_values: (batch, 3, 112, 112), RGB in [-1, 1], of varied quality; no labels.
            max_layers: at most so many.
            batch_size: images at once.

        Raises:
            ValueError: for fewer than 10 images, no layers or no batch, or if no layer follows the pseudo labels.
        """
        check_pixel_values(pixel_values)
        if min(max_layers, batch_size) < 1:
            raise ValueError(f"max_layers and batch_size must be at least 1, found {max_layers} and {batch_size}")
        if len(pixel_values) < 10:
            raise ValueError(f"calibration needs at least 10 images, better hundreds, found {len(pixel_values)}")
        with torch.no_grad():
            leaves, parts = self._leaves(pixel_values[:2]), pixel_values.split(batch_size)
            norms = torch.cat([self._norms(part, leaves) for part in parts])
            labels = torch.cat([self._stability(part) for part in parts])
        chosen, correlations = choose_layers(norms, labels, max_layers)
        if not chosen:
            raise ValueError(f"no layer of {type(self.recognizer).__name__} follows the pseudo labels; more images?")
        names = tuple(list(leaves)[i] for i in chosen)
        self._use(Calibration(names, tuple(correlations), self.revision, len(pixel_values)))
        return self

    def save_pretrained(self, folder: str | Path) -> None:
        if self.calibration is None:
            raise ValueError("FROQ is not calibrated, there is nothing to save")
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / FILE).write_text(json.dumps(asdict(self.calibration), indent=1) + "\n", encoding="utf-8")

    def _use(self, calibration: Calibration) -> None:
        if calibration.revision != self.revision:
            raise ValueError(
                f"the calibration belongs to the recogniser {calibration.revision}, this one is {self.revision}; "
                "calibrate again"
            )
        leaves = {name for name, module in self.recognizer.named_modules() if not [*module.children()]}
        if missing := sorted(set(calibration.layers) - leaves):
            raise ValueError(f"{type(self.recognizer).__name__} has no layer {', '.join(missing)}; calibrate again")
        self.calibration = calibration
        self.fingerprint = f"{self._inside} layers={','.join(calibration.layers)}"

    def _leaves(self, pixel_values: Tensor) -> dict[str, nn.Module]:
        """The innermost modules that return something for every image, which position encodings, for one, do not."""
        leaves = {name: module for name, module in self.recognizer.named_modules() if not [*module.children()]}
        with recorded(leaves) as outputs:
            embed(self.recognizer, pixel_values.to(self.device))
        return {name: leaves[name] for name, output in outputs.items() if len(output) == len(pixel_values)}

    def _norms(self, pixel_values: Tensor, modules: dict[str, nn.Module]) -> Tensor:
        """L2 norm (batch, layers) of each module's output."""
        with recorded(modules, of=lambda output: output.float().flatten(1).norm(dim=1)) as norms:
            embed(self.recognizer, pixel_values.to(self.device))
        return torch.stack([norms[name] for name in modules], 1)

    def _stability(self, pixel_values: Tensor) -> Tensor:
        """Pseudo labels (batch,): mean cosine between the embedding and those of the perturbed image."""
        x = pixel_values.to(self.device, torch.float32)
        seeds = [stable_seed("froq", self.seed, digest) for digest in image_digests(pixel_values)]
        noise = NoiseStream(seeds, x.shape[1:], self.device)()
        e_x = embed(self.recognizer, x)
        cosines = [F.cosine_similarity(e_x, embed(self.recognizer, p(x, noise))) for p in PERTURBATIONS]
        return torch.stack(cosines).mean(0)


def grid_occlusion(x: Tensor, noise: Tensor) -> Tensor:
    """Grey squares of 8 pixels on a grid of 16 (the sizes are ours)."""
    row, column = (torch.arange(side, device=x.device) % 16 < 8 for side in x.shape[-2:])
    return x.masked_fill(row[:, None] & column, 0)


# (x, standard normal noise of its shape) -> perturbed x; the size of the noise, too, is ours
PERTURBATIONS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    lambda x, noise: x.flip(-1),
    lambda x, noise: (x + 0.1 * noise).clamp(-1, 1),
    grid_occlusion,
)


def choose_layers(norms: Tensor, labels: Tensor, max_layers: int = 10) -> tuple[list[int], list[float]]:
    """Greedy forward selection by Spearman's correlation of the mean norm with the labels.

    Args:
        norms: (images, layers).
        labels: (images,).

    Returns:
        The columns in the order of their choice, and the correlation after each.
    """
    chosen, correlations, total = [], [0.0], torch.zeros_like(labels)
    while len(chosen) < max_layers:
        found = spearman(norms + total[:, None], labels)  # a mean is a sum, to ranks
        found[chosen] = -1
        best = int(found.argmax())
        if found[best] <= correlations[-1]:
            break
        chosen.append(best)
        correlations.append(float(found[best]))
        total = total + norms[:, best]
    return chosen, correlations[1:]


def spearman(columns: Tensor, labels: Tensor) -> Tensor:
    """Spearman's rank correlation (columns,) of each column (n, columns) with labels (n,); 0 for a constant one."""
    ranks = torch.stack([_ranks(column) for column in columns.T], dim=1)
    ranks, target = ranks - ranks.mean(0), _ranks(labels)
    target = target - target.mean()
    scale = ranks.norm(dim=0) * target.norm()
    return torch.where(scale > 0, target @ ranks / scale.clamp(min=1e-30), 0.0)


def _ranks(values: Tensor) -> Tensor:
    """Ranks (n,), float64; equal values share the mean of theirs."""
    _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts - 1) / 2)[inverse]


def _read(checkpoint: str | Path) -> Calibration:
    folder = Path(checkpoint)
    if not folder.exists() and isinstance(checkpoint, str) and checkpoint.count("/") == 1:
        folder = fetch(checkpoint, names=(FILE,))
    if not (folder / FILE).is_file():
        raise FileNotFoundError(f"no {FILE} in {folder}")
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        layers = found.get("layers")
        names = isinstance(layers, list) and layers and all(isinstance(layer, str) for layer in layers)
        if not names or len(set(layers)) < len(layers):
            raise TypeError(f"layers must be a list of names, each once, found {layers!r}")
        return Calibration(**{key: tuple(value) if isinstance(value, list) else value for key, value in found.items()})
    except (AttributeError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder / FILE} is not a calibration of FROQ: {error}") from error
