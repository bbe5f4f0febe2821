"""Readers of foreign checkpoints, one file for each family, and `convert_checkpoint`, which finds them by kind."""

from difiqa_hf.conversion.registry import KINDS, convert_checkpoint

__all__ = ["KINDS", "convert_checkpoint"]
