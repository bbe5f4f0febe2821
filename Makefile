# `make` lists the targets. PYTHON, VENV, JOBS (of the tests) and DIFIQA_SHARED may be overridden.
PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint cards table figures bench bench-batching bench-degradation bench-detection bench-difiqa bench-edc \
	bench-export bench-folder bench-gpu bench-ijbc bench-methods bench-presets bench-training clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@# torch first and pinned: a plain `pip install torch` may pull gigabytes of CUDA packages
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(STAMP)  ## create the virtual environment and install the package

demo: $(STAMP)  ## score a real photograph and its degraded versions with the shipped weights, offline
	HF_HUB_OFFLINE=1 $(BIN)/difiqa demo

test: $(STAMP)  ## lint and run the tests (minutes)
	$(BIN)/ruff check
	$(BIN)/python -m pytest -m 'not slow' -n $(JOBS) --dist loadfile

test-slow: $(STAMP)  ## run the long tests
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)  ## ruff, with fixes
	$(BIN)/ruff check --fix

cards: $(STAMP)  ## render the model cards and the tables of the README from model_cards/
	$(BIN)/python model_cards/render.py

SHARED := $(or $(DIFIQA_SHARED),../shared)
EXPERIMENTS := model_cards/experiments
RESEARCH := $(SHARED)/data/*.zip $(SHARED)/weights/*.safetensors $(SHARED)/weights/lightqnet
EVALUATE := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/difiqa evaluate --cache runs/cache --scores model_cards/results/scores

table: $(STAMP)  ## every method on every benchmark, on DIFIQA_SHARED: scores that are on file are not computed again (half an hour)
	@test -n "$(realpath $(wildcard $(RESEARCH)))" || { echo "no faces in $(SHARED)/data: set DIFIQA_SHARED to the folder of research data"; exit 1; }
	mkdir -p $(EXPERIMENTS)/data
	ln -sfn $(realpath $(wildcard $(RESEARCH))) $(EXPERIMENTS)/data/
	$(EVALUATE) --experiment $(EXPERIMENTS)/shipped.json -o model_cards/results
	$(EVALUATE) --experiment $(EXPERIMENTS)/methods.json -o model_cards/results/methods
	$(EVALUATE) --experiment $(EXPERIMENTS)/inside.json -o model_cards/results/inside
	$(EVALUATE) --experiment $(EXPERIMENTS)/inside-difiqa.json -o model_cards/results/inside-difiqa
	$(EVALUATE) --experiment $(EXPERIMENTS)/inside-faceqan.json -o model_cards/results/inside-faceqan
	$(EVALUATE) --experiment $(EXPERIMENTS)/inside-faceqan-lfw.json -o model_cards/results/inside-faceqan
	$(EVALUATE) --experiment $(EXPERIMENTS)/edc.json -o model_cards/results/edc
	$(EVALUATE) --experiment $(EXPERIMENTS)/fmr.json -o model_cards/results/fmr
	$(EVALUATE) --experiment $(EXPERIMENTS)/ablations.json -o model_cards/results/ablations
	$(EVALUATE) --experiment $(EXPERIMENTS)/ablations-steps.json -o model_cards/results/ablations-steps
	$(EVALUATE) --experiment $(EXPERIMENTS)/repeats.json -o model_cards/results/repeats
	$(EVALUATE) --experiment $(EXPERIMENTS)/repeats-one-step.json -o model_cards/results/repeats-one-step
	$(BIN)/python model_cards/render.py
	$(MAKE) figures

figures: $(STAMP)  ## draw figures 4, 5 and 6 of the paper from what is on file (a minute)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python model_cards/figures.py

bench: bench-difiqa bench-methods bench-export bench-folder bench-detection bench-degradation bench-edc  ## what SPEED.md shows, but presets (an hour)

FACES := $(SHARED)/data/lfw_aligned112.zip
QUIET := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python tests/bench

bench-difiqa: $(STAMP)  ## DifFIQA by procedure, batch, precision and compilation, on DIFIQA_SHARED (20 minutes)
	$(QUIET)/bench_difiqa.py --faces $(FACES) -o model_cards/results/bench-difiqa.json

bench-export: $(STAMP)  ## onnxruntime against torch, in float32 and 8 bits, on DIFIQA_SHARED (minutes)
	$(QUIET)/bench_export.py --faces $(FACES) -o model_cards/results/bench-export.json

bench-folder: $(STAMP)  ## a folder of files to a CSV, on DIFIQA_SHARED (20 minutes)
	$(QUIET)/bench_folder.py --faces $(FACES) --many 100000 -o model_cards/results/bench-folder.json

bench-detection: $(STAMP)  ## decoding, detection and alignment by size; DIFIQA_YUNET names the detector (a minute)
	$(QUIET)/bench_detection.py -o model_cards/results/bench-detection.json

bench-presets: $(STAMP)  ## what the approximations of DifFIQA cost in rank, on DIFIQA_SHARED (two hours; resumes)
	$(QUIET)/bench_presets.py --faces $(FACES) $(dir $(FACES))cfp_ids001-250_aligned112.zip --work runs/presets \
		-o model_cards/results/presets.json

bench-edc: $(STAMP)  ## time and memory of the error-versus-discard curves, 6 k to 100 M comparisons (minutes, 6 GB)
	$(BIN)/python tests/bench/bench_edc.py -o model_cards/results/bench-edc.json

bench-gpu: $(STAMP)  ## every method and DifFIQA by procedure on a GPU, on DIFIQA_SHARED and the weights in training/runs (minutes)
	HF_HUB_OFFLINE=1 $(BIN)/python tests/bench/bench_methods.py --experiment model_cards/experiments/methods.json \
		--faces $(FACES) --batch_size 256 --device cuda -o model_cards/results/bench-methods-gpu.json
	HF_HUB_OFFLINE=1 $(BIN)/python tests/bench/bench_difiqa.py --faces $(FACES) --images 64 --device cuda \
		-o model_cards/results/bench-difiqa-gpu.json

bench-batching: $(STAMP)  ## FaceQAN and GraFIQs batched against one at a time, on DIFIQA_SHARED (minutes)
	$(BIN)/python tests/bench/bench_batching.py --faces $(FACES) -o model_cards/results/bench-batching.json

bench-ijbc: $(STAMP)  ## IJB-C's protocol at full size on made-up features, files to figures (minutes, 4 GB)
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/bench_ijbc.py -o model_cards/results/bench-ijbc.json

bench-methods: $(STAMP)  ## what every method costs an image, on DIFIQA_SHARED and the weights in training/runs, see training/README.md (minutes)
	$(QUIET)/bench_methods.py --experiment model_cards/experiments/methods.json --faces $(FACES) -o model_cards/results/bench-methods.json

bench-degradation: $(STAMP)  ## time d(x) against a per-image version (a minute)
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/bench_degradation.py $(addprefix --shared ,$(wildcard $(SHARED))) -o model_cards/results/bench-degradation.json

bench-training: $(STAMP)  ## time the DDPM loop against bare steps, DATA=zip of faces (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/bench_training.py --train_data $(DATA) --mixed_precision bf16 \
		-o model_cards/results/bench-training.json

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis demo_output build dist src/*.egg-info
