"""What every network of ours needs besides its file: the Auto classes, code and card for the Hub."""

import importlib
import inspect

from transformers import PreTrainedModel

from difiqa_hf.hub.code import add_code
from difiqa_hf.hub.push import push_to_hub

# Each registers its own classes in its last lines, guarded so that a copy of the file that came from the Hub does not.
MODULES = (
    "modeling_difiqa_regressor",
    "modeling_edgenext",
    "modeling_faceqgen",
    "modeling_ir",
    "modeling_iresnet",
    "modeling_lightqnet",
    "modeling_mobilefacenet",
    "modeling_pfe",
    "modeling_quality_resnet",
)


def register() -> None:
    """Make the Auto classes know every network of the package, and the networks the Hub; further calls cost nothing."""
    for name in MODULES:
        module = importlib.import_module(f"difiqa_hf.models.{name}")
        for _, network in inspect.getmembers(module, inspect.isclass):
            if issubclass(network, PreTrainedModel) and network.__module__ == module.__name__:
                _know_the_hub(network)


def _know_the_hub(network: type[PreTrainedModel]) -> None:
    """Attach what the files of the networks cannot contain, because a copy on the Hub may not name this package."""
    if "push_to_hub" in vars(network):
        return

    def save_pretrained(self, save_directory, push_to_hub: bool = False, **kwargs) -> None:
        """As in transformers; with the code that those need who load the folder without this package."""
        super(network, self).save_pretrained(save_directory, **kwargs)
        add_code(save_directory)
        if push_to_hub:
            self.push_to_hub(kwargs["repo_id"])

    network.save_pretrained, network.push_to_hub = save_pretrained, push_to_hub
