"""The Space of the metric: a table of comparisons in, figures out (evaluate's own `launch_gradio_widget` is broken)."""

import csv
import io

COLUMNS = ("similarity", "genuine", "quality")
EXAMPLE = "similarity,genuine,quality\n.1,1,.1\n.8,1,.8\n.7,1,.9\n.2,0,.5\n.1,0,.6\n.3,0,.7\n"


def figures(table: str, fmr: float, protocol: str) -> dict:
    """The metric of a CSV text with the columns of `COLUMNS`.

    Raises:
        ValueError: if a column is missing or a cell is not a number.
    """
    from difiqa_hf.metrics import error_discard

    lines = csv.DictReader(io.StringIO(table.strip()))
    lines.fieldnames = [name.strip() for name in lines.fieldnames or []]
    missing = [name for name in COLUMNS if name not in lines.fieldnames]
    if missing:
        raise ValueError(f"the first line must name the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}")
    rows = []
    for row in lines:
        try:
            rows.append([float(row[name] or "") for name in COLUMNS])
        except ValueError as error:
            raise ValueError(f"line {lines.line_num}: {error}") from error
    if not rows:
        raise ValueError("there are no comparisons below the first line")
    similarity, genuine, quality = zip(*rows, strict=True)
    result = error_discard(similarity, genuine, quality, fmr=fmr, protocol=protocol)
    return {f"pAUC({limit})": result.pauc(limit) for limit in (0.2, 0.3)} | {
        "FNMR(0)": result.fnmr0,
        "k": int(result.k[0]),
        "genuine": result.n_genuine,
        "impostor": result.n_impostor,
        "options": result.options,
    }


def build():
    """The page."""
    import gradio

    def show(table, fmr, protocol):
        try:
            return figures(table, fmr, protocol)
        except ValueError as error:
            raise gradio.Error(str(error), print_exception=False) from error

    return gradio.Interface(
        show,
        [
            gradio.Textbox(EXAMPLE, lines=12, label="CSV: similarity, genuine (1 or 0), quality"),
            gradio.Number(0.5, label="target false match rate"),
            gradio.Radio(["paper", "edc"], value="paper", label="protocol"),
        ],
        gradio.JSON(label="figures"),
        title="pAUC of the error-versus-discard curve",
        description="Lower is better; a quality that knows nothing gives about 1.",
        flagging_mode="never",
    )


if __name__ == "__main__":
    build().launch()
