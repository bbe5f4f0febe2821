"""CR-FIQA: how classifiable a face is, learned with the recogniser (Boutros et al., CVPR 2023)."""

from difiqa_hf.methods.base import NetworkMethod


class CRFIQA(NetworkMethod):
    """A recogniser with a linear head for the relative classifiability of a face (Boutros et al., CVPR 2023).

    Args:
        checkpoint: folder or Hub repository of a `DifFIQARegressor` (an iResNet with one linear layer on its embedding
            is the official network), trained on `labels.classifiability` targets, or the model.
        device: where to run.
        seed, recognizer: accepted because every method takes them; without effect.
    """

    name = "cr-fiqa"
    kind = "model"
    input_contract = "RGB, (x / 255 - .5) / .5; the official flag that says BGR reads files with swapped channels"
    paper = "Boutros et al., CR-FIQA, CVPR 2023"
    code_license = "CC BY-NC 4.0"
    weights_license = "official: the repository's, CC BY-NC 4.0"
    parity = (
        "retrained, no official weights obtainable; their converter was checked on rule-made weights, target and loss "
        "against closed forms"
    )
