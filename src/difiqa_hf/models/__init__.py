"""Networks: one per file, configuration and model together, self-contained (the Hub copies single files).

Importing any of them registers all with transformers' Auto classes: a regressor must find its backbone.
"""

from difiqa_hf.models import auto

auto.register()
