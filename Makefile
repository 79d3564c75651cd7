# tunrec needs only Go to be built. The tests also need the programs that
# judge what it writes; on Debian `make test` installs those that are missing.

GO        ?= go
TOOLS     = ip ping tshark capinfos editcap tcpdump zstd setpriv unshare nft mandoc systemd-analyze plistutil cron
PEERS     = tcpdump zstd dumpcap netsniff-ng
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
LINT      = honnef.co/go/tools/cmd/staticcheck@v0.8.2
VULN      = golang.org/x/vuln/cmd/govulncheck@v1.9.0

export CGO_ENABLED = 0

.PHONY: build reproduce test quick long race cross lint vuln bench tools

# The same source gives the same bytes, wherever it is built. On macOS that is a
# position-independent executable. On Linux Go makes one without cgo, too, but only one
# that the system's C library has to load (ld-linux.so): it would not be static any more.
build:
	$(GO) build -trimpath -o tunrec ./cmd/tunrec

# Builds twice, in two folders and without the results of earlier builds, and compares.
reproduce:
	set -e; d=$$(mktemp -d); trap 'chmod -R u+w "$$d"; rm -rf "$$d"' EXIT; \
	mkdir "$$d/elsewhere"; git ls-files -z | tar -c --null -T - | tar -x -C "$$d/elsewhere"; \
	$(GO) build -trimpath -buildvcs=false -o "$$d/a" ./cmd/tunrec; \
	cd "$$d/elsewhere"; GOCACHE="$$d/cache" $(GO) build -trimpath -buildvcs=false -o "$$d/b" ./cmd/tunrec; \
	cmp "$$d/a" "$$d/b"; echo "both builds: $$(sha256sum <"$$d/a")"

tools:
	scripts/install-tools $(TOOLS)

# Many tests wait, for a device, a process or the clock: more packages and more
# scripts run at a time than there are processors. The limit is for what hangs:
# a package takes two minutes at the most. make lint vets.
GOTEST = $(GO) test -vet=off -timeout 30m -parallel 8 -p $$(($$(getconf _NPROCESSORS_ONLN) + 2))

# The tests make their own network namespaces: they need root. The short rows of the
# fault matrix are a part of them.
test: tools
	$(GOTEST) ./...
	$(MAKE) torture-short

# What needs no root, in a minute: the files and the names, filters, addresses.
# The random tests try less, and those that take longest are left out.
SLOW = TestFormats|TestCutChunk|TestJoinedChunks|TestChunkSizes|TestNoiseCosts|TestManyChunks|TestRepairPcap|TestRepairJudged|TestOpenFlipped|TestVerifyCut
PURE = Numbered|Pattern|Interval|Parse|Validate|Policy|Faults|Route|Pair|Carve|Pieces
quick:
	$(GOTEST) -short -skip '$(SLOW)' ./capfile ./extract ./filter ./pcapng ./internal/sdnotify ./internal/zstdblock
	$(GOTEST) -short -run '$(PURE)' -skip 'TestDefaultPair' ./rotate ./netconf

# The random tests, with many times as many tries: about an hour.
long: tools
	TUNREC_CHUNKS=200 TUNREC_CUTS=10000 TUNREC_FLIPS=10000 \
	TUNREC_FILTER_EXPRESSIONS=20000 TUNREC_FILTER_PACKETS=20000 \
	$(GO) test -vet=off -timeout 6h -v -run 'Repair|Verify|Differential' ./capfile ./filter

# The packages in which goroutines meet. More tries of the same find no more
# races, so the random tests are short; the doctor measures disks, one after the
# other, and ranges of time are extracted in extract, too. What an intruder can do is
# told of the build without cgo, which needs fewer system calls.
race:
	scripts/install-tools $(TOOLS) gcc
	CGO_ENABLED=1 $(GOTEST) -short -race -skip 'TestScripts/(doctor|help|usage)$$|TestSliceRanges|TestIntruder' \
		./recorder ./rotate ./tun ./replay ./extract ./internal/sdnotify ./cmd/tunrec

cross:
	set -e; for p in $(PLATFORMS); do \
		echo "build and vet $$p"; \
		GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -o /dev/null ./cmd/tunrec; \
		GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) vet ./...; \
	done

lint:
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) run $(LINT) ./...
	cd torture && $(GO) vet ./...
	mandoc -T lint -W warning docs/tunrec.1

vuln:
	$(GO) run $(VULN) ./...

# Needs root and a quiet machine, for about 25 minutes.
bench:
	scripts/install-tools $(PEERS)
	$(GO) run ./bench -bisect -out docs/benchmarks.md -summary README.md -svg docs/benchmarks.svg

# The fault matrix, a module of its own: torture-short is what test runs of it, torture
# all, about half an hour, by which docs/RELIABILITY.md is written. Both build what
# they try themselves, which go's cache of results does not see: hence -count 1.
TORTURE_TOOLS = ip capinfos tshark unshare setpriv prlimit taskset mkfs.btrfs mkfs.ext4 mkfs.xfs

.PHONY: torture torture-short

torture-short:
	scripts/install-tools ip capinfos tshark unshare setpriv prlimit taskset
	cd torture && $(GO) test -vet=off -count 1 -timeout 30m ./...

torture:
	scripts/install-tools $(TORTURE_TOOLS)
	cd torture && $(GO) test -count 1 -long -timeout 0

# Boots kernels in QEMU, without KVM: two to five minutes each. docs/kernels.md has what
# came of it.
.PHONY: kernels systemd-vm
kernels:
	scripts/install-tools $(VMTOOLS) qemu-system-aarch64 tshark capinfos
	scripts/vm/kernels

systemd-vm:
	scripts/install-tools $(VMTOOLS) mmdebstrap mke2fs tshark capinfos
	scripts/vm/systemd

VMTOOLS = qemu-system-x86_64 cpio xz dpkg-deb
