# Everything that is run in a checkout. Each target installs what it lacks and says so; `make help` lists them.

# Virtual environments, caches, the built artifact.
BUILD := $(CURDIR)/.build
# Other versions of PostgreSQL and pgBackRest. Not in the checkout, because the user postgres must be able to run them.
TOOLS_DIR ?= $(if $(filter 0,$(shell id -u)),/var/cache,$(HOME)/.cache)/pgops-pgbackrest
POSTGRESQL_VERSIONS ?= 11 18
PGBACKREST_SUITES ?= bookworm trixie forky
TIERS := lint unit integration molecule
PYTEST_ARGS ?=
SCENARIOS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=

COLLECTIONS := $(BUILD)/collections
COLLECTION := $(COLLECTIONS)/ansible_collections/pgops/pgbackrest
ANSIBLE := $(BUILD)/ansible
TESTS := $(BUILD)/tests
PACKAGES := postgresql pgbackrest python3-psycopg2
PYTEST := PYTHONPATH=$(COLLECTIONS) $(TESTS)/bin/python -m pytest -p no:cacheprovider

export LC_ALL := C.UTF-8
export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)
export ANSIBLE_HOME := $(BUILD)/ansible-home
export PGOPS_TOOLS_DIR := $(TOOLS_DIR)

# Ansible's own files go where both users of a play, root and postgres, may write, and do not stay.
define playbook
tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && chmod 1777 "$$tmp" && \
ANSIBLE_REMOTE_TMP=$$tmp ANSIBLE_DISPLAY_SKIPPED_HOSTS=false $(ANSIBLE)/bin/ansible-playbook -i localhost, $(1)
endef

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo demo-clean test lint unit integration molecule bench docs clean packages programs

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo demo-clean: export ANSIBLE_CALLBACK_RESULT_FORMAT := yaml
demo demo-clean: export ANSIBLE_DISPLAY_SKIPPED_HOSTS := no
demo: packages $(ANSIBLE)/installed $(COLLECTION) ## Show a point-in-time recovery on a throw-away PostgreSQL
	@$(call playbook,pgops.pgbackrest.demo $(DEMO_ARGS))

demo-clean: $(ANSIBLE)/installed $(COLLECTION) ## Remove what the demo made (Debian packages stay installed)
	@$(call playbook,pgops.pgbackrest.demo -e demo_state=absent $(DEMO_ARGS))

test: ## Run all tiers: lint, unit, integration, molecule (more with PGOPS_ALL_VERSIONS=1 PGOPS_ALL_RESTORES=1)
	@failed=0; \
	for tier in $(TIERS); do \
	    echo "== $$tier"; \
	    start=$$(date +%s); \
	    if $(MAKE) --no-print-directory $$tier; then verdict=passed; else verdict=FAILED; failed=1; fi; \
	    closing="$$closing$$tier: $$verdict in $$(($$(date +%s) - start)) s\n"; \
	done; \
	printf "$$closing"; \
	exit $$failed

lint: $(TESTS)/installed $(COLLECTION) ## Check the sources, the documentation and the built collection
	@tests/tools/packages.sh shellcheck
	@tests/tools/lint.sh $(BUILD)

unit: $(TESTS)/installed $(COLLECTION) ## Test functions and modules without PostgreSQL or pgBackRest
	@$(PYTEST) -n auto tests/unit $(PYTEST_ARGS)

# One more at a time than there are processors: these tests wait a third of their time.
integration: packages programs $(TESTS)/installed $(COLLECTION) ## Test with real clusters and several versions
	@$(PYTEST) -n $$(($$(nproc) + 1)) tests/integration $(PYTEST_ARGS)

molecule: $(BUILD)/hosts/installed $(COLLECTION) ## Test whole plays on hosts with systemd (in Docker; SCENARIOS="single tls" for some)
	@tests/tools/molecule.sh $(BUILD) $(SCENARIOS)

bench: packages programs $(BUILD)/bench/installed $(BUILD)/hosts/installed $(COLLECTION) ## Measure, and write docs/benchmarks.md (BENCH_ARGS="--help" lists parts and options)
	@tests/tools/packages.sh barman openssh-server rsync zstd
	@PYTHONPATH=$(COLLECTIONS) $(BUILD)/bench/bin/python -m ansible_collections.pgops.pgbackrest.tests.bench $(BENCH_ARGS)

docs: $(TESTS)/installed $(COLLECTION) ## Make the documentation site from the guides, modules, filters and roles
	@tests/tools/docs.sh $(BUILD)

clean: ## Remove what these targets built and downloaded (Debian packages stay installed)
	@tests/tools/docker.sh stop
	@tests/tools/fetch_programs.sh remove
	rm -rf $(BUILD)

packages:
	@tests/tools/packages.sh $(PACKAGES)

programs:
	@tests/tools/fetch_programs.sh postgresql $(POSTGRESQL_VERSIONS)
	@tests/tools/fetch_programs.sh pgbackrest $(PGBACKREST_SUITES)

$(BUILD)/%/installed: tests/requirements/%.txt tests/requirements/ansible.txt
	@tests/tools/venv.sh $(BUILD)/$* $<
	@touch $@

$(COLLECTION):
	@mkdir -p $(dir $@)
	@ln -sfn $(CURDIR) $@
