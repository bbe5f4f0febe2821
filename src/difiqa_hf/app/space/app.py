"""The entry point of a Space; `python app.py` serves the same page to this machine only."""

from difiqa_hf.app.page import serve_space

serve_space("difiqa-r")
