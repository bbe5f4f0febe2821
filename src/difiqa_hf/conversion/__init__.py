"""Readers of foreign checkpoints: one file each."""
