# Everything that is done often. The work itself is in small scripts, each of which says what it does.
.DEFAULT_GOAL := help
.PHONY: help demo build test test-faults check bench fuzz clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## play the main scenario against a real Envoy, then leave it running (ONCE=1: play it and exit)
	@echo '» building the demo'
	@cargo build -p portcullis-tests --bin demo
	@target/debug/demo $(if $(ONCE),--once)

build: ## dist/portcullis.wasm, dist/portcullis-session, dist/portcullis (and its manual pages), dist/envoy
	@filter/build.sh
	@envoy/fetch.sh
	@echo '» building the session service and the command-line tool'
	@cargo build --release -p portcullis-session -p portcullis-cli
	@mkdir -p dist && install target/release/portcullis-session target/release/portcullis dist/
	@dist/portcullis man --out dist/man

test: build ## unit, property and end-to-end tests
	@envoy/fetch.sh oldest
	cargo test --workspace
	PORTCULLIS_ENVOY=dist/envoy-1.36 cargo test -p portcullis-tests --test end_to_end main_job

test-faults: build tests/oauth/node_modules cli/tests/openapi/node_modules ## the slow end-to-end tests (latency, replacement), those beside real OAuth servers (Node 20, Debian's glewlwyd), public OpenAPI documents
	cargo test -p portcullis-cli --test cli openapi_documents -- --ignored --nocapture
	without=$$(tests/glewlwyd.sh) && cargo test -p portcullis-tests --test end_to_end -- --ignored --nocapture --test-threads 1 $$without
	@[ -d dist/glewlwyd ] || command -v glewlwyd >/dev/null || echo "» SKIPPED: the tests beside Debian's glewlwyd, see above"

tests/oauth/node_modules: tests/oauth/package-lock.json
	@echo '» fetching the authorization server of the tests'
	@cd tests/oauth && npm ci --silent && touch node_modules

cli/tests/openapi/node_modules: cli/tests/openapi/package-lock.json
	@echo '» fetching public OpenAPI documents (45 MB, 410 MB on the disk)'
	@cd cli/tests/openapi && npm ci --silent && touch node_modules

check: ## what CI checks beside the tests: format, lints, documentation, licences, advisories
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	filter/build.sh clippy
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps
	.ci/dependencies

bench: ## measure beside Envoy's own chain, some minutes (ROUNDS=3 SECONDS=2 for each cell, PARTS=main,cold,…)
	@tests/bench/tools.sh
	@$(MAKE) --no-print-directory build
	@tests/bench/build.sh
	@echo '» building the bench'
	@cargo build --release -p portcullis-bench
	@target/release/portcullis-bench --rounds $(or $(ROUNDS),3) --seconds $(or $(SECONDS),2) $(if $(PARTS),--parts $(PARTS))

fuzz: ## fuzz the parsers of policy, token, path and wire for a while (SECONDS=20 each)
	@tests/fuzz/run.sh $(or $(SECONDS),20)

clean: ## remove what was built, and the Envoy that was fetched
	cargo clean
	rm -rf dist tests/oauth/node_modules cli/tests/openapi/node_modules
