#!/usr/bin/env bash
# (long) The product's image, booted and read back row by row against its hardening table; and the same with rows that were not applied.
. "$(dirname "$0")/image_guest.sh"
port=$((21000 + RANDOM % 8000))
export STEPPE_ADDR=http://127.0.0.1:$port
steppe() { "$bin/steppe" "$@"; }

# The product's own spec, compressed in a hurry.
cp image/steppe.lock "$work/steppe.lock"
sed 's/^  image  *= "[0-9]*MiB"/  image = "96MiB"/; s/^  task_root  *= "[0-9]*MiB"/  task_root = "24MiB"/' image/steppe.hcl >"$work/steppe.hcl"
printf 'compression {\n  level = 1\n  block = "128KiB"\n}\n' >>"$work/steppe.hcl"
"$bin/steppe-image" build "$work/steppe.hcl" -var "bin=$bin" -o "$work/image" -netboot >"$work/out" 2>&1 || { bad "the image"; cat "$work/out"; exit 1; }
image=$(ls "$work"/image/*.efi); set_=${image%.efi}
"$bin/steppe-image" inspect -hardening "$image" >"$work/table" || bad "inspect -hardening"
[ "$(grep -c 'enforced' "$work/table")" -gt 200 ] && ok "the table has its rows" || bad "the table has its rows"
arguments=$("$bin/steppe-image" inspect "$image" | sed -n 's/^arguments  *//p')
cat >"$work/machine.hcl" <<'HCL'
version = 1
identity {
  hostname = "node-1"
}
agent {
  bind_addr = "0.0.0.0"
  server {
    enabled          = true
    bootstrap_expect = 1
  }
  plugin "raw_exec" {
    config {
      enabled = true
    }
  }
}
HCL
# The reader runs on the host's side; beside it what a task of exec can and cannot do on such a kernel.
cat >"$work/read.hcl" <<'HCL'
job "read" {
  type = "batch"
  group "g" {
    restart {
      attempts = 0
    }
    # The machine has no disk: what it keeps is in memory.
    ephemeral_disk {
      size = 10
    }
    task "host" {
      driver = "raw_exec"
      config {
        command = "/usr/bin/steppe-node"
        args    = ["hardening", "-record"]
      }
      logs {
        max_files     = 1
        max_file_size = 1
      }
    }
    task "task" {
      driver = "exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo task runs; dmesg 2>&1 | head -1; ip -6 addr show dev eth0; cat /proc/sys/user/max_user_namespaces"]
      }
      logs {
        max_files     = 1
        max_file_size = 1
      }
    }
  }
}
HCL

# boot LOG INITRD ARGUMENTS: until the agent takes jobs.
boot() {
  guest "$1" -machine q35 -kernel "$set_.vmlinuz" -initrd "$2" -append "$3 no_timer_check" -fw_cfg "name=opt/steppe/config,file=$work/machine.hcl" \
    -device i6300esb -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$port-:4646" -device virtio-net-pci,netdev=net,romfile=
  until_line "$4: the machine is ready" "$1" '^steppe: ready$' || return 1
  local i
  for i in $(seq 300); do steppe node status 2>/dev/null | grep -q ready && return 0; sleep 1; done
  bad "$4: the agent takes no jobs"; return 1
}
# read_back: what the two tasks wrote, in $work/{host,host.err,task}
read_back() {
  local i alloc=- status=
  steppe job run -detach "$work/read.hcl" >"$work/out" 2>&1 || { bad "the job"; cat "$work/out"; return 1; }
  for i in $(seq 400); do
    read -r alloc status < <(steppe operator api /v1/job/read/allocations 2>/dev/null | jq -r 'if length == 0 then "- -" else .[0] | "\(.ID) \(.ClientStatus)" end')
    case $status in complete | failed) break ;; esac
    sleep 1
  done
  steppe alloc logs -task host "$alloc" >"$work/host" 2>/dev/null
  steppe alloc logs -stderr -task host "$alloc" >"$work/host.err" 2>/dev/null
  steppe alloc logs -task task "$alloc" >"$work/task" 2>/dev/null
}

boot "$work/good.log" "$set_.initrd" "$arguments" "as built" && read_back
cmp "$work/table" "$work/host" && ok "the machine's table is the image's, byte for byte" || { bad "the machine's table is the image's"; cat "$work/host.err"; diff "$work/table" "$work/host" | head -20; }
tr -d '\r' <"$work/good.log" | grep -aq '^steppe: setting ' && bad "a setting was refused" || ok "the kernel took every setting"
for want in '^task runs$' 'inet6 fec0::' '^0$'; do grep -Eq "$want" "$work/task" && ok "a task: $want" || { bad "a task: $want"; cat "$work/task"; }; done

# The mutant: one argument left out, and one setting not in PID 1's file.
python3 - "$set_.initrd" "$work/root.sqfs" <<'PY' || bad "the root of the initrd"
import sys
data = open(sys.argv[1], 'rb').read()
at = data.index(b'hsqs', data.index(b'root.sqfs\0'))
size = int.from_bytes(data[at + 40:at + 48], 'little')
open(sys.argv[2], 'wb').write(data[at:at + size])
PY
unsquashfs -q -no-progress -d "$work/root" "$work/root.sqfs" >/dev/null 2>&1
grep -q '^kernel/sysrq 0$' "$work/root/usr/lib/steppe/sysctl" && ok "the settings name kernel/sysrq" || bad "the settings name kernel/sysrq"
sed -i '/^kernel\/sysrq /d' "$work/root/usr/lib/steppe/sysctl"
mkdir "$work/over"
mksquashfs "$work/root" "$work/over/root.sqfs" -noappend -quiet -no-progress -all-root -comp zstd -Xcompression-level 1 >/dev/null
{ cat "$set_.initrd"; (cd "$work/over" && echo root.sqfs | cpio --quiet -H newc -R 0:0 -o); } >"$work/mutant.initrd"
boot "$work/mutant.log" "$work/mutant.initrd" "${arguments/ slab_nomerge/}" "mutant" && read_back
for want in '^sysctl kernel.sysrq: "[1-9][0-9]*", not "0"$' '^argument slab_nomerge: "absent", not ""$'; do
  grep -Eq "$want" "$work/host.err" && ok "the mutant is found: $want" || { bad "the mutant is found: $want"; cat "$work/host.err"; }
done
[ "$(wc -l <"$work/host.err")" = 2 ] && ok "and nothing else" || { bad "and nothing else"; cat "$work/host.err"; }
cmp -s "$work/table" "$work/host" && bad "its table differs" || ok "its table differs"
