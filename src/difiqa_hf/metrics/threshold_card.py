"""A threshold card: score -> percentile on a named reference set -> FNMR if everything below is discarded.

It lies beside a checkpoint as `thresholds.json`. All columns have one entry per point, the points being evenly spaced
quantiles of the reference scores, from 0 to 100 %. What a card says holds for images like the reference images, for its
recognisers, and for scores of its method and revision.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from difiqa_hf.metrics.calibration import Calibration
from difiqa_hf.metrics.comparisons import Comparisons
from difiqa_hf.metrics.edc import curve
from difiqa_hf.metrics.options import checked_options
from difiqa_hf.metrics.resampling import check_resampling, percentiles, resamples
from difiqa_hf.metrics.thresholds import exact

FILE = "thresholds.json"
POINTS = 101
MIN_GENUINE = 100  # the FNMR of fewer comparisons says nothing


@dataclass(frozen=True, eq=False)
class ErrorsAbove:
    """FNMR of the comparisons whose sides both reach a score, at every point of a card.

    Attributes:
        comparisons, recognizer: names; recognizer_revision: of its weights, "" if unknown.
        fmr: target; similarity_threshold: of all impostors, it does not move when images are discarded.
        n_genuine, n_impostor: comparisons before anything is discarded.
        fnmr, low, high: (points,) FNMR and its bootstrap interval; NaN where nothing is left.
        remaining: (points,) genuine comparisons left.
        confidence, resampled, num_resamples: of the interval; resampled is "comparison" or "identity".
    """

    comparisons: str
    recognizer: str
    recognizer_revision: str
    fmr: float
    similarity_threshold: float
    n_genuine: int
    n_impostor: int
    fnmr: np.ndarray
    low: np.ndarray
    high: np.ndarray
    remaining: np.ndarray
    confidence: float
    resampled: str
    num_resamples: int

    @classmethod
    def measure(
        cls,
        similarity: ArrayLike,
        genuine: ArrayLike,
        quality: ArrayLike,
        scores: ArrayLike,
        *,
        comparisons: str,
        recognizer: str,
        recognizer_revision: str = "",
        fmr: float = 1e-3,
        images: ArrayLike | None = None,
        persons: ArrayLike | None = None,
        num_resamples: int = 1000,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> "ErrorsAbove":
        """Measure at `scores` (points,).

        Args:
            similarity, genuine, quality, fmr, images: as in `error_discard`, higher = better.
            persons: (N, 2) names; with them identities are resampled, else comparisons.
        """
        check_resampling(num_resamples, confidence)
        calibration = Calibration.from_comparisons(similarity, genuine, quality, fmr=fmr, images=images)
        scores = np.asarray(scores, dtype=float)
        checked = Comparisons.checked(similarity, genuine, quality, images=images)
        fmr_exact, options = checked_options("edc", fmr, {})
        samples = np.full((num_resamples, len(scores)), np.nan)
        for i, positions in enumerate(resamples(checked.genuine, persons, num_resamples, seed)):
            drawn = checked.take(positions)
            if drawn.genuine.any() and not drawn.genuine.all():
                steps = np.unique(drawn.quality[drawn.genuine])
                fnmr = np.append(curve(drawn, "edc", fmr_exact, options).fnmr, np.nan)
                samples[i] = fnmr[np.searchsorted(steps, scores)]
        left = np.append(calibration.curve.remaining_genuine, 0)[np.searchsorted(calibration.steps, scores)]
        return cls(
            comparisons,
            recognizer,
            recognizer_revision,
            fmr,
            float(calibration.curve.threshold[0]),
            calibration.curve.n_genuine,
            calibration.curve.n_impostor,
            calibration.expected_fnmr(scores),
            *percentiles(samples, confidence),
            left,
            confidence,
            "comparison" if persons is None else "identity",
            num_resamples,
        )

    def percent_at(self, point: int) -> tuple[float, float, float] | None:
        """FNMR at a point and its interval (low, high) in percent; None where nothing is left to measure it on."""
        values = tuple(100 * float(column[point]) for column in (self.fnmr, self.low, self.high))
        return None if np.isnan(values).any() else values


@dataclass(frozen=True, eq=False)
class ThresholdCard:
    """What the scores of a method mean.

    Attributes:
        method, revision: whose scores they are; "" if unknown, then the card is taken for any.
        reference: the reference images, in words.
        scores: (points,) ascending, evenly spaced quantiles of their scores, from 0 to 100 %.
        errors: one entry for every set of comparisons and recogniser.
        parts: of DifFIQA, name of a part of 1 - quality -> (points,) its quantiles on `parts_reference`; explains.
    """

    method: str
    revision: str
    reference: str
    scores: np.ndarray
    errors: tuple[ErrorsAbove, ...] = field(default=())
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)
    parts_reference: str = ""

    @classmethod
    def from_scores(
        cls, quality: ArrayLike, *, reference: str, method: str = "", revision: str = ""
    ) -> "ThresholdCard":
        """The card of reference scores (N,), higher = better.

        Raises:
            ValueError: without scores, or for NaN.
        """
        quality = np.asarray(quality, dtype=float)
        if not quality.size or not np.isfinite(quality).all():
            count, good = quality.size, np.isfinite(quality).sum()
            raise ValueError(f"a reference set needs finite scores, found {count} of which {count - good} are not")
        return cls(method, revision, reference, np.quantile(quality, np.linspace(0, 1, POINTS)))

    @property
    def percents(self) -> np.ndarray:
        """(points,) 0 to 100, the percentile of every score."""
        return np.linspace(0, 100, len(self.scores))

    def percentile(self, score: float) -> float:
        """0 to 100: the share of the reference images with a lower score, linear between the points."""
        return float(np.interp(score, self.scores, self.percents))

    def part_percentile(self, name: str, value: float) -> float | None:
        """0 to 100: the share of the reference images of which this part is smaller; None where it is not known."""
        if name not in self.parts:
            return None
        return float(np.interp(value, self.parts[name], np.linspace(0, 100, len(self.parts[name]))))

    def score_at(self, percent: float) -> float:
        """The score at a percentile, 0 to 100."""
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile lies between 0 and 100, found {percent:g}")
        return float(np.interp(percent, self.percents, self.scores))

    def threshold_for_discard(self, rate: float) -> float:
        """The score below which the fraction `rate` of the reference images lies, in [0, 1)."""
        if not 0 <= rate < 1:
            raise ValueError(f"the discard rate must be in [0, 1), found {rate:g}")
        return self.score_at(float(100 * exact(rate)))

    def threshold_for_fnmr(self, highest: float, errors: ErrorsAbove, min_genuine: int = MIN_GENUINE) -> float:
        """The lowest score of the card at which FNMR is at most `highest`; at higher ones it may be above again.

        Raises:
            ValueError: if none does it with `min_genuine` genuine comparisons left, with the lowest FNMR that one has.
        """
        enough = errors.remaining >= min_genuine
        fits = enough & (errors.fnmr <= highest)
        if fits.any():
            return float(self.scores[fits][0])
        if not enough.any():
            raise ValueError(f"found {errors.n_genuine} genuine comparisons, at least {min_genuine} are needed")
        best = int(np.argmin(np.where(enough, errors.fnmr, np.inf)))
        raise ValueError(
            f"no threshold brings FNMR to {highest:g} on {errors.comparisons} with {errors.recognizer} and "
            f"{min_genuine} genuine comparisons left; the lowest is {errors.fnmr[best]:.3g}, at "
            f"{self.scores[best]:.6g}: improve the recogniser, or allow a higher FNMR"
        )

    def point(self, score: float) -> int:
        """The last point of the card whose score does not exceed `score`; its FNMR is that of discarding no more."""
        return max(0, int(np.searchsorted(self.scores, score, side="right")) - 1)

    def errors_of(self, name: str | None = None) -> ErrorsAbove:
        """The entry whose recogniser or comparisons are called `name`, or the first.

        Raises:
            ValueError: if there is none.
        """
        found = [entry for entry in self.errors if name in (None, entry.recognizer, entry.comparisons)]
        if found:
            return found[0]
        known = ", ".join(f"{entry.recognizer} on {entry.comparisons}" for entry in self.errors)
        raise ValueError(
            f"the card has no comparisons of {name}, only {known}"
            if self.errors
            else "the card has no comparisons, so it knows no FNMR: make one that has by difiqa calibrate"
        )

    def with_errors(self, entry: ErrorsAbove) -> "ThresholdCard":
        """The card with an entry more, or another in its place."""
        key = entry.comparisons, entry.recognizer
        kept = [old for old in self.errors if (old.comparisons, old.recognizer) != key]
        return replace(self, errors=(*kept, entry))

    def checked(self, method: str, revision: str) -> "ThresholdCard":
        """The card itself, if it may be used for scores of this method and revision.

        Raises:
            ValueError: if it is for others.
        """
        for what, own, other in (("method", self.method, method), ("revision", self.revision, revision)):
            if own and own != other:
                raise ValueError(f"the threshold card is for {what} {own}, the scores are of {other or 'none'}")
        return self

    def save(self, path: str | Path) -> None:
        """Write JSON: six significant digits, null for NaN."""
        content = asdict(self) | {"errors": [asdict(entry) for entry in self.errors]}
        text = json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "ThresholdCard":
        """Read what `save` wrote.

        Raises:
            ValueError: for a file that is something else.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            errors = tuple(ErrorsAbove(**_arrays(entry, ("fnmr", "low", "high"))) for entry in content["errors"])
            errors = tuple(replace(entry, remaining=np.array(entry.remaining, dtype=int)) for entry in errors)
            parts = {name: np.array(values, dtype=float) for name, values in content["parts"].items()}
            card = cls(**_arrays(content, ("scores",)) | {"errors": errors, "parts": parts})
            columns = [column for e in errors for column in (e.fnmr, e.low, e.high, e.remaining)]
            if {len(column) for column in columns} - {len(card.scores)} or len(card.scores) < 2:
                raise ValueError("its columns need one length, at least 2")
            if not (np.diff(card.scores) >= 0).all():
                raise ValueError("its scores must ascend")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no threshold card ({type(error).__name__}: {error})") from error
        return card


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(f"{value:.6g}")
    return value


def _arrays(content: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return content | {name: np.array(content[name], dtype=float) for name in names}
