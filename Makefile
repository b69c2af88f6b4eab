# sluice: `make help` lists what there is. Everything needs Go and make alone;
# the race detector is used where a C compiler is there for it.

GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
RACE    := $(shell command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)
FUZZTIME ?= 20s
SOAK     ?= 30m
BENCHFLAGS ?=
HUGO     ?= $(shell command -v hugo || echo $(GO) run github.com/gohugoio/hugo@v0.111.3)

# Consul is what the tests talk to; it is built once from tools/, a module of
# its own.
CONSUL      := $(CURDIR)/bin/consul
STATICCHECK := $(CURDIR)/bin/staticcheck
GOTESTSUM   := $(CURDIR)/bin/gotestsum

# $(call gotest,FLAGS,PACKAGES) is `go test`. With RERUN=1, which is for machines
# that others use too, a test that fails is run once more by itself, and the
# names of those that passed then are printed at the end: they are to be mended.
# A data race and more than six failures are final.
ifdef RERUN
gotest = rm -f $(FLAKY); $(GOTESTSUM) --format pkgname-and-test-fails --format-icons text --hide-summary skipped \
	  --rerun-fails=1 --rerun-fails-max-failures=6 --rerun-fails-abort-on-data-race --rerun-fails-run-root-test \
	  --rerun-fails-report=$(FLAKY) --packages='$(2)' -- $(1) && if [ -f $(FLAKY) ]; then cat $(FLAKY); fi
FLAKY  := $(CURDIR)/bin/flaky.txt
else
gotest = $(GO) test $(1) $(2)
endif

.DEFAULT_GOAL := help
.PHONY: help build run test race soak lint simulate fuzz check docs site bench bench-quick microbench pgo release clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/sluice and bin/echo, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/sluice ./cmd/echo

run: build ## run the demo: HTTP on 8080, TCP on 8081, admin on 9900
	@bin/sluice --demo --log-format=text

test: $(CONSUL) $(if $(RERUN),$(GOTESTSUM)) ## run all tests, with the race detector where it can run; SLUICE_GARBAGE_TIME=1m feeds sources garbage for longer
	SLUICE_TEST_CONSUL=$(CONSUL) $(call gotest,$(RACE) -shuffle=on -timeout 10m,./...)
	$(if $(RACE),$(call gotest,-run 'Alloc|NotAllocate|AllocateNothing|Shares|InNoise|HashMany|Simulation' -timeout 5m,./pkg/... ./l7/...)) # what the detector distorts or slows down
	$(MAKE) portable
	cd bench && $(call gotest,-timeout 5m,./...)
	cd tools/ecs && $(call gotest,-timeout 5m,./...)
	cd tools/browser && $(call gotest,-timeout 10m,./...)
	cd tools/h2 && $(call gotest,-timeout 10m,./...)

portable: $(if $(RERUN),$(GOTESTSUM)) ## run the tests of what other systems than Linux get: event loops without sockets of their own
	$(call gotest,-tags portable -timeout 10m,./l4/... ./l7/... ./pkg/listen ./pkg/preface ./pkg/pump ./pkg/reactor ./pkg/tcp)

race: $(CONSUL) ## run all tests three times with the race detector; needs a C compiler
	SLUICE_TEST_CONSUL=$(CONSUL) $(GO) test -race -shuffle=on -count=3 -timeout 20m ./...

soak: $(CONSUL) ## clients and faults of all kinds at once, with the race detector, for SOAK (30m); needs a C compiler
	SLUICE_TEST_CONSUL=$(CONSUL) SLUICE_SOAK=$(SOAK) $(GO) test -run '^TestSoak$$' -v -timeout 6h ./cmd/sluice

lint: $(STATICCHECK) ## gofmt, go vet (Linux and macOS) and staticcheck
	@unformatted=$$(gofmt -l cmd deploy discovery docs engine pkg l4 l7 bench tools); if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	$(GO) vet -tags portable ./...
	$(STATICCHECK) ./...
	cd bench && $(GO) vet ./... && $(STATICCHECK) ./...
	cd tools/ecs && $(GO) vet ./... && $(STATICCHECK) ./...
	cd tools/browser && $(GO) vet ./... && $(STATICCHECK) ./...
	cd tools/h2 && $(GO) vet ./... && $(STATICCHECK) ./...

simulate: ## run 2000 worlds of backends in trouble, see pkg/health/simulation_test.go
	SLUICE_SIM_SEEDS=2000 $(GO) test -run '^TestSimulation$$' -v -timeout 20m ./pkg/health

fuzz: ## run every fuzz target for FUZZTIME (20s)
	@set -e; grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r f; do \
	  for t in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' $$f); do \
	    echo "$$t in $$(dirname $$f)"; $(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$f); \
	  done; done

check: lint test ## what CI runs

docs: ## write what of the manual is made of the help of flags and metrics
	SLUICE_UPDATE_DOCS=1 $(GO) test -run '^TestReadmeParts$$' ./cmd/sluice

site: ## build the manual as a static site into dist/site, with Hugo: that of PATH, or else by Go, which takes minutes once
	$(HUGO) --source docs/site --destination $(CURDIR)/dist/site --noBuildLock --cleanDestinationDir

release: ## build what a release has into dist/: archives, Debian packages, SBOMs, checksums; the same bytes each time
	VERSION=$(VERSION) deploy/release.sh

bench: build bin/bench ## compare with HAProxy and nginx in full; options in BENCHFLAGS, see bench/README.md
	bin/bench $(BENCHFLAGS)

bench-quick: build bin/bench ## the same in about two minutes
	bin/bench --quick $(BENCHFLAGS)

microbench: bin/bench ## run the Go benchmarks and compare with the last committed result
	bin/bench microbench $(BENCHFLAGS)

pgo: build bin/bench ## refresh the profile that the compiler optimises for
	bin/bench pgo --to cmd/sluice/default.pgo

clean: ## remove what was built
	rm -rf bin dist

bin/bench: FORCE
	$(GO) -C bench build -o ../bin/bench .

FORCE:

$(CONSUL): tools/go.mod tools/go.sum
	cd tools && $(GO) build -o $@ github.com/hashicorp/consul

$(STATICCHECK): tools/go.mod tools/go.sum
	cd tools && $(GO) build -o $@ honnef.co/go/tools/cmd/staticcheck

$(GOTESTSUM): tools/go.mod tools/go.sum
	cd tools && $(GO) build -o $@ gotest.tools/gotestsum
