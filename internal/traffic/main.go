// Command traffic makes the captures of testdata/pcaps from real traffic:
//
//	go run ./internal/traffic -o testdata/pcaps
//
// It needs Linux, root and tcpdump. Two hosts, each a network namespace of its
// own, talk over a pair of TUN or TAP devices that this program joins, while
// tcpdump records one end. The namespaces have no names and belong to threads
// of this process: they are gone with it, whatever ends it.
//
// A way through the files: captures_linux.go (what is made), network_linux.go
// (hosts and wire), talks_linux.go, web_linux.go and ipv6_linux.go (the
// traffic), tcpdump_linux.go (recording it), store.go (the files).
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

// patience bounds all waiting; a run takes a few seconds.
const patience = time.Minute

func main() {
	dir := flag.String("o", "testdata/pcaps", "`directory` to write the captures and their README.md to")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "traffic: error:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return generate(ctx, dir)
}
