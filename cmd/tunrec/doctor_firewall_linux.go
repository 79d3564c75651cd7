package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
)

// firewall finds the chains that drop forwarded packets unless a rule says otherwise,
// as Docker's do. The programs that know are asked, as far as they are installed.
func firewall(inNamespace func(func() error) error, device string) (all []finding) {
	if device == "the device" {
		device = "DEVICE"
	}
	dropping := map[string]string{} // what mends it, by what is wrong
	err := inNamespace(func() error {
		for text, mend := range nftDrops(device) {
			dropping[text] = mend
		}
		for _, program := range []string{"iptables-legacy", "ip6tables-legacy"} {
			if policy, _, _ := strings.Cut(printed(program, "-S", "FORWARD"), "\n"); policy == "-P FORWARD DROP" {
				dropping[program+": chain FORWARD drops what no rule accepts"] = fmt.Sprintf("%s -I FORWARD -o %s -j ACCEPT", program, device)
			}
		}
		return nil
	})
	if err != nil {
		return []finding{note("", "%v", err)}
	}
	for _, text := range slices.Sorted(maps.Keys(dropping)) {
		all = append(all, note(dropping[text], "%s, also what comes from other hosts for the device", text))
	}
	return all
}

// nftDrops are the chains of nft(8) at the forward hook whose policy is drop.
func nftDrops(device string) map[string]string {
	var ruleset struct {
		Nftables []struct {
			Chain struct{ Family, Table, Name, Hook, Policy string }
		}
	}
	drops := map[string]string{}
	if json.Unmarshal([]byte(printed("nft", "-j", "list", "chains")), &ruleset) != nil {
		return drops // not installed, or not allowed
	}
	for _, o := range ruleset.Nftables {
		c := o.Chain
		if c.Hook == "forward" && c.Policy == "drop" {
			drops[fmt.Sprintf("nft: chain %s %s %s drops what no rule accepts", c.Family, c.Table, c.Name)] =
				fmt.Sprintf("nft insert rule %s %s %s oifname %s accept", c.Family, c.Table, c.Name, device)
		}
	}
	return drops
}

// printed is what a program prints, or "" where it fails.
func printed(program string, args ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), doctorPatience)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		return ""
	}
	return string(out)
}
