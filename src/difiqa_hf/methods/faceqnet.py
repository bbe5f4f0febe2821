"""FaceQnet: a regressor of the similarity to the best image of the same person (Hernandez-Ortega et al., ICB 2019)."""

from difiqa_hf.methods.base import NetworkMethod


class FaceQnet(NetworkMethod):
    """A network trained on the similarity to a person's best image (Hernandez-Ortega et al., ICB 2019).

    Args:
        checkpoint: folder or Hub repository of a network with a quality output (`QualityResNet` with preset "faceqnet"
            is the published shape), trained on `labels.reference_similarity`, or the model.
        device: where to run.
        seed, recognizer: accepted because every method takes them; without effect.

    As in the released script the prediction is clipped to [0, 1].
    """

    name = "faceqnet"
    kind = "regression"
    score_range = (0.0, 1.0)
    input_contract = "official: 224 x 224, unaligned crops, BGR, 0 to 255; here the checkpoint's own"
    paper = "Hernandez-Ortega et al., FaceQnet, ICB 2019"
    code_license = "none stated"
    weights_license = "official: none stated"
    parity = (
        "retrained, no official weights obtainable; their converter was checked on rule-made files in the layout of "
        "keras-vggface"
    )

    def score(self, pixel_values):
        return super().score(pixel_values).clamp(0, 1)
