"""The entry point of a Space."""

from difiqa_hf.app.page import make_page, serve

serve(make_page(), host="0.0.0.0")
