"""Networks: one per file, configuration and model together, self-contained (the Hub copies single files)."""
