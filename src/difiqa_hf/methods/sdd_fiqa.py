"""SDD-FIQA: a regressor of the distance between genuine and impostor similarities (Ou et al., CVPR 2021)."""

from difiqa_hf.methods.base import NetworkMethod


class SDDFIQA(NetworkMethod):
    """A network trained on the Wasserstein distance of an image's similarity distributions (Ou et al., CVPR 2021).

    Args:
        checkpoint: folder or Hub repository of a network with a quality output, trained on `labels.wasserstein_labels`,
            or the model.
        device: where to run.
        seed, recognizer: accepted because every method takes them; without effect.
    """

    name = "sdd-fiqa"
    kind = "regression"
    input_contract = "RGB, (x / 255 - .5) / .5; official scores run from 0 to 100"
    paper = "Ou et al., SDD-FIQA, CVPR 2021"
    code_license = "Apache-2.0 (TFace)"
    weights_license = "official: the repository's, Apache-2.0"
    parity = (
        "retrained, no official weights obtainable: labels equal scipy's distances; their converter was checked on "
        "rule-made weights"
    )
