# Two commands: `make up` and `make test`. The rest is listed by `make help`.
NETWORK ?= lab
SEEDS ?= 1000
SECONDS ?= 600
ROUNDS ?= 1
provchain = .venv/bin/provchain

.PHONY: help setup up down demo status verify plan test quick bench simulate fuzz explore

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## install what this machine needs
	@tools/bootstrap

up: setup ## provision, install, start and prove the network
	@$(provchain) up --network $(NETWORK)

down: setup ## remove the network, leaving nothing behind
	@$(provchain) down --network $(NETWORK) --yes

demo: setup ## submit the example objects and read them back with proofs
	@$(provchain) demo --network $(NETWORK)

status verify plan: setup
	@$(provchain) $@ --network $(NETWORK)

test: setup ## pass the whole suite, lab included, on the network ci
	@tools/test

quick: setup ## pass the tests that need no lab
	@tools/test quick

bench: setup ## print the benches' JSON
	@tools/bench

simulate: setup ## run the consensus simulator over SEEDS seeds
	@PYTHONPATH=node .venv/bin/python -m tests.simulation.run --seeds $(SEEDS) --jobs $$(nproc)

fuzz: setup ## fuzz the node's decoders and its RPC for SECONDS
	@tools/fuzz --seconds $(SECONDS)

explore: setup ## try all that four validators, one Byzantine, can come to in ROUNDS and one rounds
	@PYTHONPATH=node .venv/bin/python -m tests.model.run --rounds $(ROUNDS)
