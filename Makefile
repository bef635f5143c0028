# make cluster: a cluster of machine containers on this computer.   make test: everything that CI runs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
CLUSTER := gardenadm-local
MACHINE := go run ./test/machine/cmd/machine
export PATH := $(PATH):/usr/local/go/bin

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: ## install what this computer lacks (Debian packages)
	@hack/setup

build: setup ## bin/gardenadm and .local/bundle.tar.zst
	@go run ./hack/build program gardenadm -o bin
	@go run ./hack/build program kubernetes etcd -o .local/programs
	@ln -sfn ../.local/programs/kubectl bin/kubectl
	@go run ./hack/build bundle -o .local/bundle
	@bin/gardenadm bundle create --images .local/bundle -o .local/bundle.tar.zst

arm64: ## bin/arm64/gardenadm and .local/bundle-arm64.tar.zst, cross-compiled
	@hack/setup build arm64
	@go run ./hack/build program gardenadm --platform linux/arm64 -o bin/arm64
	@go run ./hack/build bundle --platform linux/arm64 -o .local/bundle-arm64
	@go run ./hack/build program gardenadm -o bin
	@bin/gardenadm bundle create --images .local/bundle-arm64 --platform linux/arm64 -o .local/bundle-arm64.tar.zst

cluster: build ## a control plane node and WORKERS=1 workers; .local/kubeconfig works from here
	@hack/cluster up

cluster-down: ## remove the cluster and all that belongs to it
	@hack/cluster down

generate: ## rewrite generated docs
	@go run ./hack/docs

golden: ## rewrite golden files
	@UPDATE_GOLDEN=1 go test ./internal/... >/dev/null; git --no-pager diff --stat -- '*testdata*'

verify: setup ## format, vet, staticcheck, generated code, layers, unit tests with -race
	@hack/verify

integration-test e2e: build
	@go test -count=1 -timeout=60m ./test/...

test: verify e2e ## verify, then the stories on machine containers

chaos: build ## the long matrices: kills, power cuts and outages on fresh machines
	@GARDENADM_CHAOS=1 go test -count=1 -timeout=180m -v -run=Chaos ./test/e2e

bench: build ## figures of init, join, reset and the endpoint proxy
	@go test -count=1 -timeout=60m -run='^$$' -bench=. ./test/e2e
	@go test -count=1 -run='^$$' -bench=. ./internal/node/proxy

scale: ## 500 node agents in one process against a real API server: requests, memory, time of a change
	@hack/setup build
	@go run ./hack/build program kubernetes etcd -o .local/programs
	@GARDENADM_SCALE=500 go test -count=1 -timeout=60m -v -run=Scale ./test/scale

clean: cluster-down ## remove what was built here; the cache of programs stays
	@rm -rf bin .local

.PHONY: help setup build arm64 cluster cluster-down generate golden verify integration-test e2e test chaos bench scale clean
