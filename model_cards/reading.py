"""What holds of the paper's claims here, in ten sentences; figures come from `results/`, most verdicts are checked."""

from collections import Counter
from statistics import mean

from against import overall, verdicts
from inside import SHIPPED, asked_inside, spread
from speed_page import read
from tables import BASELINE, REAL, costs, label, mark, means

READING = """## In ten sentences

1. **{first}**: the paper's DifFIQA(R) has the lowest or second lowest mean error, ours is number {place} of {count}
   ({own:.3f}), {behind}; four fifths of its labels are scores of pcnet and sdd-fiqa, taken because these two had been
   the best of our own on these very sets.
2. **It is better than most beyond doubt, and none is better than it beyond doubt**: on the mean of the three
   benchmarks, of the {others} other methods {overall_worse} are worse at the 5 % level for all together and
   {overall_silent} cannot be told from it ({silent_ones}); of {cells} comparisons by benchmark and recogniser, of
   which one in twenty is called something by chance, {worse} call the other one worse, {better} better, and {silent}
   cannot tell.
3. **That distillation beats the procedure it distils cannot be shown**: from DifFIQA's labels alone, with edgeface_xs
   inside, the regressor reaches {alone:.3f}, that procedure itself {procedure:.3f} ({difiqa:.3f} with what ships
   inside). The regressor that ships owes its place to the four fifths of its labels that are other methods'.
4. **DifFIQA as it ships hardly differs from the cosine of an image and its mirror image**: {difiqa:.3f} and
   {mirror:.3f}; on LFW with {four} inside {difiqa_inside} and {mirror_inside}, where edgeface_xs makes the largest
   difference.
5. **Neither the blend of Eq. 6 nor training the denoiser lowers the errors beyond doubt**: untrained / trained with
   the blend / without it {on_cfp} on CFP-FP and {on_xq} with one side degraded (1,000 steps, a small network).
6. **That DifFIQA is ahead of FaceQAN and SER-FIQ cannot be shown**: LFW {lfw}, CFP-FP {cfp}, CFP-FF {on_cfp_ff};
   their intervals overlap everywhere, a paired test of the three there is not.
7. **That distillation saves three orders of magnitude holds nearly**: {paper_ms:,.0f} ms an image by the procedure as
   in the paper and {regressor_ms:.1f} by the regressor, {factor:,.0f} times, with a small denoiser; on an H200
   {gpu_ms:.1f} and {gpu_regressor_ms:.3f} ms, {gpu_factor:,.0f} times; the paper has 867.
8. **Most of the procedure's calls buy nothing**: {fast_calls:g} calls of the denoiser rank like the mean of a hundred
   repeats, Spearman {fast_rank:.3f}, where the paper's ten repeats take {paper_calls:g} and reach {paper_rank:.3f}.
9. **The plain length of the embedding ({norm:.3f}) has a lower mean than {beaten} of the {count} methods**, costs
   nothing and is in no table of the paper.
10. **The recogniser inside decides as much as the method**: between the four that were tried in it, the errors of a
    method that asks one lie {lfw_inside:.3f} apart on LFW and {cfp_inside:.3f} on CFP-FP, those of the methods with
    the same one inside {lfw_methods:.3f} and {cfp_methods:.3f} (another recogniser compares); which one is best
    differs from method to method, and with mobilefacenet_webface600k inside FROQ goes from {weak} to {strong},
    DifFIQA from {weak_difiqa} to {strong_difiqa}.
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
    neighbours = ranked[:place] or ranked[1:2]
    beside_it = [f"{name} ({found[name]['overall']:.3f})" for name in neighbours]
    sure = verdicts(overall())
    sure_of = Counter(sure.values())
    (lfw_inside, lfw_methods), (cfp_inside, cfp_methods) = (spread(rows, name) for name in ("lfw", "cfp-fp"))
    alone = mean(pauc("labels", name, "difiqa-r-ranks") for name in REAL)
    procedure = mean(pauc("inside-difiqa", name, "difiqa, edgeface_xs inside") for name in REAL)
    beaten = sum(found[name]["overall"] > found["norm"]["overall"] for name in ranked)
    difiqa = read("bench-difiqa")["cases"]
    regressor, gpu = costs()[BASELINE], read("bench-difiqa-gpu")["cases"]
    gpu_regressor = next(r["ms"] for r in read("bench-methods-gpu")["results"] if r["method"] == BASELINE)
    trained = {
        name: " / ".join(f"{pauc('denoisers', name, label):.3f}" for label in TRAINED)
        for name in ("cfp-fp", "lfw-xq-synthetic")
    }
    beside = {name: " / ".join(f"{found[m][name]:.3f}" for m in ("difiqa", "faceqan", "ser-fiq")) for name in REAL}
    check(
        {
            2: not sure_of["better"] and sure_of["worse"] > sure_of["cannot tell"],
            3: alone > procedure,
            4: abs(found["difiqa"]["overall"] - found["mirror"]["overall"]) < 0.02,
            6: all(overlap(rows, "difiqa", other) for other in ("faceqan", "ser-fiq")),
            8: fast["spearman"] >= paper["spearman"],
            9: 2 * beaten > len(ranked),
            10: 0.7 < lfw_inside / lfw_methods < 1.4 and 0.7 < cfp_inside / cfp_methods < 1.4,
        }
    )
    return READING.format(
        first=f"The distilled regressor is {'the' if place == 0 else 'not the'} best method here",
        place=place + 1,
        count=len(ranked),
        own=own,
        behind=f"{'before' if place == 0 else 'behind'} {', '.join(beside_it)}",
        others=len(sure),
        overall_worse=sure_of["worse"],
        overall_silent=sure_of["cannot tell"],
        silent_ones=", ".join(name for name, verdict in sure.items() if verdict == "cannot tell"),
        cells=marks["▲"] + marks["▼"] + marks[""],
        better=marks["▲"],
        worse=marks["▼"],
        silent=marks[""],
        difiqa=found["difiqa"]["overall"],
        mirror=found["mirror"]["overall"],
        norm=found["norm"]["overall"],
        beaten=beaten,
        alone=alone,
        procedure=procedure,
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
        lfw_inside=lfw_inside,
        lfw_methods=lfw_methods,
        cfp_inside=cfp_inside,
        cfp_methods=cfp_methods,
    )


def check(holds: dict[int, bool]) -> None:
    """Raise ValueError for sentences whose verdict does not follow from the figures any more."""
    if wrong := [str(number) for number, held in holds.items() if not held]:
        raise ValueError(f"the verdicts of sentences {', '.join(wrong)} of the ten no longer hold: write them anew")


def overlap(rows: list[dict], method: str, other: str) -> bool:
    """Whether the intervals of two methods have something in common on every benchmark, whoever compares."""
    ends: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        if label(row) in (method, other):
            interval = row["interval_by_identity"]
            ends.setdefault((row["benchmark"], row["recognizer"]), []).append((interval["low"], interval["high"]))
    return all(max(low for low, _ in pair) <= min(high for _, high in pair) for pair in ends.values())


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
