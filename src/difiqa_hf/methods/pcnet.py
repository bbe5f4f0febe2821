"""PCNet: a confidence that explains the similarity of mated pairs (Xie, Byrne, Zisserman, BMVC 2020)."""

from difiqa_hf.methods.base import NetworkMethod


class PCNet(NetworkMethod):
    """A network whose lower score of a mated pair predicts their similarity (Xie et al., BMVC 2020).

    Args:
        checkpoint: folder or Hub repository of a network with a quality output (`QualityResNet` has a small one as its
            default), trained by `losses.predictive_confidence_loss`, or the model.
        device: where to run.
        seed, recognizer: accepted because every method takes them; without effect.
    """

    name = "pcnet"
    kind = "regression"
    paper = "Xie, Byrne, Zisserman, PCNet, BMVC 2020"
    code_license = "none released"
    parity = (
        "retrained, no official weights obtainable: neither code nor weights were released; papers that retrained it "
        "disagree"
    )
