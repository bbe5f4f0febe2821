"""A folder's scores as one page for people who have never heard of face image quality."""

from difiqa_hf.report.page import render_report
from difiqa_hf.report.summary import Entry, Summary, summarise

__all__ = ["Entry", "Summary", "render_report", "summarise"]
