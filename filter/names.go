package filter

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// resolveTimeout bounds the wait for name servers.
const resolveTimeout = 10 * time.Second

// service is the port of a name, for each protocol that has one; -1 without.
type service struct{ tcp, udp int }

// names are the tables of services(5) and protocols(5).
type names struct {
	services  map[string]service
	protocols map[string]uint32
}

// systemNames are this system's names; files that cannot be read are replaced
// by the built-in ones. They are read once, when a name is first asked for.
var systemNames = sync.OnceValue(func() *names {
	return parseNames(readOr("/etc/services", builtinServices), readOr("/etc/protocols", builtinProtocols))
})

// maxNamesFile is many times what any system has: these are read as root.
const maxNamesFile = 8 << 20

// readOr reads a file of names. One that is none, or too long to be one, is as good as
// none: a FIFO would never end.
func readOr(path, fallback string) string {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxNamesFile {
		return fallback
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fallback
	}
	return string(content)
}

// parseNames reads the two files: a line has a name, a number, and aliases.
// The first entry for a name and protocol holds.
func parseNames(services, protocols string) *names {
	n := &names{services: map[string]service{}, protocols: map[string]uint32{}}
	eachEntry(services, func(name, number string) {
		digits, protocol, _ := strings.Cut(number, "/")
		port, err := strconv.ParseUint(digits, 10, 16)
		if err != nil {
			return
		}
		s, known := n.services[name]
		if !known {
			s = service{tcp: -1, udp: -1}
		}
		switch {
		case protocol == "tcp" && s.tcp < 0:
			s.tcp = int(port)
		case protocol == "udp" && s.udp < 0:
			s.udp = int(port)
		}
		n.services[name] = s
	})
	eachEntry(protocols, func(name, number string) {
		v, err := strconv.ParseUint(number, 10, 32)
		if _, known := n.protocols[name]; err == nil && !known {
			n.protocols[name] = uint32(v)
		}
	})
	return n
}

func eachEntry(file string, entry func(name, number string)) {
	for line := range strings.Lines(file) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		entry(fields[0], fields[1])
		for _, alias := range fields[2:] {
			entry(alias, fields[1])
		}
	}
}

func (n *names) serviceNames() []string  { return slices.Sorted(maps.Keys(n.services)) }
func (n *names) protocolNames() []string { return slices.Sorted(maps.Keys(n.protocols)) }

// lookupHost asks the system's resolver for the addresses of a host.
func lookupHost(name string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, fmt.Errorf("unknown host %q: %w", name, err)
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs), nil
}

// lookupNetwork finds the number of a network in networks(5): 127 where the
// file says 127, 0x7f000000 where it says 127.0.0.0.
func lookupNetwork(name string) (number uint32, known bool) {
	eachEntry(readOr("/etc/networks", ""), func(n, digits string) {
		if n != name || known {
			return
		}
		known = true
		for octet := range strings.SplitSeq(digits, ".") {
			v, err := strconv.ParseUint(octet, 10, 8)
			known = known && err == nil
			number = number<<8 | uint32(v)
		}
	})
	return number, known
}

func words(s string) []string { return strings.Fields(s) }

const builtinProtocols = `
ip 0 IP
icmp 1 ICMP
igmp 2 IGMP
ipencap 4 IP-ENCAP
tcp 6 TCP
egp 8 EGP
igp 9 IGP
udp 17 UDP
dccp 33 DCCP
ipv6 41 IPv6
ipv6-route 43 IPv6-Route
ipv6-frag 44 IPv6-Frag
rsvp 46 RSVP
gre 47 GRE
esp 50 IPSEC-ESP
ah 51 IPSEC-AH
ipv6-icmp 58 IPv6-ICMP
ipv6-nonxt 59 IPv6-NoNxt
ipv6-opts 60 IPv6-Opts
eigrp 88 EIGRP
ospf 89 OSPFIGP
ipip 94 IPIP
pim 103 PIM
ipcomp 108 IPCOMP
vrrp 112 VRRP
l2tp 115 L2TP
sctp 132 SCTP
udplite 136 UDPLite
`

const builtinServices = `
echo 7/tcp
echo 7/udp
discard 9/tcp
discard 9/udp
ftp-data 20/tcp
ftp 21/tcp
ssh 22/tcp
telnet 23/tcp
smtp 25/tcp mail
time 37/tcp
time 37/udp
whois 43/tcp nicname
domain 53/tcp
domain 53/udp
bootps 67/udp
bootpc 68/udp
tftp 69/udp
http 80/tcp www
kerberos 88/tcp
kerberos 88/udp
pop3 110/tcp
sunrpc 111/tcp
sunrpc 111/udp
nntp 119/tcp
ntp 123/udp
imap2 143/tcp imap
snmp 161/tcp
snmp 161/udp
snmp-trap 162/tcp snmptrap
snmp-trap 162/udp snmptrap
bgp 179/tcp
ldap 389/tcp
ldap 389/udp
https 443/tcp
https 443/udp
microsoft-ds 445/tcp
isakmp 500/udp
shell 514/tcp
syslog 514/udp
submission 587/tcp
ldaps 636/tcp
domain-s 853/tcp
domain-s 853/udp
imaps 993/tcp
pop3s 995/tcp
socks 1080/tcp
openvpn 1194/tcp
openvpn 1194/udp
ms-sql-s 1433/tcp
nfs 2049/tcp
nfs 2049/udp
mysql 3306/tcp
ms-wbt-server 3389/tcp
stun 3478/udp
ipsec-nat-t 4500/udp
sip 5060/tcp
sip 5060/udp
mdns 5353/udp
postgresql 5432/tcp
amqp 5672/tcp
x11 6000/tcp
redis 6379/tcp
http-alt 8080/tcp
`
