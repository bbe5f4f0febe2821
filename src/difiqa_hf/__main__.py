"""`python -m difiqa_hf`, and what `accelerate launch --module difiqa_hf` starts."""

from difiqa_hf.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
