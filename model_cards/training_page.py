"""What training the denoiser buys, what the distillation recipes do, from the files in `results/`; nothing is typed."""

import json

from methods_page import table
from speed_page import degradation_section as speed_of_degradation
from speed_page import read
from tables import RESULTS, label
from variants import evaluated, judges_of, mean_pauc, title, variants

PAGE = """# Training: what it buys

Rendered by `model_cards/render.py` from `results/denoisers`, `results/recipes` and two benchmarks; the commands stand
in [training](../training/README.md).

## The degradation

{degradation}

## The loop

{loop}

## The denoiser

Runs that differ in one thing, {steps:,} steps of {batch} images each, far from the paper's 100,000 of 64: with the
blend of Eq. 6 (T = 100 and 1000) and without it, where the network is a plain DDPM. EMA: the average of the weights,
raw: what it averages. Untrained: the network answers what it was given.

### Loss

The mean over the ten steps before, in units of each timestep's expected error; the log of the denoiser that ships,
which ran 1,500 such steps, was not kept.

{losses}

### Held-out faces

{validation}

`shipped` is the package's denoiser: T = 100, 1,500 steps, every timestep's error in units of its expected size. With
T = 100 the blend keeps more of the identity from t = 50 on, and only after it degraded faces are nearer to the clean
ones than before. At t = 5, where DifFIQA works, all are alike; so are EMA and raw everywhere.

### Errors

DifFIQA with preset `fastest` and {judge} inside, whichever denoiser restores
([the experiment](experiments/denoisers.json)). pAUC(.3), the mean over
{judges} recognisers, and the difference to the untrained network with {judge} comparing [95 % interval].

{errors}

No interval excludes zero: neither training as such nor the blend changes the errors by what these benchmarks can tell.
Where one side is degraded, every trained denoiser is ahead of the untrained one and of the mirror image; whether it saw
the blend makes no difference. With {judge} comparing as well, the blend with T = 100 reaches {aims}.

### Longer

{longer}

## The regressor

pAUC(.3), the mean over the recognisers that compare. First two sets of training people who were left out of these runs
and chose among them, photographs as they are and every second one degraded; then the benchmarks.

### The recipes of the papers

The same labels, with mobilefacenet_webface600k inside DifFIQA, the same backbone, five epochs each (`difiqa-r-mated`,
which shipped before, learnt for eight).

{recipes}

No recipe of the papers is ahead of the others everywhere.

### What a label is

The same backbone, eight epochs each, without {people} other people, of whom {images} images compare
([experiment](experiments/labels.json)). The released recipe (`difiqa-r-small`) learns where a score of DifFIQA, here
with edgeface_xs inside, lies between the lowest and the highest; where one view of every photograph is degraded, the
photographs share a few hundredths of that range. `difiqa-r-ranks` learns its place among all instead, and
`difiqa-r-consensus` too, a fifth of it DifFIQA's, two fifths each the scores of PCNet and SDD-FIQA, which saw the
people who are left out. These three learnt from 7,001 photographs and a varied version of each; half of them show
people who also stand in LFW or CFP, on other photographs. Without those people 3,397 are left, and little changes.
What ships saw none of them either: it learnt from 8,762 of the 12,153 photographs that the other methods saw.

{labels}
"""
LONG = """The run blend-100 with {steps:,} steps instead of 1,000: an hour and three quarters on one core, beside other
work. The loss, the mean over the 500 steps before:

{losses}

{validation}

More steps take more of the noise from clean faces, at t = 5 too, and give back less of what degradation took. The
errors, as above, beside the denoiser that ships ([the experiment](experiments/longer.json)), and the difference to it
with {judge} comparing:

{errors}

The loss still falls, by a hundredth in 500 steps; the errors do not: four times the steps of what ships change nothing
that can be told, so what ships stays.
"""
RUNS = ("untrained-unet", "blend-100-unet", "blend-100-unet_raw", "blend-1000-unet", "blend-1000-unet_raw",
        "no-blend-unet", "no-blend-unet_raw")  # fmt: skip
SHIPPED = "shipped"  # the checkpoint of the package, of another run
AIMS = {"cfp-fp": 0.74, "lfw-xq-synthetic": 0.65}  # pAUC(.3), at most
TRAINED = ("blend-100", "blend-1000", "no-blend")
STEPS = (0, 4, 9, 19, 49, 99)  # those that `validate_ddpm.py` measures, counted from 0; DifFIQA works at 4
DENOISERS, LONGER, RECIPES, LABELS = (RESULTS / name for name in ("denoisers", "longer", "recipes", "labels"))
LONG_RUNS = ("untrained-unet", "blend-100-unet", "shipped", "long-unet", "long-unet_raw")


def training_page() -> str:
    """The whole page."""
    settings = json.loads((DENOISERS / "blend-100-training.json").read_text())["settings"]
    results = evaluated(DENOISERS)
    judges = judges_of(results)
    held_out = [result for kind in ("clean", "mixed") for result in evaluated(LABELS / f"held-out-{kind}")]
    return PAGE.format(
        degradation=degradation_section(read("bench-degradation")),
        loop=loop_section(read("bench-training")),
        judges=len(judges),
        judge=judges[0],
        errors=variants("denoiser", results, judges[0]),
        aims=aims(results, judges[0]),
        steps=settings["max_train_steps"],
        batch=settings["images_per_step"],
        losses=losses_section(),
        validation=validation_section((*RUNS, SHIPPED)),
        longer=longer_section(),
        recipes=recipes_section(evaluated(RECIPES / "validation"), evaluated(RECIPES)),
        people=held_out[0]["benchmark"]["n_persons"],
        images=held_out[0]["benchmark"]["n_images"],
        labels=recipes_section(held_out, evaluated(LABELS)),
    )


def degradation_section(bench: dict) -> str:
    """Its speed, and its distribution beside the released code's."""
    found = bench["distribution"]
    rows = []
    for name, own in found["statistics"].items():
        quantiles = (f"{a:.4g} / {b:.4g}" for a, b in zip(own["released"], own["ours"], strict=True))
        rows.append((name.replace("_", " "), *quantiles, f"{own['apart']:.3f}"))
    head = ("released / ours", *(f"{quantile} %" for quantile in found["quantiles"]), "apart")
    return (
        f"{speed_of_degradation(bench)}\n\nQuantiles over {found['images']} LFW faces, ours in {found['draws']} draws; "
        f"apart: the largest difference, as a share of the released code's 5-to-95 range.\n\n{table(head, rows)}"
    )


def loop_section(bench: dict) -> str:
    """The real loop against bare steps."""
    (wall, _), (bare, _), (loop, _) = (
        bench[key] for key in ("loop_speed_percent_of_bare", "bare_seconds_a_step", "loop_seconds_a_step")
    )
    speed = f"{bench['loop_images_a_second']:g} images a second on {bench['device']}"
    return (
        f"`train_difiqa_ddpm.py` with `{bench['model']}`, {bench['batch']} images a step, {bench['mixed_precision']}: "
        f"{speed}, {wall:g} % of what forward, backward and step alone do on random tensors ({loop:g} and {bare:g} s "
        f"a step; median of 30 steps, the better of two turns; {bench['threads']} thread, {bench['loader_workers']} "
        "loading process)."
    )


def losses_section() -> str:
    """The loss of each run, every hundred steps."""
    logs = {
        name: {row["step"]: row["loss"] for row in json.loads((DENOISERS / f"{name}-training.json").read_text())["log"]}
        for name in TRAINED
    }
    steps = [step for step in logs[TRAINED[0]] if step % 100 == 0]
    return table(
        ("step", *map(str, steps)), ((name, *(f"{log[step]:.3f}" for step in steps)) for name, log in logs.items())
    )


def validation_section(names: tuple[str, ...]) -> str:
    """PSNR and identity by timestep, and what DifFIQA's own restoration keeps."""
    runs = {name: json.loads((DENOISERS / "validation" / f"{name}.json").read_text()) for name in names}
    first = runs[names[0]]
    head, parts = ("weights", *(f"t = {t + 1}" for t in STEPS)), []
    for key, digits, measured in (("psnr", 1, "PSNR to the clean face, dB"), ("cosine", 3, "Cosine to the clean face")):
        lines = [("the input itself", *(f"{first[f'{key}_input/{t}']:.{digits}f}" for t in STEPS))]
        lines += [(name, *(f"{run[f'{key}_restored/{t}']:.{digits}f}" for t in STEPS)) for name, run in runs.items()]
        parts.append(f"{measured}, after one call of the network:\n\n{table(head, lines)}")
    keys = ("cosine_restored_clean", "cosine_restored_degraded")
    lines = [(name, *(f"{run[key]:.4f}" for key in keys)) for name, run in runs.items()]
    parts.append(
        f"Cosine to the clean face after five steps of noise and five of restoration (degraded faces as they are: "
        f"{first['cosine_degraded']:.4f}; {first['images']} LFW images):\n\n"
        f"{table(('weights', 'clean faces', 'degraded faces'), lines)}"
    )
    return "\n\n".join(parts)


def aims(results: list[dict], judge: str) -> str:
    """What was to be reached, and what was."""
    parts = []
    for name, aim in AIMS.items():
        result = next(result for result in results if result["benchmark"]["name"] == name)
        found = {row["label"]: row["pauc"]["0.3"] for row in result["results"] if row["recognizer"] == judge}
        parts.append(
            f"{found['blend, T = 100, EMA']:.3f} on {title(result)} (the aim was {aim:g}; the mirror image alone: "
            f"{found['mirror']:.3f})"
        )
    return " and ".join(parts)


def longer_section() -> str:
    """What more steps buy: loss, restored faces, errors."""
    run = json.loads((LONGER / "training.json").read_text())
    results, settings = evaluated(LONGER), run["settings"]
    judge = judges_of(results)[0]
    log = {row["step"]: row["loss"] for row in run["log"]}
    return LONG.format(
        steps=settings["max_train_steps"],
        losses=table(("step", *map(str, log)), [("loss", *(f"{loss:.3f}" for loss in log.values()))]),
        validation=validation_section(LONG_RUNS),
        judge=judge,
        errors=variants("denoiser", results, judge),
    )


def recipes_section(chosen: list[dict], final: list[dict]) -> str:
    """pAUC(.3) by set, a line a recipe: two sets of people that chose among recipes, then the benchmarks."""
    names = dict.fromkeys(label(row) for result in final for row in result["results"])
    rows = []
    for name in names:
        sets = [[row for row in result["results"] if label(row) == name] for result in (*chosen, *final)]
        rows.append((name, *(mean_pauc(own) if own else "-" for own in sets)))
    return table(("recipe", "left out, as they are", "left out, half degraded", *map(title, final)), rows)
