"""The page, in Gradio. Nothing on it is loaded from elsewhere, so that it works offline."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from difiqa_hf.app.analysis import Analyser
from difiqa_hf.detection import FaceDetector
from difiqa_hf.metrics import ThresholdCard
from difiqa_hf.scoring import Row, hide_loading_bars

if TYPE_CHECKING:
    import gradio as gr

INTRODUCTION = """# Face image quality
How well can a face recogniser use this photograph? **Higher is better.** Go by “better than … %”: the share of the
checkpoint's reference photographs with a lower score. It is no judgement of a person, of looks, or of genuineness.
Images stay on the machine that runs this page, and are deleted after a day."""
WITHOUT_DETECTOR = """\n\n**Faces cannot be found in photographs here** ({}): give aligned crops of 112 × 112 pixels."""
MOST_FILES = 100
HEADERS = ["score", "better than", "file", "face", "status", "note"]  # what counts first, where a phone shows it
WIDTHS = [100, 100, 220, 70, 140, 300]  # pixels
STYLE = """
#ranking .grid-container { grid-template-columns: repeat(auto-fill, minmax(min(11rem, 45%), 1fr)) !important; }
#ranking .grid-container { padding-top: 1.5rem; }
#ranking .grid-wrap { min-height: 10rem !important; }
#ranking .caption-label { white-space: normal; max-width: 100%; }
#limits :is(td, th) { word-break: normal; overflow-wrap: normal; padding: .3rem .6rem; }
#words pre { white-space: pre-wrap; }
"""
SHOWN = (0, 1, 5, 10, 20, 30)  # percentiles of the table of limits
KEPT = 3600, 86400  # seconds: how often Gradio's copies are looked at, and the age at which they are deleted


def build_page(analyser: Analyser, note: str = "") -> "gr.Blocks":
    """The page around an analyser; `note` says why there is no detector.

    Raises:
        ImportError: without Gradio.
    """
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_RUN_HISTORY"):  # faces are not for keeping, in the browser neither
        os.environ.setdefault(name, "False")
    try:
        import gradio as gr
    except ImportError as error:
        raise ImportError("the app needs Gradio: pip install 'difiqa-hf[demo]'") from error

    score, why = _actions(analyser)
    with gr.Blocks(title="Face image quality", delete_cache=KEPT) as page:
        gr.Markdown(INTRODUCTION + (WITHOUT_DETECTOR.format(note) if note else ""))
        found = gr.State()
        with gr.Row():
            files = gr.File(label="Images", file_count="multiple", file_types=["image"], type="filepath")
            shot = gr.Image(label="or a picture from the camera", sources=["webcam"], type="filepath")
        photographs = gr.Checkbox(
            label="These are photographs: find the faces (off: aligned crops)",
            value=analyser.detector is not None,
            interactive=analyser.detector is not None,
        )
        button = gr.Button("Score", variant="primary")
        buttons = ["download", "fullscreen"]  # none that uploads
        label = "Ranking, best first: choose a face to see why"
        gallery = gr.Gallery(
            label=label, allow_preview=False, height="auto", object_fit="contain", elem_id="ranking", buttons=buttons
        )
        sheet = gr.Image(label="Why", interactive=False, type="pil", format="png", buttons=buttons)
        with gr.Accordion("Why, in words", open=False):
            words = gr.Markdown("Choose a face above.", elem_id="words")
        table = gr.Dataframe(headers=HEADERS, label="All rows", interactive=False, wrap=True, column_widths=WIDTHS)
        csv = gr.DownloadButton("Download CSV", interactive=False)
        if (text := limits(analyser.method.threshold_card())) is not None:
            with gr.Accordion("What would a limit do?", open=False):
                gr.Markdown(text, elem_id="limits")
        button.click(score, [files, shot, photographs], [gallery, table, csv, found, sheet, words])
        gallery.select(why, found, [sheet, words])
    return page


def _actions(analyser: Analyser) -> tuple[Callable, Callable]:
    """What the button and the choice of a face do."""
    import gradio as gr

    def score(files, shot, photographs, progress=gr.Progress()):  # noqa: B008  how Gradio asks for it
        paths = [*(files or []), *([shot] if shot else [])]
        if not paths:
            raise gr.Error("Drop some images first, or take a picture.")
        if len(paths) > MOST_FILES:
            raise gr.Error(f"{len(paths)} images, at most {MOST_FILES} at once: difiqa score takes any number.")
        found = analyser.analyse(paths, photographs, lambda files: progress.tqdm(files, desc="scoring"))
        gallery = [(picture, caption(row)) for picture, row in zip(found.pictures, found.scored, strict=True)]
        table, csv = [cells(row) for row in found.rows], gr.DownloadButton(value=str(found.csv), interactive=True)
        return gallery, table, csv, (found.scored, found.photographs), None, ""

    def why(found, event: gr.SelectData, progress=gr.Progress()):  # noqa: B008
        rows, photographs = found  # as they were scored, whatever the page says by now
        try:
            face = rows[event.index], photographs
            sheet, lines = analyser.explain(*face, lambda batches: progress.tqdm(batches, desc="covering the face"))
        except ValueError as error:
            raise gr.Error(str(error)) from error
        return sheet, "```\n" + "\n".join(lines) + "\n```"

    return score, why


def make_page(method: str = "difiqa-r") -> "gr.Blocks":
    """The page with the shipped weights; where there is no face detector it says so and takes aligned crops."""
    hide_loading_bars()
    try:
        detector, note = FaceDetector(), ""
    except (FileNotFoundError, ImportError) as error:
        detector, note = None, str(error)
    return build_page(Analyser(method, detector), note)


def serve(page: "gr.Blocks", host: str = "127.0.0.1", port: int | None = None, block: bool = True) -> str:
    """Serve the page, by default to this machine only; returns its address (when stopped, if `block`).

    Raises:
        ValueError: for an address that this machine has not, or a port that is taken.
    """
    import gradio as gr

    _check_address(host, port)
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # none from the network
    options = {"server_name": host, "server_port": port, "share": False, "max_file_size": "50mb", "css": STYLE}
    _, address, _ = page.launch(**options, theme=theme, prevent_thread_lock=not block)
    return address


def serve_space(method: str) -> None:
    """Serve the page to everybody where the Hub runs it as a Space, and to this machine only elsewhere."""
    serve(make_page(method), "0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1")


def _check_address(host: str, port: int | None) -> None:
    import socket

    try:
        family, *_, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except (OSError, UnicodeError, OverflowError) as error:
        where = host if port is None else f"{host}, port {port}"
        raise ValueError(f"cannot serve at {where} ({error}); name another --host or --port") from error


def caption(row: Row) -> str:
    """Score and percentile of a face."""
    place = "" if row.percentile is None else f" · better than {row.percentile:.0f} %"
    return f"{row.quality:.3f}{place}"


def cells(row: Row) -> list:
    """One line of the table."""
    quality, percentile = row.cells()[3:5]
    face = "" if row.face is None else row.face + 1
    return [quality, f"{percentile} %" if percentile else "", row.path.name, face, row.status, row.reason]


def limits(card: ThresholdCard | None) -> str | None:
    """What leaving out the lowest scores would do to the reference and a recogniser, in Markdown; None for no card."""
    if card is None:
        return None
    errors = card.errors[0] if card.errors else None
    lines = [f"If everything below a score were left out. Shares of the reference, {card.reference}:", ""]
    lines += ["| left out | score below |" + (" pairs missed (FNMR) |" if errors else "")]
    lines += ["|---:|---:|" + ("---|" if errors else "")]
    for percent in SHOWN:
        score = card.score_at(percent)
        rate = errors and errors.percent_at(card.point(score))
        rate = "unknown" if rate is None else "{:.2f} % ({:.2f} to {:.2f})".format(*rate)
        lines.append(f"| {percent} % | {score:.4f} |" + (f" {rate} |" if errors else ""))
    if errors:
        lines += ["", (
            "The choice is yours. FNMR, the false non-match rate, is the share of pairs of one person that a "
            "recogniser takes for two. It was measured elsewhere, not on your images: "
            f"{errors.comparisons} compared by {errors.recognizer}, with one false match in {1 / errors.fmr:.0f} (FMR "
            f"{errors.fmr:g}); in brackets the {100 * errors.confidence:.0f} % interval."
        )]  # fmt: skip
    return "\n".join(lines)
