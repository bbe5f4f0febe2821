"""Scoring what people have: files, folders, archives, videos. Every file gets a row, none stops the others."""

from difiqa_hf.devices import hide_loading_bars, pick_device
from difiqa_hf.scoring.output import open_output
from difiqa_hf.scoring.reading import UnreadableImageError, allowed, read_image
from difiqa_hf.scoring.rows import COLUMNS, STATUSES, Bands, Row, path_cell
from difiqa_hf.scoring.run import Crop, cut_crops, score_chunks, score_files
from difiqa_hf.scoring.shares import open_share
from difiqa_hf.scoring.sources import EXTENSIONS, Source, expand, find_images, in_chunks, named_paths

__all__ = [
    "COLUMNS",
    "EXTENSIONS",
    "STATUSES",
    "Bands",
    "Crop",
    "Row",
    "Source",
    "UnreadableImageError",
    "allowed",
    "cut_crops",
    "expand",
    "find_images",
    "hide_loading_bars",
    "in_chunks",
    "named_paths",
    "open_output",
    "open_share",
    "path_cell",
    "pick_device",
    "read_image",
    "score_chunks",
    "score_files",
]
