# make help says what there is.

MODULES := . bench cmd/gormcrypt examples integration_test keyring/cloudkeys keyring/vaultkeys rotationotel
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The race detector needs a C compiler. Without one, the tests run on an SQLite
# engine in Go, and without it.
CGO := $(shell go env CGO_ENABLED)
ifeq ($(CGO),1)
RACE := -race
endif

# A number of inputs, not a time: when the time is up, go test now and then calls
# the input that it just tried a failure.
FUZZTIME ?= 30000x
BENCHTIME ?= 5s
CHAINS ?= 100000

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: ## all tests, on SQLite and PostgreSQL, with the race detector
ifneq ($(CGO),1)
	@echo "no C compiler: without the race detector, and on an SQLite engine in Go"
endif
	go test $(RACE) ./...
	@echo "compiling a Vault core, which takes some minutes the first time"
	@cd keyring/vaultkeys/vaultserver && GOWORK=off GOFLAGS=-buildvcs=false go tool -n vaultserver >/dev/null
	@for module in cmd/gormcrypt keyring/cloudkeys keyring/vaultkeys rotationotel; do \
		echo "test $$module" && (cd $$module && go test $(RACE) ./...) || exit 1; \
	done
	cd examples && go test ./...
	cd integration_test && go test -count=1 $(RACE) ./... # some build programs, whose changes the cache does not see

.PHONY: soak
soak: ## the randomised tests at full size: CHAINS (100000) chains of calls on each database, rotations, keys that change under twenty processes, damage in 100,000 rows, killed processes, and migrations of a million rows
	cd integration_test && go test ./chains -rapid.checks=$(CHAINS) -timeout 3h
	go test ./internal/backfill -run TestSimulation -schedules=1000000 -timeout 1h
	cd integration_test && go test ./rotation -run 'TestKilled|TestNoWriteIsLost' -rotation.kills=100 -rotation.seeds=200 -timeout 2h
	cd integration_test && go test ./dbkeys -run TestManyProcesses -dbkeys.processes=20 -dbkeys.rounds=500 -timeout 1h
	cd integration_test && go test ./cli -cli.race -timeout 2h
	cd integration_test && go test ./fsck -run Planted -fsck.rows=100000 -timeout 1h
	cd integration_test && go test ./sqlitetable -run TestKilled -sqlitetable.kills=1000
	cd integration_test && go test ./migrations -run 'TestKilled|Agrees' -migrations.kills=100 -migrations.forms=100000 -timeout 2h
	cd integration_test && go test ./migrations -run Application -migrations.time=5s -timeout 2h
	cd integration_test && go test ./migrations -v -run 'TestLocksAreShort|TestSQLiteWritersWait' -migrations.rows=1000000 -timeout 2h

.PHONY: paths
paths: ## docs/gorm-paths.md anew, from what the conformance suite finds
	cd integration_test && go test $(RACE) -run '^TestConformance$$' -update

.PHONY: test-container
test-container: ## the integration tests on PostgreSQL in a container; as root it starts Docker
	integration_test/container/test.sh $(RACE)

.PHONY: lint
lint: ## gofmt, go vet and staticcheck, on every module
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt"; exit 1; }
	@for module in $(MODULES); do \
		echo "lint $$module" && (cd $$module && go vet ./... && $(STATICCHECK) ./...) || exit 1; \
	done

.PHONY: cover
cover: ## statement coverage by all tests together; fails below 90 %
	./cover.sh

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME inputs (30000x)
	@for package in . ./ciphertext ./examples/injector ./keyring ./manifest ./fsck ./internal/backfill ./internal/sqlitetable ./internal/sqltext; do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z]*' $$package/*_test.go | cut -c6-); do \
			go test $$package -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1000x || exit 1; \
		done; \
	done

.PHONY: man
man: ## the man pages of the command line, in build/man
	mkdir -p build/man && go run ./cmd/gormcrypt man build/man

.PHONY: bench
bench: ## what encryption costs, as ratios to the bare work and to plain columns
	go test . ./ciphertext -run '^$$' -bench .
	go test ./bench -run '^$$' -bench . -benchtime $(BENCHTIME) -timeout 20m

.PHONY: quickstart
quickstart: ## the example application
	go run ./examples/quickstart
