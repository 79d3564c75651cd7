#!/bin/sh
# Records what a program sends: runs it in a network namespace of its own, where
# every packet is routed into the recorder. Nothing leaves the machine, and nobody
# answers.
#
#     sudo examples/record-command.sh FILE.pcapng PROGRAM [ARGUMENT…]
#
# The program runs as the user who called sudo. The script ends with the program's
# exit code or, where that is 0, the recorder's. It needs util-linux and tunrec: in
# $TUNREC, in the PATH or in the folder above this one.
set -eu

if [ "${1:-}" != --inside ]; then
	[ $# -ge 2 ] || { echo "usage: $0 FILE.pcapng PROGRAM [ARGUMENT…]" >&2; exit 2; }
	exec unshare --net sh "$0" --inside "$@"
fi
file=$2
shift 2
tunrec=${TUNREC:-$(command -v tunrec || echo "$(dirname "$0")/../tunrec")}

# Signals that a terminal sends are the program's: the script goes on to its end.
trap : HUP INT QUIT TERM
messages=$(mktemp)
trap 'rm -f "$messages"' EXIT

# A new namespace's loopback is down. Few programs mind, fewer machines lack ip.
! command -v ip >/dev/null || ip link set lo up

ipv6=
[ ! -e /proc/net/if_inet6 ] || ipv6='--addr fd00::10,fd00::20 --route ::/0'

# The recorder is out of the terminal's reach, and ends when this shell does,
# whatever ends it.
# shellcheck disable=SC2086 # ipv6 is to be split
setsid setpriv --pdeathsig TERM "$tunrec" -o "$file" -i tunrec0 \
	--addr 10.1.0.10,10.1.0.20 $ipv6 --route 0.0.0.0/0 2>"$messages" &
recorder=$!

recorded=0
finish() {
	trap '' HUP INT QUIT TERM
	kill -INT "$recorder" 2>/dev/null || true # it may have ended by itself
	wait "$recorder" || recorded=$?
	cat "$messages" >&2
}

# The route is the last thing that the recorder sets up; from then on packets
# wait for it.
until grep -q '^tunrec0[[:space:]]*00000080' /proc/net/route; do
	kill -0 "$recorder" 2>/dev/null || { finish; exit "$recorded"; }
	sleep 0.1
done

if [ -n "${SUDO_UID:-}" ]; then
	home=$(getent passwd "$SUDO_UID" | cut -d: -f6)
	set -- env HOME="$home" USER="$SUDO_USER" LOGNAME="$SUDO_USER" "$@"
	set -- setpriv --reuid "$SUDO_UID" --regid "$SUDO_GID" --init-groups "$@"
fi
status=0
"$@" || status=$?

finish
[ "$status" -ne 0 ] || status=$recorded
exit "$status"
