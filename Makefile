# Every target makes the environment it needs; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Commands and tests start many Python processes; without bytecode on disk each compiles everything again.
unexport PYTHONDONTWRITEBYTECODE

# Unit tests check every tensor's shape; whole recipes run as users run them, a third faster.
WITHOUT_SHAPES := -o "addopts=--strict-markers --strict-config --durations=25"

.DEFAULT_GOAL := help
.PHONY: help demo demo-pokemon test check coverage slow bench-storage bench-video bench-serve bench-play bench-decoder bench-models clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

$(READY): pyproject.toml constraints.txt
	@echo "setting up $(VENV) (a minute or two, once)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,play,runtime,dev]'
	@touch $@

demo: $(READY) ## train a Flappy Bird dream from nothing, on a laptop, and show it
	$(BIN)/worldgen build flappy --profile laptop

demo-pokemon: $(READY) ## record a small world as videos with action files, slice them, train on them
	$(BIN)/worldgen build pokemon --profile laptop

test: $(READY) check ## everything CI runs: check, then all tests that are not slow
	$(BIN)/pytest tests/unit tests/property -m "not slow" -n 2 --dist loadfile
	$(BIN)/pytest tests/e2e tests/integration -m "not slow" -n 2 --dist loadfile $(WITHOUT_SHAPES)

check: $(READY) ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

coverage: $(READY) ## the tests of `make test`, and at least 95 % of the branches of storage and diffusion
	$(BIN)/pytest -m "not slow" --cov=storage --cov=worldgen_core/diffusion --cov-report=term-missing:skip-covered --cov-fail-under=95

slow: $(READY) ## what takes longer than CI should: slow tests, and the laptop profile over three training seeds
	$(BIN)/pytest -m slow
	$(BIN)/worldgen eval flappy --profile laptop --seeds 3

bench-storage: $(READY) ## random clips from our shards against five other formats
	$(BIN)/python benchmarks/bench_storage.py

bench-video: $(READY) ## decoding against OpenCV, seeks by frame number, memory
	$(BIN)/python benchmarks/bench_video.py

bench-serve: $(READY) ## players at once, an attack and a ten-minute soak of the play server, with the store's flappy
	$(BIN)/python benchmarks/bench_serve.py flappy --soak 600

bench-play: $(READY) ## every backend of the runtime at the published size, against plain float32 eager
	$(BIN)/python benchmarks/bench_play.py

bench-decoder: $(READY) ## TAESD's decoder against the light one at 240x320; with TAESD=FOLDER of weights, PSNR too
	$(BIN)/python benchmarks/bench_decoder.py $(if $(TAESD),--taesd $(TAESD))

bench-models: $(READY) ## samples and frames a second of every model, the default against plain float32, where the time goes
	$(BIN)/python benchmarks/bench_models.py

clean: ## remove the environment and caches; the store stays
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
