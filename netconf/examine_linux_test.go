package netconf

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// What stands in the way is found, in a namespace with eth0 (192.0.2.7/24) and a
// default route through it, and so is that nothing does.
func TestExamine(t *testing.T) {
	const forwards = "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
	for _, tt := range []struct {
		name, setup, device string
		addrs, routes       []string
		mtu, table          int
		want                []string // "topic: text" of each, "!" before a grave one's
	}{
		{name: "well", routes: []string{"198.18.0.0/15", "2001:db8:9::/48"}, setup: forwards,
			want: []string{"hops: packets that come from other hosts"}},
		{name: "no routes", setup: ""},
		{name: "no forwarding", routes: []string{"198.18.0.0/15"}, want: []string{"forwarding: the machine does not forward IPv4"}},
		{name: "no forwarding of IPv6", routes: []string{"2001:db8:9::/48"}, want: []string{"forwarding: the machine does not forward IPv6"}},
		{name: "no IPv6", routes: []string{"2001:db8:9::/48"}, setup: "sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
			want: []string{"forwarding: the machine does not forward IPv6", "!forwarding: IPv6 is switched off"}},
		{name: "strict, but the way back is the same", routes: []string{"198.18.0.0/15"},
			setup: forwards + "; sysctl -qw net.ipv4.conf.eth0.rp_filter=1", want: []string{"hops: "}},
		{name: "strict, and another way back", routes: []string{"198.18.0.0/15"},
			setup: forwards + "; ip route del default; sysctl -qw net.ipv4.conf.all.rp_filter=1",
			want:  []string{"rp_filter: eth0 drops what comes from hosts that no route through eth0 leads to", "hops: "}},
		{name: "strict, and all is taken", routes: []string{"0.0.0.0/0"},
			setup: forwards + "; sysctl -qw net.ipv4.conf.eth0.rp_filter=1",
			want:  []string{"rp_filter: eth0 drops what comes from hosts that are themselves routed into the device", "hops: "}},
		{name: "a rule before", routes: []string{"198.18.0.0/15"},
			setup: forwards + "; ip rule add to 198.18.0.0/15 lookup 77; ip route add default dev eth0 table 77",
			want:  []string{"!route: packets to 198.18.0.1, in 198.18.0.0/15, go to eth0 by a rule that looks into table 77", "hops: "}},
		{name: "a rule before for a part", routes: []string{"198.18.0.0/15"},
			setup: forwards + "; ip rule add to 198.19.0.0/16 lookup 77; ip route add default dev eth0 table 77",
			want:  []string{"route: packets to 198.19.255.254, in 198.18.0.0/15, go to eth0 by a rule", "hops: "}},
		{name: "no rule", routes: []string{"198.18.0.0/15"}, table: 78, setup: forwards,
			want: []string{"!route: no rule looks into table 78", "hops: "}},
		{name: "a rule", routes: []string{"198.18.0.0/15"}, table: 78, setup: forwards + "; ip rule add to 198.18.0.0/15 lookup 78",
			want: []string{"hops: "}},
		{name: "an address of the machine", routes: []string{"192.0.2.6/31"}, setup: forwards,
			want: []string{"route: packets to 192.0.2.7, in 192.0.2.6/31, stay here", "hops: "}},
		{name: "small MTU", addrs: []string{"10.1.0.10,10.1.0.20"}, mtu: 1400, want: []string{"mtu: packets of more than 1400 bytes"}},

		{name: "device", device: "t0", setup: forwards + "; ip link set t0 mtu 65535 up; ip route add 198.18.0.0/15 dev t0; ip -6 route add 2001:db8:9::/48 dev t0",
			want: []string{"hops: "}},
		{name: "device that nobody reads", device: "idle", setup: "ip tuntap add idle mode tun; ip link set idle up mtu 65535; ip addr add 10.1.0.10 peer 10.1.0.20 dev idle",
			want: []string{"device: nobody reads idle", "forwarding: "}},
		{name: "no tun device", device: "eth0", routes: []string{"198.18.0.0/15"}, setup: forwards,
			want: []string{"!device: eth0 is no tun device", "hops: ", "mtu: packets of more than 1500 bytes"}},
		{name: "device down", device: "t0", routes: []string{"198.18.0.0/15"}, setup: forwards + "; ip link set t0 mtu 65535",
			want: []string{"!device: t0 is down", "!route: packets to 198.18.0.1, in 198.18.0.0/15, go to eth0", "hops: "}},
		{name: "device without routes", device: "t0", setup: "ip link set t0 mtu 65535 up", want: []string{"!route: no route leads to t0"}},
		{name: "a longer route beside", device: "t0", setup: forwards + "; ip link set t0 mtu 65535 up; ip route add 198.18.0.0/15 dev t0; ip route add 198.18.7.0/24 dev eth0",
			want: []string{"route: 198.18.7.0/24 is routed to eth0, which comes before 198.18.0.0/15", "hops: "}},
		{name: "another table before", device: "t0", setup: forwards + "; ip link set t0 mtu 65535 up; ip route add 198.18.0.0/15 dev t0; ip rule add lookup 77; ip route add default dev eth0 table 77",
			want: []string{"!route: packets to 198.18.0.1, in 198.18.0.0/15, go to eth0 by table 77", "hops: "}},
		{name: "nowhere", device: "t0", routes: []string{"198.18.0.0/15"}, setup: forwards + "; ip link set t0 mtu 65535 up; ip route add blackhole 198.18.0.0/15",
			want: []string{"!route: packets to 198.18.0.1, in 198.18.0.0/15, go nowhere", "hops: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			connect(t)
			if tt.device == "t0" {
				newTUN(t, "t0")
			}
			sh(t, ": ; "+tt.setup)
			c := parseConfig(t, tt.addrs, tt.routes, tt.mtu)
			c.Table = tt.table
			before := snapshot(t)
			found, _, err := Examine(tt.device, c)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range found {
				text := o.Topic + ": " + o.Text
				if o.Grave {
					text = "!" + text
				}
				got = append(got, text)
			}
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			if after := snapshot(t); after != before {
				t.Error("it has changed something")
			}
		})
	}
}

// Of a device that exists, what leads there is found.
func TestExamineFindsDestinations(t *testing.T) {
	connect(t)
	newTUN(t, "t0")
	sh(t, "ip link set t0 up; ip addr add 10.1.0.10 peer 10.1.0.20 dev t0; ip route add 198.18.0.0/15 dev t0; ip -6 route add 2001:db8:9::/48 dev t0")
	_, to, err := Examine("t0", Config{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range to {
		got = append(got, p.String())
	}
	slices.Sort(got)
	if want := []string{"10.1.0.20/32", "198.18.0.0/15", "2001:db8:9::/48"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSamples(t *testing.T) {
	for prefix, want := range map[string]string{
		"192.0.2.0/24": "192.0.2.1 192.0.2.254", "192.0.2.4/31": "192.0.2.4 192.0.2.5", "192.0.2.4/32": "192.0.2.4",
		"0.0.0.0/1": "", "128.0.0.0/1": "128.0.0.1 255.255.255.254",
		"2001:db8::/32": "2001:db8::1 2001:db8:ffff:ffff:ffff:ffff:ffff:fffe", "8000::/1": "8000::1",
	} {
		var got []string
		for _, ip := range samples(netip.MustParsePrefix(prefix)) {
			got = append(got, ip.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", prefix, got, want)
		}
	}
}
