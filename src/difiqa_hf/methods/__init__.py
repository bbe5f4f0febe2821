"""Quality methods behind one interface: `create_method(name)(pixel_values) -> qualities`, higher is better, always."""

from difiqa_hf.methods.base import QualityMethod
from difiqa_hf.methods.registry import create_method, list_methods

__all__ = ["QualityMethod", "create_method", "list_methods"]
