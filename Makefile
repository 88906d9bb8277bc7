PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fast test-processes test-data near-matches test-logs test-vllm test-containers test-postgres test-kfp test-kfp-newest bench bench-speed images docs lint clean

demo: $(VENV)/installed  ## install, run the laptop recipe, say where the report and the MLflow UI are
	$(BIN)/rlready run --recipe laptop

test: $(VENV)/installed  ## the default tests: no GPU, no network, under 12 minutes on 2 cores
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-fast: $(VENV)/installed  ## what decides, in about a minute: gate, statistics, verifier, records, report
	$(BIN)/python -m pytest -n 2 tests/gate tests/stats tests/verifier/test_verify.py tests/records tests/stages/test_report.py tests/stages/test_headline.py

test-processes: $(VENV)/installed  ## adapters, killed processes and DeepSpeed's ZeRO, in two processes on the CPU
	$(BIN)/pip install --quiet --constraint constraints.txt deepspeed
	$(BIN)/python -m pytest -m processes -s -o addopts= tests

test-data: $(VENV)/installed  ## tests on real data sets: RLREADY_DATA=folder make test-data
	$(BIN)/python -m pytest -m data -s -o addopts= tests

near-matches: $(VENV)/installed  ## precision of decontamination on real data sets: RLREADY_DATA=folder make near-matches
	$(BIN)/python -m pytest -m near_matches -s -o addopts= tests/benchmarks/test_near_matches.py

# Needs Docker, or podman's Docker socket in DOCKER_HOST; CONTAINER_TOOL and BUILD_FLAGS as images/build.sh has them.
test-containers: $(VENV)/installed  ## build the cpu image, check it, and run the whole DAG in its containers
	image=$$(images/build.sh cpu) && RLREADY_IMAGE=$$image $(BIN)/python -m pytest -m containers -o addopts= tests

images:  ## build all images; with REGISTRY=... push them and print their names with digests
	images/build.sh

test-postgres: $(VENV)/installed  ## the laptop recipe, shortened, logged to MLflow on PostgreSQL (needs initdb)
	$(BIN)/python -m pytest -m postgres -o addopts= tests/tracking/test_tracking_server.py

# KFP_HOST is the address of its UI, RLREADY_IMAGE the stages' image by digest; what else it reads is said in the file.
test-kfp: $(VENV)/installed  ## every way in which a run can end, on a KFP server; prints a table (an hour and a half)
	$(BIN)/python -m pytest -m kfp -s -o addopts= tests/run/test_kfp.py

# Beside the installed version, which is the oldest that pyproject.toml allows.
test-kfp-newest: $(VENV)/installed  ## compile, place and run with the newest version of kfp that is allowed
	$(BIN)/pip install --quiet --no-deps --upgrade --target build/kfp-newest kfp==2.17.3 kfp-kubernetes==2.17.3
	PYTHONPATH=build/kfp-newest $(BIN)/python -m pytest tests/run/test_compile.py tests/placement/test_placement.py tests/backend \
		tests/run/test_race_run.py

test-vllm: $(VENV)/installed  ## vLLM against the embedded engine, where vLLM is installed
	$(BIN)/python -m pytest -m vllm -s -o addopts= tests/sampling/test_vllm.py

# lighteval has an environment of its own: its libraries' versions are not ours, and it fails with xxhash 4.
test-logs: $(VENV)/installed  ## logs that lm-evaluation-harness, Inspect, lighteval and verl write, read and ranked
	$(BIN)/pip install --quiet lm_eval inspect_ai
	$(BIN)/python -m venv build/lighteval && build/lighteval/bin/pip install --quiet lighteval 'xxhash<4'
	$(BIN)/pip install --quiet --no-deps --upgrade --target build/verl verl orjson
	VERL=build/verl LIGHTEVAL_PYTHON=build/lighteval/bin/python $(BIN)/python -m pytest -m logs -s -o addopts= tests/measured/test_tools.py

bench: $(VENV)/installed  ## how often intervals hold the truth, the verifier's accuracy, the laptop recipe's time, printed
	$(BIN)/python -m pytest -m bench -s -o addopts= tests/benchmarks

# OPTIONS='curation --rows 2000000' or OPTIONS='sampling --model FOLDER': parts and their options; --help lists them.
bench-speed: $(VENV)/installed  ## one table of speed beside other engines, TRL, math-verify and datasets (an hour, 12 GB of disk)
	$(BIN)/pip install --quiet --no-deps --upgrade --target build/engines ctranslate2
	PYTHONPATH=build/engines $(BIN)/python tests/benchmarks/speed $(OPTIONS)

docs: $(VENV)/installed  ## write the generated pages: parameters, commands, and a README per component
	$(BIN)/python docs/pages.py

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Where the PyTorch CPU index is configured as pip's, or torch is on this machine, no CUDA packages come along.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
