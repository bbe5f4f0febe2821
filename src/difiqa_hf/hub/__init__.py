"""The Hugging Face Hub: code and cards beside the weights, push, and a way down that trusts nothing.

Of this package these modules import only each other, so that networks and pipeline can use them.
"""

from difiqa_hf.hub.fetch import fetch
from difiqa_hf.hub.push import push_folder, push_to_hub

__all__ = ["fetch", "push_folder", "push_to_hub"]
