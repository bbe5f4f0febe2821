"""Error-versus-discard figures; numpy only."""

from difiqa_hf.metrics.bootstrap import BootstrapInterval, bootstrap_pauc
from difiqa_hf.metrics.edc import error_discard
from difiqa_hf.metrics.result import ErrorDiscardResult, UndefinedAreaError

__all__ = ["BootstrapInterval", "ErrorDiscardResult", "UndefinedAreaError", "bootstrap_pauc", "error_discard"]
