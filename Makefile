# The one door to this house: every intention is one target, the same for people and for CI.
# A target makes the environment that it needs; nobody has to activate anything.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
BIN := .venv/bin
ARGS ?=
# The newest Python we know of that can make environments; the stock python3 of macOS is too old,
# so it is asked last. Debian ships ensurepip apart, in python3-venv.
PYTHON ?= $(shell for each in python3.14 python3.13 python3.12 python3.11 python3; do $$each -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$each && break; done)
NO_PYTHON := needs Python 3.11 or newer with venv and ensurepip (Debian: python3-venv), or make PYTHON=/path/to/python3
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
# Three files at a time: most tests wait more than they compute, and none needs what another leaves.
TOGETHER := -n 3 --dist loadfile
WHEEL_TESTS ?= tests/unit tests/contract

.PHONY: check-python help setup fmt check lint types architecture test unit integration interop fuzz conform bulkheads chaos chaos-wire kill mutations bench bench-fleet demo schemas wheel wheel-test cluster-test ci clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

check-python:
	@test -n "$(PYTHON)" || { echo "make: $(NO_PYTHON)" >&2; exit 1; }

.venv/.stamp-run: pyproject.toml constraints.txt | check-python
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "setting up .venv: what the product runs on" && sed '/^# Part two/,$$d' constraints.txt | $(PIP) --require-hashes -r /dev/stdin
	@$(PIP) --no-deps --no-build-isolation --editable . && touch $@

.venv/.stamp: .venv/.stamp-run
	@echo "setting up .venv: what tests and checks use" && $(PIP) --require-hashes -r constraints.txt && touch $@

setup: .venv/.stamp ## make .venv with everything that the other targets use

fmt: .venv/.stamp ## rewrite the code in the house's format
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

check: lint types architecture ## everything that can be said without running the product

lint: .venv/.stamp ## style and spelling
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/codespell

types: .venv/.stamp ## mypy --strict over the four packages
	$(BIN)/mypy --strict

architecture: .venv/.stamp ## who may import whom, and the house rules
	$(BIN)/lint-imports && $(BIN)/pytest -q tests/unit/test_tidy.py

test: .venv/.stamp ## unit, contract, fuzz (short) and integration
	$(BIN)/pytest $(TOGETHER) tests/unit tests/contract tests/fuzz tests/integration $(ARGS)

unit: .venv/.stamp ## only the fast ones: unit and contract
	$(BIN)/pytest $(TOGETHER) tests/unit tests/contract $(ARGS)

integration: .venv/.stamp ## real processes and sockets on loopback
	$(BIN)/pytest tests/integration $(ARGS)

interop: .venv/.stamp ## our simulated devices, driven by clients that we did not write
	$(BIN)/python tests/interop/run.py $(ARGS)

fuzz: .venv/.stamp ## hypothesis; HYPOTHESIS_PROFILE=ci takes 10,000 examples each
	$(BIN)/pytest -n 2 tests/fuzz $(ARGS)

conform: .venv/.stamp ## hold every vendor to the laws, and print its scorecard
	$(BIN)/doorfleet-sim conform --all $(ARGS)

bulkheads: .venv/.stamp ## break each vendor in turn: was anybody else hurt?
	$(BIN)/doorfleet-sim bulkheads --no-ui $(ARGS)

chaos: .venv/.stamp ## every experiment with ten seeds, in simulated time: was anybody hurt who should not be?
	$(BIN)/doorfleet-sim chaos --all --seeds 1..10 $(ARGS)

chaos-wire: .venv/.stamp ## every experiment once on real sockets, on our broker and on Mosquitto
	$(BIN)/doorfleet-sim chaos --all --time real --workers 3 --broker embedded $(ARGS)
	$(BIN)/doorfleet-sim chaos --all --time real --workers 3 --broker mosquitto $(ARGS)

kill: .venv/.stamp ## kill processes and cut the power at random instants; ARGS=--kills=1000
	$(BIN)/pytest tests/kill $(ARGS)

mutations: .venv/.stamp ## plant ten defects in copies of the code: the experiments must catch each
	@rm -rf .bench/mutations && $(BIN)/pytest -n 2 tests/mutations $(ARGS) && $(BIN)/python tests/mutations/table.py

bench: .venv/.stamp ## measure into .bench/latest.json, and print a table
	$(BIN)/python tests/bench/run.py $(ARGS)

bench-fleet: .venv/.stamp ## measure whole fleets into .bench/fleet.json; ARGS=--quick takes a minute
	$(BIN)/python tests/bench/fleet.py $(ARGS)

demo: .venv/.stamp-run ## a fleet, a gateway, a bus, and one vendor broken before your eyes
	$(BIN)/doorfleet-sim demo $(ARGS)

schemas: .venv/.stamp ## write the generated schemas into config/
	$(BIN)/python -m gateway.schemas config/schemas && $(BIN)/python -m gateway.config_schema config/gateway.schema.json && $(BIN)/python -m fleet_sim.scenario_schema config/scenario.schema.json && $(BIN)/python -m fleet_sim.chaos.schema config/experiment.schema.json

wheel: .venv/.stamp ## build dist/*.whl
	$(BIN)/python -m hatchling build -t wheel -d dist

# From folders that hold tests and data and no code of ours: only the installed copy can be meant.
# The first is a user's: an empty project with nothing in it but the example of TESTING.md.
wheel-test: .venv/.stamp ## unit and contract tests, and the laws, against the built wheel instead of the checkout
	@rm -rf build && mkdir -p build/away && $(PYTHON) -m venv build/venv && $(BIN)/python -m hatchling build -t wheel -d build
	@build/venv/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r constraints.txt
	@build/venv/bin/python -m pip --disable-pip-version-check --quiet install --no-index "$$(echo build/*.whl)[sim,test]"
	build/venv/bin/doorfleet-gateway --help > /dev/null && build/venv/bin/doorfleet-sim --help > /dev/null
	@mkdir build/fresh && printf '[pytest]\n' > build/fresh/pytest.ini
	@awk '/^```python/ {on = 1; next} /^```/ {if (on) exit} on' TESTING.md > build/fresh/test_my_doors.py
	cd build/fresh && ../venv/bin/pytest
	cp -R tests config pyproject.toml *.md build/away
	cd build/away && DOORFLEET_TEST_INSTALLED=1 ../venv/bin/pytest $(TOGETHER) $(WHEEL_TESTS) \
	  --ignore tests/unit/test_tidy.py --ignore tests/unit/test_packaging.py \
	  --ignore tests/contract/test_vendor_laws.py $(ARGS)
	cd build/away && ../venv/bin/doorfleet-sim conform --all

.cluster/.stamp: tests/cluster/requirements.txt | .venv/.stamp
	@rm -rf .cluster && $(BIN)/python -m venv .cluster/venv
	@.cluster/venv/bin/python -m pip --disable-pip-version-check --quiet install -r $< && touch $@

# Ray and the built wheel in an environment of their own; the rest is .venv's.
cluster-test: .cluster/.stamp ## a Ray cluster of two nodes on this machine, one of them killed in the middle
	@rm -f .cluster/*.whl && $(BIN)/python -m hatchling build -t wheel -d .cluster
	@.cluster/venv/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --force-reinstall .cluster/*.whl
	@site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	  $(BIN)/python -c "$$site" > "$$(.cluster/venv/bin/python -c "$$site")/third_parties.pth"
	DOORFLEET_TEST_INSTALLED=1 .cluster/venv/bin/python -P -m pytest tests/integration/test_ray.py $(ARGS)

ci: ## what the continuous integration runs
	.ci/run

clean: ## remove everything that make made
	rm -rf .venv dist build .bench .cluster .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
