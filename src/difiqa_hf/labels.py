"""Training targets of the regression methods, from embeddings of a recogniser: pure functions, vectorised.

Embeddings are (n, dim), normalised here; identities are (n,) integers; both on the CPU. Higher labels are better.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from difiqa_hf.diffusion import stable_seed

CHUNK = 512  # rows of the similarity matrix at a time


def scale_to_unit(values: Tensor) -> Tensor:
    """Min-max: the lowest value becomes 0, the highest 1 (n,).

    Raises:
        ValueError: if they are all equal.
    """
    low, high = values.aminmax()
    if low == high:
        raise ValueError(f"all {len(values)} values are {low.item():g}; there is nothing to scale")
    return (values - low) / (high - low)


def mated_pairs(identities: Tensor) -> Tensor:
    """All pairs (pairs, 2) of different images of the same person, the smaller index first."""
    order = identities.argsort(stable=True)
    ordered = identities[order]
    largest = int(ordered.unique_consecutive(return_counts=True)[1].max())
    found = []
    for lag in range(1, largest):
        same = ordered[lag:] == ordered[:-lag]
        found.append(torch.stack([order[:-lag][same], order[lag:][same]], dim=1))
    return torch.cat(found) if found else order.new_empty(0, 2)


def mated_similarity(embeddings: Tensor, identities: Tensor) -> Tensor:
    """Mean cosine (n,) of each image with the others of its person; NaN for an only one."""
    unit = F.normalize(embeddings.float())
    _, group, counts = identities.unique(return_inverse=True, return_counts=True)
    sums = unit.new_zeros(len(counts), unit.shape[1]).index_add_(0, group, unit)
    others = counts[group] - 1
    return torch.where(others > 0, ((unit * sums[group]).sum(1) - 1) / others, torch.nan)


def central_image(embeddings: Tensor, identities: Tensor) -> Tensor:
    """Index (n,) of the image of the same person that is most similar to the others of it, the first of equal ones.

    Stands in for the most ICAO-compliant one, where nobody rated compliance. A person needs two images or more.
    """
    mated = mated_similarity(embeddings, identities)
    _, group = identities.unique(return_inverse=True)
    order = mated.argsort(descending=True, stable=True)
    order = order[group[order].argsort(stable=True)]  # people lie in blocks, the best first
    counts = group.bincount()
    return order[counts.cumsum(0) - counts][group]


def reference_similarity(embeddings: Tensor, identities: Tensor, is_reference: Tensor) -> Tensor:
    """FaceQnet's label: cosine (n,) with the reference image of the person, the mean over several.

    Args:
        is_reference: (n,) bool, the best image or images of each person, by ICAO compliance in the paper. A reference
            is compared with itself too, as one of them.

    Raises:
        ValueError: if a person has none.
    """
    unit = F.normalize(embeddings.float())
    people, group = identities.unique(return_inverse=True)
    counts = torch.zeros(len(people)).index_add_(0, group, is_reference.float())
    if (counts == 0).any():
        missing = people[counts == 0].tolist()
        raise ValueError(f"{len(missing)} of {len(people)} people have no reference image, the first is {missing[0]}")
    chosen = group[is_reference]
    sums = unit.new_zeros(len(people), unit.shape[1]).index_add_(0, chosen, unit[is_reference])
    return (unit * (sums / counts[:, None])[group]).sum(1)


def wasserstein(first: Tensor, second: Tensor) -> Tensor:
    """First Wasserstein distance (...) between two samples (..., m) of the same size: mean difference once sorted."""
    return (first.sort(dim=-1).values - second.sort(dim=-1).values).abs().mean(-1)


def wasserstein_distances(
    embeddings: Tensor, identities: Tensor, num_pairs: int = 24, num_rounds: int = 12, seed: int = 0
) -> Tensor:
    """SDD-FIQA: distance between the genuine and the impostor similarities of an image, in several random rounds.

    Args:
        embeddings, identities: at least two images of every person, and two people.
        num_pairs: m, genuine and as many impostor comparisons an image and round. Genuine ones are drawn without
            replacement, with it where a person has fewer than m + 1 images; impostor ones with it.
        num_rounds: K.
        seed: of the draws, which also depend on the order of the images.

    Returns:
        (num_rounds, n).

    Raises:
        ValueError: if somebody has one image only, or there is only one person.
    """
    _, group, counts = identities.unique(return_inverse=True, return_counts=True)
    if len(counts) < 2 or counts.min() < 2:
        single = int((counts == 1).sum())
        raise ValueError(f"{len(counts)} people, {single} of them with one image; leave these out, and keep at least 2")
    order = group.argsort(stable=True)  # people lie in blocks
    unit = F.normalize(embeddings.float())[order]
    size = counts[group[order]]
    first = (counts.cumsum(0) - counts)[group[order]]
    distances = torch.empty(num_rounds, len(unit))
    for start in range(0, len(unit), CHUNK):
        rows = torch.arange(start, min(start + CHUNK, len(unit)))
        similarity = unit[rows] @ unit.T
        for index in range(num_rounds):
            generator = torch.Generator().manual_seed(stable_seed("sdd-fiqa", seed, index, start))
            genuine = _draw_genuine(rows, first[rows], size[rows], num_pairs, generator)
            impostor = _draw_impostor(first[rows], size[rows], len(unit), num_pairs, generator)
            distances[index, order[rows]] = wasserstein(similarity.gather(1, genuine), similarity.gather(1, impostor))
    return distances


def wasserstein_labels(embeddings: Tensor, identities: Tensor, **options) -> Tensor:
    """SDD-FIQA's labels (n,), 0 to 100: every round of `wasserstein_distances` scaled to 0 to 100, then their mean."""
    rounds = wasserstein_distances(embeddings, identities, **options)
    return torch.stack([100 * scale_to_unit(distances) for distances in rounds]).mean(0)


def _draw_genuine(rows: Tensor, first: Tensor, size: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Other images (rows, count) of the same block, which starts at `first` and has `size` images."""
    others = size - 1
    width = max(int(others.max()), count)
    # without replacement: the smallest of random keys; keys of images that do not exist are never among them
    keys = torch.rand(len(rows), width, generator=generator)
    keys = keys.masked_fill(torch.arange(width) >= others[:, None], 2)
    without = keys.topk(count, largest=False).indices
    replaced = (torch.rand(len(rows), count, generator=generator) * others[:, None]).long()
    offset = torch.where((others >= count)[:, None], without, replaced)
    image = first[:, None] + offset
    return image + (image >= rows[:, None])  # passes over the image itself


def _draw_impostor(first: Tensor, size: Tensor, total: int, count: int, generator: torch.Generator) -> Tensor:
    """Images (rows, count) outside the block."""
    image = (torch.rand(len(first), count, generator=generator, dtype=torch.float64) * (total - size)[:, None]).long()
    return image + (image >= first[:, None]) * size[:, None]


def classifiability(embeddings: Tensor, centres: Tensor, classes: Tensor, form: str = "code") -> Tensor:
    """CR-FIQA's target (n,): cosine with the own class centre (CCS) over that with the nearest other one (NNCCS).

    Args:
        embeddings: (n, dim); centres: (num_classes, dim), at least two; classes: (n,) indices of the own centre.
        form: "code", CCS / NNCCS, unbounded where NNCCS is near 0; or "paper", CCS / (NNCCS + 1 + 1e-9). The released
            code masks the own centre by -1e-12, which counts where all others are on the far side; here they count.
    """
    if form not in ("code", "paper"):
        raise ValueError(f"form must be 'code' or 'paper', found {form!r}")
    cosine = F.normalize(embeddings.float()) @ F.normalize(centres.float()).T
    own = classes[:, None]
    ccs = cosine.gather(1, own)[:, 0]
    nnccs = cosine.scatter(1, own, -torch.inf).max(dim=1).values
    return ccs / nnccs if form == "code" else ccs / (nnccs + 1 + 1e-9)


def identification_target(similarity: Tensor, scale: float = 16, threshold: float = 0.4, hard: bool = False) -> Tensor:
    """LightQNet's target of a mated pair: sigmoid(16 (cos - .4)), or cos > .4 where `hard` (the released default)."""
    return (similarity > threshold).float() if hard else torch.sigmoid(scale * (similarity - threshold))
