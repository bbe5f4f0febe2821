"""The page, in Gradio. Nothing on it is loaded from elsewhere, so that it works offline."""

import os
from typing import TYPE_CHECKING

from difiqa_hf.app.analysis import Analyser
from difiqa_hf.detection import FaceDetector
from difiqa_hf.scoring import Row, hide_loading_bars

if TYPE_CHECKING:
    import gradio as gr

INTRODUCTION = """# Face image quality
How well can a face recogniser use this photograph? **Higher is better.** Go by “better than … %”: the share of the
checkpoint's reference photographs with a lower score. It is no judgement of a person, of looks, or of genuineness.
Images stay on the machine that runs this page."""
WITHOUT_DETECTOR = """\n\n**Faces cannot be found in photographs here** ({}): give aligned crops of 112 × 112 pixels."""
MOST_FILES = 100
HEADERS = ["file", "face", "status", "score", "better than", "note"]


def build_page(analyser: Analyser, note: str = "") -> "gr.Blocks":
    """The page around an analyser; `note` says why there is no detector.

    Raises:
        ImportError: without Gradio.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio as gr
    except ImportError as error:
        raise ImportError("the app needs Gradio: pip install 'difiqa-hf[demo]'") from error

    def score(files, shot, photographs):
        paths = [*(files or []), *([shot] if shot else [])]
        if not paths:
            raise gr.Error("Drop some images first, or take a picture.")
        if len(paths) > MOST_FILES:
            raise gr.Error(f"{len(paths)} images, at most {MOST_FILES} at once: difiqa score takes any number.")
        found = analyser.analyse(paths, photographs)
        gallery = [(picture, caption(row)) for picture, row in zip(found.pictures, found.scored, strict=True)]
        table, csv = [cells(row) for row in found.rows], gr.DownloadButton(value=str(found.csv), interactive=True)
        return gallery, table, csv, [(str(row.path), row) for row in found.scored], None

    def why(faces, photographs, event: gr.SelectData):
        return str(analyser.explain(faces[event.index][1], photographs))

    with gr.Blocks(title="Face image quality") as page:
        gr.Markdown(INTRODUCTION + (WITHOUT_DETECTOR.format(note) if note else ""))
        faces = gr.State([])
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
        gallery = gr.Gallery(label=label, columns=[2, 3, 4, 6], height="auto", buttons=buttons)
        sheet = gr.Image(label="Why", interactive=False, type="filepath", buttons=buttons)
        table = gr.Dataframe(headers=HEADERS, label="All rows", interactive=False, wrap=True)
        csv = gr.DownloadButton("Download CSV", interactive=False)
        button.click(score, [files, shot, photographs], [gallery, table, csv, faces, sheet])
        gallery.select(why, [faces, photographs], sheet)
    return page


def make_page(method: str = "difiqa-r") -> "gr.Blocks":
    """The page with the shipped weights; where there is no face detector it says so and takes aligned crops."""
    hide_loading_bars()
    try:
        return build_page(Analyser(method, FaceDetector()))
    except (FileNotFoundError, ImportError) as error:
        if "Gradio" in str(error):
            raise
        return build_page(Analyser(method), note=str(error))


def serve(page: "gr.Blocks", host: str = "127.0.0.1", port: int | None = None, block: bool = True) -> str:
    """Serve the page, by default to this machine only; returns its address (when stopped, if `block`)."""
    import gradio as gr

    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # none from the network
    options = {"server_name": host, "server_port": port, "share": False, "max_file_size": "50mb"}
    _, address, _ = page.launch(**options, theme=theme, prevent_thread_lock=not block)
    return address


def caption(row: Row) -> str:
    """Score and percentile of a face."""
    place = "" if row.percentile is None else f" · better than {row.percentile:.0f} %"
    return f"{row.quality:.3f}{place}"


def cells(row: Row) -> list:
    """One line of the table."""
    quality, percentile = row.cells()[3:5]
    face = "" if row.face is None else row.face + 1
    return [row.path.name, face, row.status, quality, f"{percentile} %" if percentile else "", row.reason]
