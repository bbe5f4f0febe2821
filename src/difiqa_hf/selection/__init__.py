"""Choosing by quality: the best faces, of everybody or of each person, and what a gallery may take."""

from difiqa_hf.selection.best import Shot, find_faces, select_best
from difiqa_hf.selection.gate import Decision, Limits, judge
from difiqa_hf.selection.grouping import group_faces

__all__ = ["Decision", "Limits", "Shot", "find_faces", "group_faces", "judge", "select_best"]
