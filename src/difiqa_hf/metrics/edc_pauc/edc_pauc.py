"""`evaluate` module: pAUC of the error-versus-discard curve of a quality measure, computed by difiqa_hf.metrics."""

import warnings

import datasets
import evaluate

from difiqa_hf.metrics import UndefinedAreaError, error_discard

_DESCRIPTION = """\
Partial area under the error-versus-discard curve: how fast do the false non-matches of a face recogniser (or another
biometric system) disappear when the comparisons of lowest quality are discarded? Lower is better; about 1 is useless.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: similarity of every comparison, higher = more alike.
    references: 1 where both sides show the same person, else 0.
    quality: of every comparison one number, or the two qualities of its sides, of which the lower counts.
    fmr: target false match rate, default 0.001.
    protocol: "paper" (DifFIQA's tables) or "edc" (ISO/IEC 29794-1); figures of the two must not be compared.
    limits: largest discard fractions, default (0.2, 0.3).
    Others: the options of `difiqa_hf.metrics.error_discard`, such as fmr_rule, threshold_update, higher_is_better.
Returns:
    pauc_<limit> for every limit (None where it is undefined, with `undefined` saying why), fnmr_0, threshold, k,
    n_genuine, n_impostor, fmr, protocol and options.
Examples:
    >>> metric = evaluate.load("edc_pauc")
    >>> result = metric.compute(predictions=[.1, .8, .7, .2, .1, .3], references=[1, 1, 1, 0, 0, 0],
    ...                         quality=[.1, .8, .9, .5, .6, .7], fmr=0.5, limits=[0.3])
    >>> round(result["pauc_0.3"], 3)
    0.667
"""

_CITATION = """\
@inproceedings{babnik2023difiqa,
  title = {{DifFIQA}: Face Image Quality Assessment Using Denoising Diffusion Probabilistic Models},
  author = {Babnik, {\\v{Z}}iga and Peer, Peter and {\\v{S}}truc, Vitomir},
  booktitle = {IEEE International Joint Conference on Biometrics},
  year = {2023}
}
@article{schlett2023considerations,
  title = {Considerations on the Evaluation of Biometric Quality Assessment Algorithms},
  author = {Schlett, Torsten and Rathgeb, Christian and Tapia, Juan and Busch, Christoph},
  journal = {arXiv:2303.13294},
  year = {2023}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class EDCpAUC(evaluate.Metric):
    """Thin: examples in, figures out."""

    def _info(self):
        common = {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}
        per_side = datasets.Sequence(datasets.Value("float64"), length=2)
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=[
                datasets.Features(common | {"quality": datasets.Value("float64")}),
                datasets.Features(common | {"quality": per_side}),
            ],
            reference_urls=["https://arxiv.org/abs/2303.13294"],
        )

    def _compute(self, predictions, references, quality, fmr=1e-3, protocol="paper", limits=(0.2, 0.3), **options):
        result = error_discard(predictions, references, quality, fmr=fmr, protocol=protocol, **options)
        figures = {}
        for limit in limits:
            try:
                figures[f"pauc_{limit:g}"] = result.pauc(limit)
            except UndefinedAreaError as error:
                warnings.warn(str(error), stacklevel=2)
                figures |= {f"pauc_{limit:g}": None, "undefined": str(error)}
        return figures | {
            "fnmr_0": result.fnmr0,
            "threshold": float(result.threshold[0]),
            "k": int(result.k[0]),
            "n_genuine": result.n_genuine,
            "n_impostor": result.n_impostor,
            "fmr": result.fmr,
            "protocol": result.protocol,
            "options": result.options,
        }
