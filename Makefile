# What a person types. Everything here installs what it needs first (scripts/setup.sh); a second run finds it done.

CARGO ?= cargo
# Where cargo puts the programs.
BIN = $(abspath $(or $(CARGO_TARGET_DIR),target))/release
# Where the lab keeps its simulated platform and the demo its images.
DEMO_DIR ?= target/demo

.PHONY: help demo test bench soak build setup peers docs

help: ## Say what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## Install QEMU, OVMF, a kernel and the small tools from the distribution
	@scripts/setup.sh

peers: ## The same with libvirt, which tests and benchmarks compare with
	@scripts/setup.sh --peers

build: setup ## Build sevirt, the simulator and the lab's libraries
	@$(CARGO) build --release --locked --workspace

demo: build ## Launch an attested SEV guest, in the lab where there is no hardware
	@DEMO_DIR=$(DEMO_DIR) PATH="$(BIN):$$PATH" scripts/demo.sh

test: peers ## Run every test, the lab's included
	@$(CARGO) build --locked --workspace
	@$(CARGO) test --locked --workspace

bench: peers build ## Measure against the peers, in the same run
	@PATH="$(BIN):$$PATH" scripts/bench.sh

soak: build ## The long runs: an hour of each fuzzer, 500 kills of the daemon, ten lab starts in a row
	@PATH="$(BIN):$$PATH" scripts/soak.sh

docs: ## Write the generated pages anew
	@$(CARGO) run --locked --quiet --package xtask -- docs
