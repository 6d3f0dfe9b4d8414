.DEFAULT_GOAL := help
GOLANGCI_LINT_VERSION := v2.15.0
FUZZTIME ?= 5s
export GOFLAGS := $(GOFLAGS)

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

build: ## build all commands into bin/
	go build -trimpath -o bin/ ./cmd/...

test: ## run all tests with the race detector
	go test -race ./...

SEEDS ?= 2000
model: ## test whole systems without the race detector, which leaves no time for everything, with SEEDS (2000) random histories
	go test ./internal/systemtest -seeds $(SEEDS) -timeout 20m

CASES := ./bos/... ./clients/... ./operator/... ./cmd/bos-reporter ./internal/svctest
cases: ## tell which numbered cases of the specification pass; fail if one does not
	@go test -v $(CASES) 2>&1 | awk -f scripts/cases.awk

lint: ## gofmt, go vet and golangci-lint
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION) run ./...

generate: ## write the generated files again
	go generate ./...

generated: generate ## fail if a generated file was out of date
	git diff --exit-code --stat

tidy: ## fail if go.mod is not tidy
	go mod tidy -diff

# On a busy machine the fuzzer now and then runs into its own deadline; an input that fails is kept, and fails again.
fuzz: ## run every fuzz target for FUZZTIME (5s)
	@go list ./... | while read -r pkg; do \
	  for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$target"; \
	    run="go test -run ^$$ -fuzz ^$$target$$ -fuzztime $(FUZZTIME) $$pkg"; \
	    $$run || $$run || exit 1; \
	  done; done

bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchmem ./...

package: ## build the RPM and DEB packages of the reporter into dist/
	go run -C deploy/reporter . --out $(CURDIR)/dist

package-test: ## install, start, upgrade and remove the reporter's packages; as root
	go vet -C deploy/reporter ./...
	deploy/reporter/test-deb.sh
	deploy/reporter/test-boot.sh

.PHONY: help build test model cases lint generate generated tidy fuzz bench package package-test
