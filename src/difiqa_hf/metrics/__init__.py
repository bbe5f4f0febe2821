"""Error-versus-discard figures and what a score means; numpy only."""

from difiqa_hf.metrics.bands import Band, bootstrap_band
from difiqa_hf.metrics.bootstrap import BootstrapInterval, PairedInterval, bootstrap_pauc, compare_pauc
from difiqa_hf.metrics.calibration import Calibration
from difiqa_hf.metrics.edc import error_discard
from difiqa_hf.metrics.result import ErrorDiscardResult, UndefinedAreaError
from difiqa_hf.metrics.threshold_card import ErrorsAbove, ThresholdCard

__all__ = [
    "Band",
    "BootstrapInterval",
    "Calibration",
    "ErrorDiscardResult",
    "ErrorsAbove",
    "PairedInterval",
    "ThresholdCard",
    "UndefinedAreaError",
    "bootstrap_band",
    "bootstrap_pauc",
    "compare_pauc",
    "error_discard",
]
