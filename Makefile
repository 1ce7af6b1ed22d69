# SPDX-License-Identifier: Apache-2.0
# Everything without a ROS installation: `make demo`, `make test`. The first run sets up by itself.
#
#   PYTHON=python3.12    the Python to use, 3.11 or 3.12        VENV=.venv    where to put the environment
#   ROS=kilted           another distribution of ROS 2; its environment is .venv-kilted
#   TORCH_INDEX=URL      package index with another PyTorch build (pypi: PyPI); default: a CPU build without a GPU

usable = $(shell $(1) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $(1))
PYTHON := $(firstword $(foreach python,python3 python3.12 python3.11,$(call usable,$(python))) python3)
ROS := jazzy
VENV := .venv$(if $(filter-out jazzy,$(ROS)),-$(ROS))
TORCH_INDEX :=
EPISODES := 3
TASK :=
STRATEGY :=
VIEW :=
TEST := test

RUN = $(CURDIR)/tools/run.sh $(abspath $(VENV))
FIND = command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON): apt-get install python3 python3-venv python3-dev"; exit 1; }
SETUP = $(FIND); $(PYTHON) tools/setup_env.py --ros "$(ROS)" --venv "$(VENV)" --torch-index "$(TORCH_INDEX)"
# The cores render: a GPU that trains has no time for it. Debian: libosmesa6.
TRAIN = MUJOCO_GL=osmesa LP_NUM_THREADS=0 $(RUN) cosmos3 train
# Two workers, a module's tests on one of them: what a module sets up is set up once.
# Nodes under test live in real time, and a shared machine may stand still for a moment. A defect fails alone, too.
AGAIN = echo "Again, one at a time: what has failed beside others"; $(RUN) pytest --lf --lfnf=none $(TEST)
LINT = $(RUN) ruff check . && $(RUN) ruff format --check . && cd $(SITE) && \
	$(RUN) mypy --cache-dir $(CURDIR)/.mypy_cache --config-file $(CURDIR)/pyproject.toml -p cosmos3_ros
LICENSES = $(abspath $(VENV))/licenses/bin
SITE = $(abspath $(VENV))/ws/install/cosmos3_ros/lib/python3*/site-packages

.PHONY: demo train docs docs-commands links found test lint build setup client lerobot metaworld licenses audit clean

demo: build  ## the simulated arm, driven over ROS 2 topics
	@$(RUN) cosmos3 demo --episodes $(EPISODES) $(if $(TASK),--task "$(TASK)") $(if $(STRATEGY),--strategy $(STRATEGY)) $(if $(VIEW),--view)

train: build  ## the embedded checkpoint from nothing: 51 minutes of one H100, then 18 of two GPUs with 32 cores, 7 of one
	@$(TRAIN) --recipe training/recipes/droid_sim_h100.yaml --out out/towers
	@$(TRAIN) --recipe training/recipes/polish.yaml --out out/polish start=out/towers/checkpoint
	@$(TRAIN) --recipe training/recipes/ten_tasks.yaml --out out/ten_tasks start=out/polish/checkpoint
	@$(TRAIN) --recipe training/recipes/endings.yaml --out out/droid_sim start=out/ten_tasks/checkpoint

docs: build  ## the documentation as a site, out/site/index.html, with every link checked
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict

docs-commands: metaworld  ## every command on the pages, run small: 20 minutes of two cores; out/page_commands.jsonl says how each ended
	@mkdir -p out
	@$(RUN) sh -c 'PYTHONPATH=test/repository:$$PYTHONPATH exec python test/repository/page_commands/run_page_commands.py --out out/page_commands.jsonl'

links:  ## the pages' links to other servers, asked for one by one
	@$(PYTHON) tools/check_links.py

found:  # paths of TEST, before anything is installed for them
	@for path in $(filter test/%,$(TEST)); do test -e "$${path%%::*}" || { echo "error: TEST: no $${path%%::*}" >&2; exit 2; }; done

test: found client metaworld  ## all checks; TEST=test/model/test_policy.py for some of the tests
	@{ $(LINT); } > "$(VENV)/lint.log" 2>&1 & lint=$$!; \
	$(RUN) pytest -n 2 --dist loadscope --no-loadscope-reorder $(TEST); code=$$?; \
	test $$code != 1 || { $(AGAIN); code=$$?; }; \
	! kill -0 $$lint 2>/dev/null || echo "Waiting for lint and types, which are checked meanwhile"; \
	wait $$lint || { cat "$(VENV)/lint.log"; exit 1; }; exit $$code

lint: build
	@$(LINT)

build:  ## environment, messages and nodes
	@$(SETUP)

setup:  ## environment only
	@$(SETUP) --no-build

lerobot: build  ## lerobot, for its own evaluation and the tests of the datasets: some gigabytes
	@$(SETUP) --lerobot

metaworld: build  ## Meta-World with an older MuJoCo, for `cosmos3 eval --env metaworld`
	@$(SETUP) --metaworld

client: build  ## openpi's client, for the tests
	@$(SETUP) --openpi

licenses: build  ## what the environment holds, as a table and as CycloneDX: out/licenses/
	@$(SETUP) --licenses
	@mkdir -p out/licenses
	@$(LICENSES)/cyclonedx-py environment --of JSON -o out/licenses/sbom.cdx.json $(abspath $(VENV))/bin/python
	@$(PYTHON) tools/licenses.py out/licenses/sbom.cdx.json $(abspath $(VENV))/share > out/licenses/licenses.md
	@echo out/licenses/licenses.md out/licenses/sbom.cdx.json

audit: build  ## known vulnerabilities of what the environment holds, as PyPI knows them
	@$(SETUP) --licenses
	@$(LICENSES)/pip-audit --path $(abspath $(VENV))/lib/python3*/site-packages

clean:  ## remove everything that was made
	rm -rf "$(VENV)" build dist install log out .mypy_cache .pytest_cache .ruff_cache
