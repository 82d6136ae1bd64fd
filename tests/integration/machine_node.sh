#!/usr/bin/env bash
# steppe-node in namespaces of the test's own: a real dhcpcd asks a real dnsmasq over pairs of links, without a script; sources of configuration.
set -uo pipefail
[ "${1:-}" = inside ] || exec unshare --net --mount --uts "$0" inside
. "$(dirname "$0")/lib.sh"
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$work"; exit $((failures > 0))' EXIT
[ "$(id -u)" = 0 ] || { printf 'SKIPPED machine_node: network namespaces need root\n'; exit 0; }
mount -t tmpfs tmpfs /run; mkdir -p /run/server
mount -t tmpfs tmpfs /var/lib 2>/dev/null || true; mkdir -p /var/lib/dhcpcd

# The other end of each link is in a namespace that a sleeping process keeps.
unshare --net sleep 600 & server=$!
serve() { nsenter --net=/proc/$server/ns/net "$@"; }
until_text "the server's side is there" 'lo' serve ip link
for number in 0 1; do
  ip link add "eth$number" type veth peer name "far$number"
  ip link set "far$number" netns $server
  serve ip addr add "192.168.7$number.1/24" dev "far$number"; serve ip link set "far$number" up
done
dns() { nsenter --net=/proc/$server/ns/net dnsmasq --no-daemon --port=0 --user=root --pid-file= --bind-interfaces --dhcp-leasefile="/run/server/leases$1" --interface="far$1" \
  --dhcp-range="192.168.7$1.50,192.168.7$1.59,2m" --dhcp-option="option:router,192.168.7$1.1" --dhcp-option="option:dns-server,192.168.7$1.1" \
  --dhcp-option="option:domain-name,$2" >"/run/server/log$1" 2>&1 & }

mkdir -p /run/sources/{proc,sys/firmware/qemu_fw_cfg/by_name/opt/steppe/config}
echo 'console=ttyS0 steppe.hostname=rig-7' >/run/sources/proc/cmdline
document=/run/sources/sys/firmware/qemu_fw_cfg/by_name/opt/steppe/config/raw
printf 'version = 1\nagent {\n  log_level = "DEBUG"\n}\n' >$document

# One server is there from the start, the other only later: the first lease serves meanwhile.
dns 0 zero.test
"$bin/steppe-node" machine -root /run/sources -agent "$bin/steppe" -run /run/node -kind veth >"$work/node.log" 2>&1 & node=$!
until_text "eth0 has its address" 'inet 192\.168\.70\.5[0-9]/24' ip addr show eth0
until_text "and the default route" '^default via 192\.168\.70\.1 dev eth0' ip route
until_text "resolv.conf has the lease's server" '^nameserver 192\.168\.70\.1$' cat /run/node/network/resolv.conf.d/resolv.conf
until_text "and its domain" '^search zero\.test$' cat /run/node/network/resolv.conf.d/resolv.conf
expect_text "loopback is up" 'UNKNOWN +127\.0\.0\.1/8' ip -br addr show lo
dns 1 'one.test'
until_text "eth1 gets its own when its server comes" 'inet 192\.168\.71\.5[0-9]/24' ip addr show eth1
until_text "its server is added" '^nameserver 192\.168\.71\.1$' cat /run/node/network/resolv.conf.d/resolv.conf
expect_text "in order" '^nameserver 192.168.70.1,nameserver 192.168.71.1,search zero.test one.test,$' bash -c "tr '\n' ',' </run/node/network/resolv.conf.d/resolv.conf"

# A device that is plugged in later.
ip link add eth2 type veth peer name far2; ip link set far2 netns $server; serve ip addr add 192.168.72.1/24 dev far2; serve ip link set far2 up
dns 2 two.test
until_text "a device that comes later is asked for too" 'inet 192\.168\.72\.5[0-9]/24' ip addr show eth2
expect_text "the others kept theirs" 'inet 192\.168\.70\.5[0-9]/24' ip addr show eth0

# dhcpcd that dies is started again.
before=$(pgrep -P $node | head -n 1)
kill -KILL "$before"
until_text "dhcpcd runs again" '^[0-9]+$' bash -c "pgrep -P $node | grep -vx '$before'"

# What the machine was told became the agent's configuration; what the agent refuses is said, and left out.
expect_text "the agent's configuration is one that it takes" '^10-image.hcl 20-machine.hcl 30-agent.hcl $' bash -c "ls /run/node/agent.d | tr '\n' ' '"
expect "as the agent itself says" "$bin/steppe" config validate /run/node/agent.d
expect_text "the host name is set" '^rig-7$' uname -n
kill -TERM $node; wait $node; code=$?
[ $code = 0 ] && ok "it ends on SIGTERM" || bad "it ends on SIGTERM with $code"
expect_text "addresses stay" 'inet 192\.168\.70\.5[0-9]/24' ip addr show eth0
until_text "no dhcpcd is left" '^0$' bash -c "ip addr show eth0 >/dev/null; pgrep -f '[d]hcpcd.* -f /run/node/network/' | while read -r pid; do [ /proc/\$pid/ns/net -ef /proc/self/ns/net ] && echo \$pid; done | wc -l"

printf 'version = 1\nagent {\n  log_levle = "DEBUG"\n}\n' >$document
"$bin/steppe-node" machine -root /run/sources -agent "$bin/steppe" -run /run/again -kind veth >"$work/again.log" 2>&1 & node=$!
until_text "an agent block that the agent refuses is named" 'configuration, agent block: fault=.*log_levle' cat "$work/again.log"
until_text "and nothing else says where the machine belongs: it waits for a configuration" 'maintenance mode' cat "$work/again.log"
until_text "the network is served all the same" 'inet 192\.168\.70\.5[0-9]/24' ip addr show eth0
kill -TERM $node; wait $node
[ $failures = 0 ] || { cat "$work/node.log" "$work/again.log"; cat /run/server/log*; }
