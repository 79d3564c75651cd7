// Send sends numbered UDP packets as fast as it can, and prints how many the kernel
// has taken: send ADDRESS:PORT PACKETS
package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"github.com/tunrec/tunrec/internal/load"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "send: error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: send ADDRESS:PORT PACKETS")
	}
	to, err := netip.ParseAddrPort(args[0])
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	r, err := load.Send(context.Background(), load.Config{Dst: to, Packets: n, PayloadBytes: 100})
	if err != nil {
		return err
	}
	fmt.Println(r.Sent)
	return nil
}
