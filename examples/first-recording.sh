#!/bin/sh
# A first recording: builds tunrec, records two pings and shows them.
# Run as root. Everything happens in a network namespace of its own, which is
# gone afterwards; what is missing of ping and tshark is installed (Debian).
set -eu
cd "$(dirname "$0")/.."
if [ "${1:-}" != inside ]; then
	scripts/install-tools ping tshark unshare
	CGO_ENABLED=0 go build -o tunrec ./cmd/tunrec
	exec unshare --net examples/first-recording.sh inside
fi

folder=$(mktemp -d)
echo "\$ tunrec -o $folder/capture.pcapng"
./tunrec -o "$folder/capture.pcapng" 2>"$folder/messages" &
recorder=$!
until grep -q '^tun0' /proc/net/route; do # the only device here
	kill -0 "$recorder" 2>/dev/null || { cat "$folder/messages"; exit 1; }
	sleep 0.1
done
echo '$ ping -c 2 10.1.0.20'
ping -c 2 -i 0.3 -W 0.3 10.1.0.20 || true # nobody answers
kill -INT "$recorder"
status=0
wait "$recorder" || status=$?
cat "$folder/messages"
echo "\$ tshark -r $folder/capture.pcapng.zst"
tshark -r "$folder/capture.pcapng.zst"
exit "$status"
