#!/usr/bin/env bash
# Artifacts from servers that mean ill, or are not who they should be: each gives an event that says why, nothing appears
# outside the task's directory, and nothing half unpacked stays in it.
. "$(dirname "$0")/lib.sh"
www=$work/www in=$work/in tls_pids=
mkdir -p "$www" "$in"
at_end() { for p in $tls_pids; do kill "$p" 2>/dev/null; done; }
cat >"$work/agent.hcl" <<'HCL'
client {
  artifact {
    decompression_file_count_limit = 2000
  }
}
HCL

# ---- Servers: one over HTTP, one whose authority the agent is told to trust, one whose authority nobody knows.
authority() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" -keyout "$work/$1.key" -out "$work/$1.pem" 2>/dev/null; }
# serve AUTHORITY PORT: a certificate of its own for the name localhost, and www over TLS.
serve() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" -keyout "$work/$1-server.key" -out "$work/$1-server.csr" 2>/dev/null
  printf 'subjectAltName=DNS:localhost\n' >"$work/$1.ext"
  openssl x509 -req -in "$work/$1-server.csr" -CA "$work/$1.pem" -CAkey "$work/$1.key" -CAcreateserial -days 2 -extfile "$work/$1.ext" -out "$work/$1-server.pem" 2>/dev/null
  (cd "$www" && exec openssl s_server -accept "127.0.0.1:$2" -cert "$work/$1-server.pem" -key "$work/$1-server.key" -WWW -quiet) >/dev/null 2>&1 </dev/null &
  tls_pids="$tls_pids $!"
}
known=$((port + 2)) unknown=$((port + 3)) plain=$((port + 1))
authority trusted; authority stranger
serve trusted "$known"; serve stranger "$unknown"
start_files
for p in $plain $known $unknown; do for _ in $(seq 50); do (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null && break; sleep 0.1; done; done
SSL_CERT_FILE=$work/trusted.pem start_agent -dev -config "$work/agent.hcl"
data=$(sed -n 's/.*data_dir="\{0,1\}\([^" ]*\).*/\1/p' "$work/agent.log" | head -n 1)
[ -d "$data/alloc" ] || { bad "the data directory is in the log: \"$data\""; exit 1; }

# ---- Archives
canary=$work/canary
echo untouched >"$canary"
cd "$in" || exit 1
echo fine >good; echo more >other; mkdir deep; echo bottom >deep/bottom
up=../../../../../../../../../../..
truncate -s 1G zeros; tar -c zeros | gzip >"$www/bomb.tar.gz"; rm zeros
truncate -s 400M zeros; gzip <zeros >"$www/single.gz"; rm zeros
mkdir many; (cd many && seq 2500 | xargs touch); tar -czf "$www/many.tar.gz" many; rm -r many
tar -czPf "$www/dotdot.tar.gz" --transform="s,^other\$,$up$work/evil," good other
tar -czPf "$www/absolute.tar.gz" --transform="s,^other\$,$work/evil," good other
ln -s "$canary" link; tar -czPf "$www/symlink.tar.gz" good link; rm link
ln -s "$up$canary" link; tar -czPf "$www/symlink-up.tar.gz" good link; rm link
ln -s "$work" link; mkdir real; echo evil >real/evil; tar -czPf "$www/through.tar.gz" --transform='s,^real/,link/,' good link real/evil; rm -r link real
ln good hard; tar -czPf "$www/hardlink.tar.gz" --transform="s,^good\$,$up$canary,hRS" good hard; rm hard
mknod null c 1 3; tar -czf "$www/device.tar.gz" good null
mkfifo pipe; tar -czf "$www/fifo.tar.gz" good pipe
tar -czf "$www/fine.tar.gz" good other deep
head -c 60 "$www/fine.tar.gz" >"$www/cut.tar.gz"
head -c 3000 /dev/urandom >"$www/noise.tar.gz"
printf '#!/bin/sh\necho the tool says %s\n' "$work" >"$www/tool"
rm null pipe
[ "$(stat -c %s "$www/bomb.tar.gz")" -lt 1200000 ] && ok "the bomb is 1 GiB in about 1 MB" || bad "the bomb is 1 GiB in about 1 MB: $(stat -c %s "$www/bomb.tar.gz")"
expect_text "the archives are as hostile as they should be" "^l.* link -> $canary\$" tar -tvzPf "$www/symlink.tar.gz"
expect_text "with a hard link out" "hard link to $up$canary\$" tar -tvzPf "$www/hardlink.tar.gz"
expect_text "and a name out" "^$up$work/evil\$" tar -tzPf "$www/dotdot.tar.gz"

# job ID SOURCE [LINE OF THE ARTIFACT BLOCK]: fetches, and runs local/tool with what there is.
job() {
  cat >"$work/$1.hcl" <<HCL
job "$1" {
  type = "batch"
  group "g" {
    restart {
      attempts = 0
      mode     = "fail"
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }
    task "t" {
      driver = "exec"
      artifact {
        source = "$2"
        ${3:-}
      }
      config {
        command = "/bin/sh"
        args    = ["-c", "cat local/good local/deep/bottom 2>/dev/null; sh local/tool 2>/dev/null; exit 0"]
      }
      resources {
        cpu    = 20
        memory = 32
      }
    }
  }
}
HCL
  steppe job run -detach "$work/$1.hcl" >"$work/run.out" 2>&1 || { bad "$1 is accepted"; cat "$work/run.out"; }
}
allocs() { steppe operator api "/v1/job/$1/allocations"; }
alloc_of() { allocs "$1" | jq -r '.[0].ID // empty'; }
status_of() { allocs "$1" | jq -r '.[0].ClientStatus // empty'; }
event_of() { allocs "$1" | jq -r '.[0].TaskStates.t.Events[] | select(.Type == "Failed Artifact Download") | .DisplayMessage'; }
# refused ID SOURCE PATTERN [LINE]: it fails with an event that says PATTERN, and its directory holds what it held before.
refused() {
  job "$1" "$2" "${4:-}"
  until_text "$1 fails" '^failed$' status_of "$1" || { allocs "$1" | jq -c '.[0].TaskStates'; return; }
  expect_text "$1: an event says why" "$3" event_of "$1"
  local alloc; alloc=$(alloc_of "$1")
  expect_text "$1: nothing of it is left" '^local,private,secrets,tmp,$' sh -c "cd '$data/alloc/$alloc/t' && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort | tr '\n' ','"
}
http=http://127.0.0.1:$plain
refused bomb "$http/bomb.tar.gz" 'bomb.tar.gz: the archive unpacks to more than 314572800 bytes, the group.s ephemeral_disk$'
refused single "$http/single.gz" 'single.gz: the file unpacks to more than 314572800 bytes, the group.s ephemeral_disk$'
refused many "$http/many.tar.gz" 'many.tar.gz: the archive holds more than 2000 entries$'
refused dotdot "$http/dotdot.tar.gz" 'archive entry \.\./\.\..*/evil: its name leads out of the archive$'
refused absolute "$http/absolute.tar.gz" 'archive entry /.*/evil: absolute names are not unpacked$'
refused symlink "$http/symlink.tar.gz" "archive entry link: its link to $canary leads out of the archive\$"
refused symlink-up "$http/symlink-up.tar.gz" "archive entry link: its link to $up$canary leads out of the archive\$"
refused through "$http/through.tar.gz" "archive entry link: its link to $work leads out of the archive\$"
refused hardlink "$http/hardlink.tar.gz" 'archive entry \.\./.*canary: its name leads out of the archive$'
refused device "$http/device.tar.gz" "archive entry null: only files, directories and links are unpacked, this is type '3'\$"
refused fifo "$http/fifo.tar.gz" "archive entry pipe: only files, directories and links are unpacked, this is type '6'\$"
refused cut "$http/cut.tar.gz" 'cut.tar.gz: .*(ends|damaged|cut)'
refused noise "$http/noise.tar.gz" 'noise.tar.gz: .*damaged|gzip'
refused missing "$http/no-such.tar.gz" 'GET http://127.0.0.1:[0-9]+/no-such.tar.gz: the server answered 404$'
refused checksum "$http/fine.tar.gz" 'checksum does not match: expected sha256:0{64}, found sha256:?[0-9a-f]{64}|checksum does not match' 'options { checksum = "sha256:0000000000000000000000000000000000000000000000000000000000000000" }'
refused misnamed "https://127.0.0.1:$known/tool" 'TLS handshake: IP address mismatch$'
refused unknown "https://localhost:$unknown/tool" 'TLS handshake: (unable to get local issuer certificate|self-signed certificate in certificate chain)$'

# done_with ID SOURCE PATTERN [LINE]: it runs, and its output matches.
done_with() {
  job "$1" "$2" "${4:-}"
  until_text "$1 is done" '^complete$' status_of "$1" || { allocs "$1" | jq -c '.[0].TaskStates'; return; }
  expect_text "$1: its task had it" "$3" steppe alloc logs "$(alloc_of "$1")"
}
done_with fine "$http/fine.tar.gz" '^bottom$'
done_with https "https://localhost:$known/tool" "^the tool says $work\$"
done_with insecure "https://localhost:$unknown/tool" "^the tool says $work\$" 'insecure = true'

expect_text "what the links pointed at is as it was" '^untouched$' cat "$canary"
expect "and nothing was made outside" test ! -e "$work/evil" -a ! -e "$data/evil" -a ! -e /evil
fetching() { pgrep -fc "^$bin/steppe artifact-fetch"; }
until_text "no fetching process is left" '^0$' fetching
expect "the agent ends on SIGTERM" stop_agent

# ---- Without being told, the agent trusts the machine's store alone; and its owner's limits hold.
cat >"$work/agent.hcl" <<'HCL'
client {
  artifact {
    http_max_size            = "100 kB"
    decompression_size_limit = "50KiB"
  }
}
HCL
: >"$work/agent.log"
start_agent -dev -config "$work/agent.hcl"
data=$(sed -n 's/.*data_dir="\{0,1\}\([^" ]*\).*/\1/p' "$work/agent.log" | head -n 1)
head -c 200000 /dev/urandom >"$www/large"
head -c 60000 /dev/zero | gzip >"$www/sixty.gz"
refused not-told "https://localhost:$known/tool" 'TLS handshake: (unable to get local issuer certificate|self-signed certificate in certificate chain)$'
refused too-large "$http/large" 'GET http://127.0.0.1:[0-9]+/large: larger than 100000 bytes$'
refused sixty "$http/sixty.gz" 'sixty.gz: the file unpacks to more than 51200 bytes$'
expect "the agent ends on SIGTERM" stop_agent
printf 'client {\n  artifact {\n    http_max_size = "a lot"\n  }\n}\n' >"$work/agent.hcl"
expect_text "a limit that is none is said at the start" 'client.artifact.http_max_size: "a lot" is no size: expected a number and a unit, as in 100MB or 1.5GiB' timeout 20 "$bin/steppe" agent -dev -http-port "$port" -config "$work/agent.hcl"
