package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tunrec/tunrec/internal/load"
)

// TestMain puts the real command on the PATH of every test, and flood, which
// sends packets.
func TestMain(m *testing.M) {
	if os.Getenv("GORACE") == "" {
		// Each of the many processes would sleep a second at its end.
		os.Setenv("GORACE", "atexit_sleep_ms=10")
	}
	if strings.HasSuffix(os.Args[0], ".test") && signal.Ignored(syscall.SIGHUP) {
		// Under nohup, too, what the tests start has to hear it.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	testscript.Main(m, map[string]func(){"tunrec": main, "flood": flood, "tunrec-probe": probed})
}

// flood sends numbered UDP packets of random bytes to port 9 of an address.
func flood() {
	to := flag.String("to", "10.1.0.20", "destination `ADDRESS`")
	packets := flag.Uint64("n", 1, "`NUMBER` of packets")
	size := flag.Int("size", 1000, "payload `BYTES`")
	flag.Parse()
	addr, err := netip.ParseAddr(*to)
	if err == nil {
		_, err = load.Send(context.Background(), load.Config{
			Dst: netip.AddrPortFrom(addr, 9), Packets: *packets, PayloadBytes: *size, Random: true,
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}
