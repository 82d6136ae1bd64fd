#!/usr/bin/env bash
# Where a machine's configuration comes from, by steppe-node and the agent's program in namespaces of the test's own: links with TLS
# and digests, by address and UUID, a cloud's metadata; and maintenance mode, which takes one over TLS by a code.
set -uo pipefail
[ "${1:-}" = inside ] || exec unshare --net --mount --uts "$0" inside
. "$(dirname "$0")/lib.sh"
node= told=
quit() { [ -z "$node" ] || { kill -TERM "$node" 2>/dev/null; wait "$node" 2>/dev/null; node=; }; }
trap 'quit; kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$work"; exit $((failures > 0))' EXIT
[ "$(id -u)" = 0 ] || { printf 'SKIPPED machine_config: network namespaces need root\n'; exit 0; }
mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib 2>/dev/null || true; mkdir -p /var/lib/dhcpcd
ip link set lo up
# What the machine has of a network: one end of a pair with an address of its own, and what answers there.
ip link add eth0 address 02:00:5e:10:00:01 type veth peer name far0; ip link set far0 up
ip addr add 192.168.70.5/24 dev eth0; ip link set eth0 up
ip addr add 169.254.169.254/32 dev lo

# What PID 1 would hear: a line a datagram.
python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1])
while True: print(s.recv(4096).decode(), flush=True)' "$work/notify" >"$work/told" 2>/dev/null &
# Servers of documents: https, http and both clouds.
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/key.pem" -out "$work/ca.pem" -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1 2>/dev/null
mkdir -p "$work/www"
cat >"$work/serve.py" <<'PY'
import http.server, ssl, sys, threading
root, key, cert = sys.argv[1:4]
class Files(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *a): super().__init__(*a, directory=root)
class Cloud(http.server.BaseHTTPRequestHandler):
    def answer(self, code, text=b""):
        self.send_response(code); self.send_header("Content-Length", str(len(text))); self.end_headers(); self.wfile.write(text)
    def do_PUT(self):
        self.answer(200, b"token-7") if self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds") else self.answer(403)
    def do_GET(self):
        if self.path == "/latest/user-data" and self.headers.get("X-aws-ec2-metadata-token") == "token-7": self.answer(200, open(root + "/ec2.hcl", "rb").read())
        elif self.path == "/computeMetadata/v1/instance/attributes/user-data" and self.headers.get("Metadata-Flavor") == "Google": self.answer(200, open(root + "/gce.hcl", "rb").read())
        else: self.answer(404)
def start(address, port, handler, tls=False):
    server = http.server.ThreadingHTTPServer((address, port), handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(cert, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever).start()
start("127.0.0.1", 8443, Files, True); start("127.0.0.1", 8080, Files); start("169.254.169.254", 80, Cloud)
PY
python3 "$work/serve.py" "$work/www" "$work/key.pem" "$work/ca.pem" >"$work/served" 2>&1 &
until_text "there are servers" '200' curl -sk -o /dev/null -w '%{http_code}' https://127.0.0.1:8443/

# machine NAME ARGUMENTS: a machine whose kernel has these; its sources lie in /run/NAME.
machine() {
  quit
  name=$1 told=$(wc -l <"$work/told")
  mkdir -p /run/"$name"/{proc,sys/class/net/eth0,sys/class/dmi/id,etc/ssl/certs,efi}
  echo "quiet $2" >/run/"$name"/proc/cmdline
  echo 1 >/run/"$name"/sys/class/net/eth0/type; echo 02:00:5e:10:00:01 >/run/"$name"/sys/class/net/eth0/address
  echo 12345678-ABCD-0000-0000-0123456789AB >/run/"$name"/sys/class/dmi/id/product_uuid
  cp "$work/ca.pem" /run/"$name"/etc/ssl/certs/ca-certificates.crt
  NOTIFY_SOCKET=$work/notify "$bin/steppe-node" machine -root /run/"$name" -agent "$bin/steppe" -dhcp /bin/false -run /run/"$name"/node -kind veth -port $((port + 2)) >"$work/$name.log" 2>&1 & node=$!
}
heard() { tail -n +$((told + 1)) "$work/told"; }
configured() { until_text "$1" '^X_STEPPE_HOLD=0$' heard; }
agent_has() { expect_text "$1" "$2" cat "/run/$name/node/agent.d/20-machine.hcl"; }
document() { printf 'version = 1\nidentity {\n  hostname = "%s"\n}\njoin {\n  servers = ["10.9.9.9"]\n}\n' "$1"; }

document by-digest >"$work/www/a.hcl"; digest=$(sha256sum <"$work/www/a.hcl" | cut -d' ' -f1)
machine digest "steppe.config=http://127.0.0.1:8080/a.hcl steppe.config_sha256=$digest"
configured "a document over http with its digest"; agent_has "is the machine's" 'name = "by-digest"'
machine https 'steppe.config=https://127.0.0.1:8443/${uuid}/${mac}.hcl'
mkdir -p "$work/www/12345678-abcd-0000-0000-0123456789ab"; document by-tls >"$work/www/12345678-abcd-0000-0000-0123456789ab/02-00-5e-10-00-01.hcl"
configured "one over https with the machine's UUID and address"; agent_has "is the machine's, too" 'name = "by-tls"'
expect_text "the agent is to trust the same authorities" '^SSL_CERT_FILE=/run/https/node/trust/ca-certificates.crt$' cat /run/https/node/agent.env
document by-uuid >"$work/www/uuid-12345678-abcd-0000-0000-0123456789ab"
machine server 'steppe.config_server=https://127.0.0.1:8443/'
configured "what a server has by UUID"; agent_has "is taken where it has nothing by address" 'name = "by-uuid"'
printf '%s\nagent {\n  log_level = "DEBUG"\n}\n' "$(document on-ec2)" >"$work/www/ec2.hcl"; document on-gce >"$work/www/gce.hcl"
machine ec2 'steppe.metadata=ec2'
configured "user data of EC2"; agent_has "is taken" 'name = "on-ec2"'
expect_text "but no agent block from there" 'agent.{1,2} is not taken from an unsigned source' cat "$work/ec2.log"
machine gce 'steppe.metadata=gce'; configured "user data of GCE"; agent_has "is taken" 'name = "on-gce"'

# Whom nobody vouches for, and what is not what it should be: said, and the machine waits.
machine forged "steppe.hostname=x steppe.config=http://127.0.0.1:8080/a.hcl#sha256=$(printf '0%.0s' $(seq 64))"
until_text "a wrong digest is named" "SHA-256 is $digest, expected 0000" cat "$work/forged.log"
until_text "and a host name alone is not enough then" 'maintenance mode' heard
quit
mkdir -p /run/stranger/etc/ssl/certs
cp "$work/ca.pem" "$work/right.pem"; : >"$work/ca.pem"; machine stranger 'steppe.config=https://127.0.0.1:8443/a.hcl'; cp "$work/right.pem" "$work/ca.pem"
until_text "a certificate that nobody vouches for is named" 'configuration: fault=.*certificate' cat "$work/stranger.log"
until_text "and the machine waits" 'maintenance mode' heard
expect_text "nothing of it is taken" '^0$' bash -c "ls /run/stranger/node/agent.d 2>/dev/null | wc -l"

# Maintenance mode.
printf 'version = 1\nidentity {\n  hostname =\n}\n' >/run/esp.hcl; mkdir -p /run/alone/efi; cp /run/esp.hcl /run/alone/efi/steppe.hcl
machine alone ''
until_text "a broken file is named, with its place" 'fault="?/efi/steppe.hcl:3,' cat "$work/alone.log"
until_text "the console has the address" '^STATUS=maintenance: https://192\.168\.70\.5:' heard
until_text "a code" '^STATUS=maintenance: code [A-Z2-9]{5}-[A-Z2-9]{5}$' heard
until_text "and the key" '^STATUS=maintenance: pin sha256//[A-Za-z0-9+/]{43}=$' heard
code=$(heard | sed -n 's/^STATUS=maintenance: code //p'); pin=$(heard | sed -n 's/^STATUS=maintenance: pin //p')
ask() { curl -sk --max-time 20 -o "$work/answer" -w '%{http_code}' "$@"; }
url=https://127.0.0.1:$((port + 2))/v1/machine
expect_text "the agent is held back" '^X_STEPPE_HOLD=1$' heard
expect_text "without the code: nothing" '^401$' ask "$url/status"
expect_text "with another key: no connection" '^000$' ask --pinnedpubkey "sha256//$(printf 'A%.0s' $(seq 43))=" -H "Authorization: Bearer $code" "$url/status"
expect_text "its state" '^200$' ask --pinnedpubkey "$pin" -H "Authorization: Bearer $code" "$url/status"
expect_text "with what is wrong" '/efi/steppe.hcl:3,' jq -r '.Lines[]' "$work/answer"
document late | sed 's/hostname/hostnam/' >"$work/wrong.hcl"; document late >"$work/right.hcl"
expect_text "a document with a fault is refused" '^400$' ask --pinnedpubkey "$pin" -H "Authorization: Bearer $code" -T "$work/wrong.hcl" "$url/config"
expect_text "and the fault named" 'config:3,3' cat "$work/answer"
head -c 1100000 /dev/zero >"$work/large"
expect_text "a large one is refused" '^413$' ask -H "Authorization: Bearer $code" -T "$work/large" "$url/config"
expect_text "a good one is taken" '^200$' ask --pinnedpubkey "$pin" -H "Authorization: Bearer $code" -T "$work/right.hcl" "$url/config"
configured "and the machine goes on"; agent_has "with it" 'name = "late"'
expect_text "it is kept" '"late"' cat /run/alone/state/config/steppe.hcl
until_text "nobody answers any more" '^000$' ask "$url/status"
machine alone ''
configured "the next start finds it"; agent_has "too" 'name = "late"'

# Guessing.
machine guess ''
until_text "one that guesses" 'code [A-Z2-9]{5}-' heard
for _ in 1 2 3 4 5; do ask -H 'Authorization: Bearer AAAAA-AAAAA' "$url/status" >/dev/null; done
expect_text "waits" '^429$' ask -H "Authorization: Bearer $(heard | sed -n 's/^STATUS=maintenance: code //p')" "$url/status"
expect_text "and is named" 'wrong code from 127\.0\.0\.1' cat "$work/guess.log"
kill -TERM $node; wait $node; code=$?; node=
[ $code = 0 ] && ok "it ends on SIGTERM" || bad "it ends on SIGTERM with $code"
until_text "nobody answers then" '^000$' ask "$url/status"
machine standalone 'steppe.standalone'
configured "a node by itself, where it is asked for"
expect_text "is reached only from within" 'bind_addr = "127.0.0.1"' cat /run/standalone/node/agent.d/15-alone.hcl
quit

# The clock's keeper, over a stand-in for ntpd: the real one would set the clock of whoever runs this test.
cat >"$work/ntpd" <<'SH'
#!/bin/sh
echo "started: $*"; sed 's/^/told: /' "$4"; echo "adjusting local clock by 0.2s"
exec sleep 600
SH
chmod +x "$work/ntpd"; told=$(wc -l <"$work/told"); mkdir -p /run/clock/time
NOTIFY_SOCKET=$work/notify "$bin/steppe-node" time -run /run/clock -ntpd "$work/ntpd" >"$work/clock.log" 2>&1 & node=$!
until_text "the clock's keeper holds nobody up" '^READY=1$' heard
until_text "without servers the pool is asked" 'told: servers pool.ntp.org' cat "$work/clock.log"
expect_text "the clock is set at the start" 'started: -d -s -f /run/clock/time/ntpd.conf' cat "$work/clock.log"
until_text "the console hears that the clock is kept" '^STATUS=the clock follows its servers$' heard
printf 'server 10.0.0.9\nlisten on *\n' >/run/clock/time/servers
until_text "other servers: it starts anew with them" 'told: server 10.0.0.9' cat "$work/clock.log"
expect_text "and with nothing else" '^server 10.0.0.9$' cat /run/clock/time/ntpd.conf
kill -KILL "$(pgrep -P $node | head -n 1)"
until_text "one that ends is started again" '^[3-9]$' grep -c 'said="started:' "$work/clock.log"
kill -TERM $node; wait $node; code=$?; node=
[ $code = 0 ] && ok "it ends on SIGTERM" || bad "it ends on SIGTERM with $code"
[ $failures = 0 ] || { tail -n 40 "$work"/*.log "$work/served"; tail -n 40 "$work/told"; }
