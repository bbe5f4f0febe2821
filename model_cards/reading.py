"""What holds of the paper's claims here, in ten sentences; every figure in them is read from `results/`."""

from collections import Counter
from statistics import mean

from inside import SHIPPED, asked_inside
from speed_page import read
from tables import BASELINE, REAL, costs, label, mark, means

READING = """## In ten sentences

1. **The distilled regressor is not the best method here**: the paper's DifFIQA(R) has the lowest or second lowest mean
   error, ours is number {place} of {count} ({own:.3f}), behind {ahead}.
2. **Much of that order is noise**: of {cells} paired comparisons of another method with it, one recogniser and one
   benchmark at a time, {better} call the other one better, {worse} worse, and {silent} cannot tell.
3. **That distillation beats the procedure it distils cannot be shown**: from DifFIQA's labels alone, with edgeface_xs
   inside, the regressor reaches {alone:.3f}, that procedure itself {procedure:.3f} ({difiqa:.3f} with what ships
   inside). The regressor that ships owes its place to the four fifths of its labels that are other methods'.
4. **DifFIQA itself hardly differs from the cosine of an image and its mirror image**: {difiqa:.3f} and {mirror:.3f};
   on LFW with {four} inside {difiqa_inside} and {mirror_inside}.
5. **Neither the blend of Eq. 6 nor training the denoiser lowers the errors beyond doubt**: untrained / trained with the
   blend / without it {on_cfp} on CFP-FP and {on_xq} with one side degraded (1,000 steps, a small network).
6. **That DifFIQA is ahead of FaceQAN and SER-FIQ cannot be shown**: LFW {lfw}, CFP-FP {cfp},
   CFP-FF {on_cfp_ff}; their intervals overlap everywhere.
7. **That distillation saves three orders of magnitude holds nearly**: {paper_ms:,.0f} ms an image by the procedure as
   in the paper and {regressor_ms:.1f} by the regressor, {factor:,.0f} times, with a small denoiser; on an H200
   {gpu_ms:.1f} and {gpu_regressor_ms:.3f} ms, {gpu_factor:,.0f} times; the paper has 867.
8. **Most of the procedure's calls buy nothing**: {fast_calls:g} calls of the denoiser rank like the mean of a hundred
   repeats, Spearman {fast_rank:.3f}, where the paper's ten repeats take {paper_calls:g} and reach {paper_rank:.3f}.
9. **The plain length of the embedding ({norm:.3f}) is better than {beaten} of the {count} methods**, costs nothing and
   is in no table of the paper.
10. **The recogniser inside decides more than the method**: with mobilefacenet_webface600k inside instead of the small
    one that ships, FROQ goes from {weak} to {strong} on LFW and CFP-FP, PreFIQs from {weak_prefiqs} to
    {strong_prefiqs} and DifFIQA from {weak_difiqa} to {strong_difiqa}; the best of all methods that ask the shipped
    one or none has {best_lfw:.3f} and {best_cfp:.3f}.
"""
INSIDE = ("mobilefacenet_webface600k", "edgeface_xs", "mobilefacenet_relu6_ms1m", "mobilefacenet_casia_112x96")
TRAINED = ("untrained", "blend, T = 100, EMA", "no blend, EMA")


def reading(rows: list[dict]) -> str:
    """The ten sentences."""
    found = means(rows)
    ranked = sorted((name for name in found if "overall" in found[name]), key=lambda name: found[name]["overall"])
    place, own = ranked.index(BASELINE), found[BASELINE]["overall"]
    compared = [row for row in rows if row["benchmark"] in REAL and label(row) != BASELINE]
    marks = Counter(mark(row).strip() for row in compared if asked_inside(row) == SHIPPED)
    presets = {(r["approximation"], r["faces"]): r for r in read("presets")["results"]}
    fast, paper = (presets[name, "lfw"] for name in ("2 antithetic, one step (fast)", "10 repeats (paper)"))
    difiqa = read("bench-difiqa")["cases"]
    regressor, gpu = costs()[BASELINE], read("bench-difiqa-gpu")["cases"]
    gpu_regressor = next(r["ms"] for r in read("bench-methods-gpu")["results"] if r["method"] == BASELINE)
    trained = {
        name: " / ".join(f"{pauc('denoisers', name, label):.3f}" for label in TRAINED)
        for name in ("cfp-fp", "lfw-xq-synthetic")
    }
    beside = {name: " / ".join(f"{found[m][name]:.3f}" for m in ("difiqa", "faceqan", "ser-fiq")) for name in REAL}
    return READING.format(
        place=place + 1,
        count=len(ranked),
        own=own,
        ahead=", ".join(f"{name} ({found[name]['overall']:.3f})" for name in ranked[:place]),
        cells=marks["▲"] + marks["▼"] + marks[""],
        better=marks["▲"],
        worse=marks["▼"],
        silent=marks[""],
        difiqa=found["difiqa"]["overall"],
        mirror=found["mirror"]["overall"],
        norm=found["norm"]["overall"],
        beaten=sum(found[name]["overall"] > found["norm"]["overall"] for name in ranked),
        alone=mean(pauc("labels", name, "difiqa-r-ranks") for name in REAL),
        procedure=mean(pauc("inside-difiqa", name, "difiqa, edgeface_xs inside") for name in REAL),
        on_cfp=trained["cfp-fp"],
        on_xq=trained["lfw-xq-synthetic"],
        lfw=beside["lfw"],
        on_cfp_ff=beside["cfp-ff"],
        cfp=beside["cfp-fp"],
        paper_ms=difiqa["paper"]["ms"],
        regressor_ms=regressor,
        factor=difiqa["paper"]["ms"] / regressor,
        gpu_ms=gpu["paper"]["ms"],
        gpu_regressor_ms=gpu_regressor,
        gpu_factor=gpu["paper"]["ms"] / gpu_regressor,
        four=", ".join(INSIDE),
        difiqa_inside=on_lfw(rows, "difiqa"),
        mirror_inside=on_lfw(rows, "mirror"),
        weak_difiqa=pair(rows, "difiqa"),
        strong_difiqa=pair(rows, f"difiqa, {INSIDE[0]} inside"),
        fast_calls=fast["denoiser_calls"],
        fast_rank=fast["spearman"],
        paper_calls=paper["denoiser_calls"],
        paper_rank=paper["spearman"],
        weak=pair(rows, "froq"),
        strong=pair(rows, "froq, mobilefacenet_webface600k inside"),
        weak_prefiqs=pair(rows, "prefiqs"),
        strong_prefiqs=pair(rows, "prefiqs, mobilefacenet_webface600k inside"),
        best_lfw=min(own["lfw"] for own in found.values()),
        best_cfp=min(own["cfp-fp"] for own in found.values()),
    )


def pair(rows: list[dict], name: str) -> str:
    """Mean pAUC(.3) over the recognisers, on LFW and on CFP-FP."""
    own = [[r["pauc"]["0.3"] for r in rows if (label(r), r["benchmark"]) == (name, b)] for b in ("lfw", "cfp-fp")]
    return " and ".join(f"{mean(values):.3f}" for values in own)


def on_lfw(rows: list[dict], method: str) -> str:
    """Mean pAUC(.3) over the recognisers that compare on LFW, by the recogniser inside."""
    return " / ".join(pair(rows, f"{method}, {name} inside").partition(" ")[0] for name in INSIDE)


def pauc(folder: str, benchmark: str, name: str) -> float:
    """Mean pAUC(.3) over the recognisers."""
    rows = read(f"{folder}/{benchmark}")["results"]
    return mean(row["pauc"]["0.3"] for row in rows if label(row) == name)
