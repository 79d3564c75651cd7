package filter

// layer says where a protocol of the language stands on raw IP.
type layer uint8

const (
	layerAbsent     layer = iota // nowhere: arp
	layerLink                    // the beginning of the packet: ether, link
	layerIP                      // ip
	layerIP6                     // ip6
	layerTransport               // over IPv4 and IPv6: tcp
	layerTransport4              // over IPv4 only: icmp
	layerTransport6              // over IPv6 only: icmp6
)

// protocol is a protocol word of the language.
type protocol struct {
	name     string
	layer    layer
	number   uint32 // of the transport protocol
	bytes    bool   // name[offset] may be written
	hasPorts bool
}

var protocols = indexed([]protocol{
	{name: "link", layer: layerLink, bytes: true},
	{name: "ip", layer: layerIP, bytes: true},
	{name: "ip6", layer: layerIP6, bytes: true},
	{name: "tcp", layer: layerTransport, number: 6, bytes: true, hasPorts: true},
	{name: "udp", layer: layerTransport, number: 17, bytes: true, hasPorts: true},
	{name: "sctp", layer: layerTransport, number: 132, bytes: true, hasPorts: true},
	{name: "esp", layer: layerTransport, number: 50},
	{name: "ah", layer: layerTransport, number: 51},
	{name: "pim", layer: layerTransport, number: 103, bytes: true},
	{name: "icmp", layer: layerTransport4, number: 1, bytes: true},
	{name: "igmp", layer: layerTransport4, number: 2, bytes: true},
	{name: "igrp", layer: layerTransport4, number: 9, bytes: true},
	{name: "vrrp", layer: layerTransport4, number: 112, bytes: true},
	{name: "carp", layer: layerTransport4, number: 112, bytes: true},
	{name: "icmp6", layer: layerTransport6, number: 58, bytes: true},
	{name: "arp", bytes: true}, {name: "rarp", bytes: true},
	{name: "atalk", bytes: true}, {name: "decnet", bytes: true},
	{name: "lat", bytes: true}, {name: "sca", bytes: true},
	{name: "moprc", bytes: true}, {name: "mopdl", bytes: true},
	{name: "aarp"}, {name: "iso"}, {name: "clnp"}, {name: "esis"}, {name: "isis"},
	{name: "l1"}, {name: "l2"}, {name: "iih"}, {name: "lsp"}, {name: "snp"},
	{name: "csnp"}, {name: "psnp"}, {name: "stp"}, {name: "ipx"}, {name: "netbeui"},
	{name: "pppoed"},
})

func indexed(list []protocol) map[string]*protocol {
	index := make(map[string]*protocol, len(list))
	for i := range list {
		index[list[i].name] = &list[i]
	}
	return index
}

// etherTypes are the names after "ether proto"; all but IPv4's and IPv6's
// name what raw IP never carries.
var etherTypes = map[string]uint32{
	"ip": 0x0800, "ip6": 0x86dd, "arp": 0x0806, "rarp": 0x8035, "aarp": 0x80f3,
	"atalk": 0x809b, "decnet": 0x6003, "lat": 0x6004, "loopback": 0x9000,
	"mopdl": 0x6001, "moprc": 0x6002, "sca": 0x6007,
	"iso": 0xfe, "ipx": 0xe0, "netbeui": 0xf0, "stp": 0x42,
}

// refused are the words of pcap-filter(7) that raw IP has no use for.
var refused = words(`
	vlan mpls pppoes geneve gateway llc radio byte
	type subtype dir direction addr1 addr2 addr3 addr4 ra ta
	ifname on ifindex action reason rset ruleset rnr rulenum srnr subrulenum
	vpi vci lane oam oamf4 oamf4e oamf4s metac bcc sc ilmic connectmsg metaconnect
`)

// keywords leads from each word of the language to the word that it stands for.
var keywords = func() map[string]string {
	all := map[string]string{
		"ether": "link", "fddi": "link", "tr": "link", "wlan": "link", "ppp": "link", "slip": "link",
		"length": "len",
	}
	for _, w := range words(`and or not src dst host net mask port portrange proto protochain
		broadcast multicast less greater inbound outbound len`) {
		all[w] = w
	}
	for name := range protocols {
		all[name] = name
	}
	for _, w := range refused {
		all[w] = w
	}
	return all
}()

// constants are the words that stand for numbers: offsets, ICMP types (RFC
// 792, RFC 1256), ICMPv6 types (IANA, ICMPv6 "type" numbers) and TCP flags
// (RFC 9293 §3.1).
var constants = map[string]uint32{
	"icmptype": 0, "icmpcode": 1, "icmp6type": 0, "icmp6code": 1, "tcpflags": 13,

	"icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5,
	"icmp-echo": 8, "icmp-routeradvert": 9, "icmp-routersolicit": 10, "icmp-timxceed": 11,
	"icmp-paramprob": 12, "icmp-tstamp": 13, "icmp-tstampreply": 14, "icmp-ireq": 15,
	"icmp-ireqreply": 16, "icmp-maskreq": 17, "icmp-maskreply": 18,

	"icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3,
	"icmp6-parameterproblem": 4, "icmp6-echo": 128, "icmp6-echoreply": 129,
	"icmp6-multicastlistenerquery": 130, "icmp6-multicastlistenerreportv1": 131,
	"icmp6-multicastlistenerdone": 132, "icmp6-routersolicit": 133, "icmp6-routeradvert": 134,
	"icmp6-neighborsolicit": 135, "icmp6-neighboradvert": 136, "icmp6-redirect": 137,
	"icmp6-routerrenum": 138, "icmp6-nodeinformationquery": 139,
	"icmp6-nodeinformationresponse": 140, "icmp6-ineighbordiscoverysolicit": 141,
	"icmp6-ineighbordiscoveryadvert": 142, "icmp6-multicastlistenerreportv2": 143,
	"icmp6-homeagentdiscoveryrequest": 144, "icmp6-homeagentdiscoveryreply": 145,
	"icmp6-mobileprefixsolicit": 146, "icmp6-mobileprefixadvert": 147,
	"icmp6-certpathsolicit": 148, "icmp6-certpathadvert": 149,
	"icmp6-multicastrouteradvert": 151, "icmp6-multicastroutersolicit": 152,
	"icmp6-multicastrouterterm": 153,

	"tcp-fin": 1, "tcp-syn": 2, "tcp-rst": 4, "tcp-push": 8, "tcp-ack": 16,
	"tcp-urg": 32, "tcp-ece": 64, "tcp-cwr": 128,
}
