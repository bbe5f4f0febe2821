"""`difiqa calibrate`, `difiqa threshold` and what they change in `difiqa score`."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from difiqa_hf.cli import main
from difiqa_hf.metrics import ThresholdCard
from made_up_benchmarks import lfw_files, write
from toys import Brightness, toy_recognizer

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for FMR:UserWarning")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("difiqa_hf.methods.create_method", lambda name, **options: Brightness())


@pytest.fixture
def greys():
    """101 images, qualities from -1 to 1."""
    Path("greys").mkdir()
    for level in range(0, 256, 5):
        Image.new("RGB", (112, 112), (level,) * 3).save(f"greys/{level:03d}.png")


def rows(path: str) -> list[dict]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_comparisons(path: str) -> None:
    rng = np.random.default_rng(0)
    genuine, quality = np.arange(2000) % 2, rng.normal(size=(2000, 2))
    similarity = 0.1 * rng.normal(size=2000) + genuine * (0.4 + 0.1 * quality.min(1))
    table = np.column_stack([similarity, genuine, quality])
    np.savetxt(path, table, "%.6f", ",", header="similarity,genuine,quality_1,quality_2", comments="")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_percentiles_among_ones_own_images(greys, kind, capsys):
    assert main(["score", "greys", "-o", f"scores.{kind}"]) == 0
    assert main(["calibrate", f"scores.{kind}", "-o", "mine.json"]) == 0
    assert "note: 52 faces: a percentile is known to about 2; take some hundreds" in capsys.readouterr().err
    card = ThresholdCard.load("mine.json")
    assert (card.method, card.revision) == ("brightness", "0123456789ab")
    assert card.reference == f"52 faces of scores.{kind}"
    assert main(["score", "greys/050.png", "--calibration", "mine.json", "-o", "one.csv"]) == 0
    assert float(rows("one.csv")[0]["percentile"]) == pytest.approx(100 * 10 / 51, abs=0.1)
    capsys.readouterr()
    assert main(["threshold", "--calibration", "mine.json", "--discard", "0.25"]) == 0
    printed = capsys.readouterr()
    assert float(printed.out) == pytest.approx(-0.5, abs=0.01)
    assert "25.0 % of the reference lie below" in printed.err and "the card has no comparisons" in printed.err
    assert main(["threshold", "--calibration", "mine.json", "--max-fnmr", "0.01"]) == 1
    assert "it knows no FNMR" in capsys.readouterr().err


def test_a_card_of_other_scores_is_refused(greys, capsys):
    ThresholdCard.from_scores([1, 2], reference="x", method="brightness", revision="old").save("old.json")
    assert main(["score", "greys", "--calibration", "old.json"]) == 1
    assert "the threshold card is for revision old, the scores are of 0123456789ab" in capsys.readouterr().err


def test_errors_of_ones_own_comparisons(capsys):
    write_comparisons("pairs.csv")
    assert (
        main(["calibrate", "pairs.csv", "-o", "c.json", "--recognizer", "mine", "--fmr", "0.01", "--resamples", "50"])
        == 0
    )
    (errors,) = ThresholdCard.load("c.json").errors
    assert (errors.recognizer, errors.comparisons, errors.n_genuine) == ("mine", "pairs.csv", 1000)
    capsys.readouterr()
    highest = 0.5 * errors.fnmr[0]
    assert main(["threshold", "--calibration", "c.json", "--max-fnmr", str(highest)]) == 0
    printed = capsys.readouterr()
    score = float(printed.out)
    assert "with nothing discarded (mine, pairs.csv, FMR 0.01)" in printed.err
    assert main(["threshold", "--calibration", "c.json"]) == 0
    table = capsys.readouterr().out
    assert "FNMR of mine on pairs.csv at FMR 0.01" in table and len(table.splitlines()) == 15
    assert main(["threshold", "--calibration", "c.json", "--score", str(score)]) == 0
    assert main(["threshold", "--calibration", "c.json", "--max-fnmr", "0.1", "--against", "x"]) == 1
    assert "no comparisons of x, only mine on pairs.csv" in capsys.readouterr().err
    write_comparisons("more.csv")
    assert main(["calibrate", "more.csv", "-o", "c.json", "--recognizer", "mine", "--resamples", "5"]) == 0
    assert [entry.comparisons for entry in ThresholdCard.load("c.json").errors] == ["pairs.csv", "more.csv"]


@pytest.mark.parametrize("named", [[], ["--method", "brightness"]])
def test_comparisons_join_the_card_of_a_score_file(greys, named, capsys):
    """A file of comparisons knows no revision, and need not know the method."""
    main(["score", "greys", "-o", "scores.csv"])
    assert main(["calibrate", "scores.csv", "-o", "mine.json"]) == 0
    write_comparisons("pairs.csv")
    capsys.readouterr()
    assert main(["calibrate", "pairs.csv", "-o", "mine.json", "--resamples", "5", *named]) == 0
    card = ThresholdCard.load("mine.json")
    assert (card.method, card.revision, len(card.errors)) == ("brightness", "0123456789ab", 1)
    assert f"FMR 0.001 from similarity {card.errors[0].similarity_threshold:.6g} on" in capsys.readouterr().err
    main(["threshold", "--calibration", "mine.json"])
    assert f"at FMR 0.001, similarity {card.errors[0].similarity_threshold:.6g} (1000" in capsys.readouterr().out


def test_what_is_known_of_errors_is_not_lost(greys, capsys):
    write_comparisons("pairs.csv")
    main(["score", "greys", "-o", "scores.csv"])
    main(["calibrate", "pairs.csv", "-o", "mine.json", "--resamples", "5"])
    before = Path("mine.json").read_bytes()
    assert main(["calibrate", "scores.csv", "-o", "mine.json"]) == 1
    assert "mine.json knows FNMR (unnamed on pairs.csv)" in capsys.readouterr().err
    assert Path("mine.json").read_bytes() == before


def test_a_card_without_errors_gets_another_reference_and_keeps_its_parts(greys, capsys):
    main(["score", "greys", "-o", "scores.csv"])
    names = {"method": "brightness", "revision": "0123456789ab"}
    parts = {"parts": {"noise": np.arange(3.0)}, "parts_reference": "others"}
    ThresholdCard(reference="x", scores=np.arange(2.0), **names, **parts).save("mine.json")
    assert main(["calibrate", "scores.csv", "-o", "mine.json"]) == 0
    card = ThresholdCard.load("mine.json")
    assert (len(card.scores), card.parts_reference, card.parts["noise"].tolist()) == (101, "others", [0, 1, 2])
    ThresholdCard.from_scores([1, 2], reference="x", method="other").save("mine.json")
    assert main(["calibrate", "scores.csv", "-o", "mine.json"]) == 1
    assert "mine.json: the threshold card is for method other" in (said := capsys.readouterr().err)
    assert "name another output, or delete it first" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parts", "5", "--fmr", "0.1"], "scores, for which --fmr, --parts does nothing"),
        (["--method", "foo"], "holds scores of brightness, not of --method foo"),
    ],
)
def test_options_that_do_nothing_with_scores_are_refused(arguments, message, capsys):
    Path("scores.csv").write_text("path,status,quality,method\na.png,ok,1,brightness\n")
    assert main(["calibrate", "scores.csv", "-o", "mine.json", *arguments]) == 1
    assert message in capsys.readouterr().err and not Path("mine.json").exists()


def test_a_method_asked_about_by_the_card_of_another(capsys):
    ThresholdCard.from_scores([1, 2], reference="x", method="other").save("other.json")
    assert main(["threshold", "--method", "brightness", "--calibration", "other.json"]) == 1
    assert "the threshold card is for method other, the scores are of brightness" in capsys.readouterr().err
    assert main(["threshold", "--calibration", "other.json"]) == 0


def test_the_card_of_a_benchmark(tmp_path, monkeypatch, capsys):
    lfw_root = write(tmp_path / "made-up-lfw", lfw_files())
    monkeypatch.setattr("difiqa_hf.recognizers.load_recognizer", lambda name, device: toy_recognizer())
    options = ["--root", str(lfw_root), "--recognizer", "toy", "--method", "brightness", "--resamples", "20"]
    assert main(["calibrate", "--benchmark", "lfw", *options, "--fmr", "0.1", "-o", "thresholds.json"]) == 0
    card = ThresholdCard.load("thresholds.json")
    assert (card.scores[0], card.scores[-1], len(card.scores)) == (-1, 1, 2)  # the method's own reference stays
    assert (card.errors[0].comparisons, card.errors[0].recognizer) == ("lfw", "toy")
    assert card.errors[0].fnmr[0] == card.errors[0].fnmr[0] and len(card.errors[0].recognizer_revision) == 12
    assert main(["calibrate", "--benchmark", "lfw", "-o", "x.json"]) == 1
    assert "--benchmark needs --root, --recognizer, --method too" in capsys.readouterr().err


@pytest.mark.parametrize(("limits", "counts"), [(["-0.5", "0.5"], (13, 26, 13)), (["25%", "75%"], (13, 26, 13))])
def test_bands_are_the_users(greys, limits, counts):
    Path("greys/broken.png").touch()
    assert main(["score", "greys", "--bands", *limits, "-o", "scores.csv"]) == 0
    bands = [row["band"] for row in rows("scores.csv")]
    assert tuple(bands.count(band) for band in ("FAIL", "REVIEW", "PASS")) == (counts[0] + 1, *counts[1:])
    assert rows("scores.csv")[-1]["band"] == "FAIL"


@pytest.mark.parametrize(
    ("limits", "message"),
    [(["1", "0"], "FAIL must not end above where PASS begins, found 1 and 0"), (["a", "1"], "found 'a'")],
)
def test_bands_that_are_none(greys, limits, message, capsys):
    assert main(["score", "greys", "--bands", *limits]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("limits", "noted"), [(["5", "20"], 2), (["5%", "20%"], 0), (["-0.5", "1"], 0)])
def test_percent_signs_that_were_forgotten(greys, limits, noted, capsys):
    assert main(["score", "greys", "--bands", *limits, "-o", "scores.csv"]) == 0
    said = capsys.readouterr().err
    assert said.count("lies outside of the reference scores, -1 to 1; a percentile is written with its sign") == noted
