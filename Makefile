# The two commands: `make report` and `make test`. Both make an environment of exact pins first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2

# Which cells, as regular expressions of asv's: BENCH in all versions (none: those of a plain `asv run`, "everyday" in
# asv.conf.json), NEWEST in the newest of each framework, QUICK `make bench-quick`.
BENCH ?=
MAIN := ^speed_(torch_eager|jax_jit)\..*\.
NEWEST ?= -b '$(MAIN)(variants|reductions)\(' -b '$(MAIN)per_sample\(xloss, medium, float32\)' \
	-b '$(MAIN)value_and_grad\(.*, large, float32\)' -b '$(MAIN)value_and_grad\(xloss, medium, bfloat16\)' \
	-b '^speed_torch_compile\..*\.value_and_grad\(xloss, medium, float32\)' -b '^compiling_torch_compile\..*\.cold\(xloss\)'
QUICK ?= -b '$(MAIN)value_and_grad\(xloss, medium, float32\)' -b '^machine'
ASV := PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m asv
# The name under which results are kept, where it shall not be the host's.
MACHINE ?=
NAMED := $(if $(MACHINE),--machine $(MACHINE))
# What the report compares torch and JAX by; "--all --quick" takes some twenty minutes.
REPORT_BENCH ?= cross_entropy --quick --no-compile --no-memory

.PHONY: help env test slow browser lint stubs stacks locks report site parity claims accuracy invariance bench bench-quick regressions gpu-report truth proofs clean

help:
	@echo "make report      environment, parity sweep, short benchmark, claims, reports/index.html"
	@echo "make site        static pages of all of it, to build/site: a page a loss, comparisons, API, guides"
	@echo "make test        the tests"
	@echo "make slow        the tests that take minutes"
	@echo "make browser     the tests of the site in Chromium, which must be installed"
	@echo "make lint        ruff and mypy"
	@echo "make stubs       xloss/torch.pyi and xloss/jax.pyi, after a signature has changed"
	@echo "make stacks      tests and sweep on the lowest, the newest and other versions, to xloss/stacks.json; some 5 GB each"
	@echo "make locks       the locks of these versions, stacks/*.lock, after a range in pyproject.toml has changed"
	@echo "make bench       speed, memory and accuracy of the last commit in all versions of asv.conf.json, to reports/history"
	@echo "make bench-quick the same of a few cells in the newest versions"
	@echo "make regressions what got slower, larger or less accurate in reports/history, by commit and by release; exits 1 if anything"
	@echo "make accuracy    every input of float32, and pairs of bfloat16, to reports/accuracy; hours, goes on where it stopped"
	@echo "make invariance  whether a row has the same bits in every batch, to reports/invariance.json; minutes"
	@echo "make gpu-report  all that a GPU is asked, in BUDGET seconds (540), with the frameworks installed in \$$(PYTHON)"
	@echo "make truth       exact results for a GPU machine without python-flint, to reports/data; long"
	@echo "make proofs      what can be proven of accelerators without one, to reports/accelerator"
	@echo "make clean       remove the environment"

env: $(VENV)/.made

# XLOSS_NO_ENV=1 uses the environment that is active.
$(VENV)/.made: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

test: env
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

slow: env
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m slow

# Debian's package is chromium; XLOSS_CHROMIUM names another program.
BROWSER_PINS := playwright==1.65.2 axe-playwright-python==0.1.8
browser: env
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(BROWSER_PINS)
	$(BIN)/python -m pytest -m browser tests/site

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

stubs: env
	$(BIN)/python -m xloss.modules.stubs

# STACKS="lowest newest" takes these only.
stacks: env
	$(BIN)/nox $(if $(STACKS),--sessions $(STACKS))

# uv resolves for another Python than its own. The newest is that of the day.
PIN := uv pip compile --quiet --upgrade pyproject.toml --extra dev --no-header --no-annotate
locks:
	$(PIN) --python-version 3.11 --resolution lowest-direct --output-file stacks/lowest.lock
	$(PIN) --python-version 3.12 --constraints stacks/middle.in --output-file stacks/middle.lock
	$(PIN) --python-version 3.13 --output-file stacks/newest.lock

# An inaccuracy (exit 1) is a finding: the report is made, and shows it.
report: env
	$(BIN)/xloss doctor
	$(BIN)/xloss parity --out reports || test $$? -eq 1
	$(BIN)/xloss bench $(REPORT_BENCH) --out reports/data/bench.parquet
	$(BIN)/xloss report reports

# From what is committed, and from what `make report` left in reports/data.
SITE ?= build/site
site: env
	$(BIN)/xloss site reports --out $(SITE)

# Versions beyond the newest are installed one after the other, and deleted after use.
bench: env
	XLOSS_BENCH=versions $(ASV) run $(NAMED) $(BENCH); first=$$?; $(ASV) run $(NAMED) $(NEWEST) && exit $$first

bench-quick: env
	XLOSS_BENCH_SECONDS=0.1 $(ASV) run $(NAMED) $(QUICK)

# CHANGES="--last 1 --axis release" asks less. Make itself exits 2 where the command exits 1, 2 or 4, and says which.
regressions: env
	$(BIN)/python -m xloss.bench.changes $(CHANGES)

invariance: env
	$(BIN)/python -m xloss.parity.invariance

# ACCURACY="--problem soft_margin_loss --stride 4096" asks less. Large blocks of memory are kept, not given back each time.
accuracy: env
	MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=8589934592 $(BIN)/python -m xloss.exhaustive $(ACCURACY)

# A machine with a GPU brings its own frameworks: nothing is installed, and no network is needed. What a stopped run has
# answered is not asked again with GPU="--resume"; `python -m xloss.gpu --help` has the other options.
BUDGET ?= 540
gpu-report:
	PYTHONPATH="$(CURDIR)" $(PYTHON) -m xloss.gpu --budget $(BUDGET) --out reports/cuda $(GPU)

truth: env
	$(BIN)/python -m xloss.gpu.truth $(TRUTH)

# A loss beyond the budget under noise (exit 1) is a finding, and so is one that waits for a device (exit 3).
proofs: env
	$(BIN)/python -m xloss.gpu.fake --out reports/accelerator/fake.json || test $$? -eq 3
	$(BIN)/python -m xloss.gpu.lowering || test $$? -eq 3
	$(BIN)/python -m xloss.gpu.noise || test $$? -eq 1

clean:
	rm -rf $(VENV)
