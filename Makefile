# tunrec needs only Go to be built. The tests also need the programs that
# judge what it writes; on Debian `make test` installs those that are missing.

GO        ?= go
TOOLS     = ip ping tshark capinfos editcap tcpdump zstd setpriv unshare mandoc systemd-analyze plistutil cron
PEERS     = tcpdump zstd dumpcap netsniff-ng
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
LINT      = honnef.co/go/tools/cmd/staticcheck@v0.8.2
VULN      = golang.org/x/vuln/cmd/govulncheck@v1.9.0

export CGO_ENABLED = 0

.PHONY: build test race cross lint vuln bench tools

build:
	$(GO) build -o tunrec ./cmd/tunrec

tools:
	scripts/install-tools $(TOOLS)

# The tests make their own network namespaces: they need root.
test: tools
	$(GO) test ./...

# The packages in which goroutines meet.
race:
	scripts/install-tools $(TOOLS) gcc
	CGO_ENABLED=1 $(GO) test -race ./recorder ./rotate ./tun ./replay ./extract ./internal/sdnotify ./cmd/tunrec

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
	mandoc -T lint -W warning docs/tunrec.1

vuln:
	$(GO) run $(VULN) ./...

# Needs root and a quiet machine, for about 25 minutes.
bench:
	scripts/install-tools $(PEERS)
	$(GO) run ./bench -bisect -out docs/benchmarks.md -summary README.md -svg docs/benchmarks.svg

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
