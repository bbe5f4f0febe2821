"""Why a face scores as it does: the terms of Eq. 7, maps of restoration and occlusion, plain measurements."""

from difiqa_hf.explanation.explain import Explanation, explain
from difiqa_hf.explanation.maps import Shortfall, occlusion_map, reference_parts, restoration
from difiqa_hf.explanation.measurements import Measurement, measure
from difiqa_hf.explanation.pose import head_pose

__all__ = [
    "Explanation",
    "Measurement",
    "Shortfall",
    "explain",
    "head_pose",
    "measure",
    "occlusion_map",
    "reference_parts",
    "restoration",
]
