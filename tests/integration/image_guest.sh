# Sourced by the tests that start images under QEMU: a small image over the build root's own kernel, and guests on UEFI firmware.
set -uo pipefail
bin=${STEPPE_BIN:-/src/build/release/bin}
work=$(mktemp -d /tmp/steppe-boot-XXXXXX)
failures=0
guest_pid=
end_guest() { [ -n "$guest_pid" ] && kill "$guest_pid" 2>/dev/null && wait "$guest_pid" 2>/dev/null; guest_pid=; }
trap 'end_guest; rm -rf "$work"; exit $((failures > 0))' EXIT
trap 'failures=1; exit 1' INT TERM
ok() { printf 'ok      %s\n' "$1"; }
bad() { printf 'FAILED  %s\n' "$1"; failures=$((failures + 1)); }

# spec FILE INITRD-MODULES [MORE-HCL]: init, agent and what the agent links.
spec() {
  local initrd=$2 library
  cat >"$1" <<HCL
image { version = "0.0.7" }
kernel {
  directory = "/"
  classes   = ["virtio", "fs", "container"]
  initrd    = [$initrd]
  arguments = ["console=ttyS0", "quiet", "panic=-1", "no_timer_check"]
}
boot {
  init  = "$bin/steppe-init"
  strip = true
}
root {
  file "/usr/bin/steppe" {
    source = "$bin/steppe"
    mode   = "0755"
    strip  = true
  }
  file "/usr/bin/steppe-executor" {
    source = "$bin/steppe-executor"
    mode   = "0755"
  }
$(for library in $(ldd "$bin/steppe" | sed -n 's|.* => /lib\(/[^ ]*\).*|/usr/lib\1|p'); do printf '  file "%s" { source = "%s" }\n' "$library" "$library"; done)
  file "/usr/lib64/ld-linux-x86-64.so.2" {
    source = "/usr/lib64/ld-linux-x86-64.so.2"
    mode   = "0755"
  }
  link "/lib" { target = "usr/lib" }
  link "/lib64" { target = "usr/lib64" }
  file "/etc/passwd" { content = "root:x:0:0:root:/:/nonexistent\nnobody:x:65534:65534:nobody:/:/nonexistent\n" }
  file "/etc/group" { content = "root:x:0:\nnogroup:x:65534:\n" }
}
compression {
  level = 1
  block = "128KiB"
}
# The build root's kernel is one for virtual machines.
hardening {
  waive "kernel CONFIG_AMD_IOMMU" { reason = "a kernel for guests" }
  waive "kernel CONFIG_HW_RANDOM_TPM" { reason = "a kernel for guests" }
}
${3:-}
HCL
}

# guest LOG QEMU-WORDS...: starts one in the background; its serial line goes to LOG.
guest() {
  local log=$1; shift
  end_guest
  : >"$log"
  qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 -nodefaults -display none -no-reboot -serial "file:$log" -device virtio-rng-pci "$@" </dev/null >>"$work/qemu.out" 2>&1 &
  guest_pid=$!
}
# The firmware's words; $1: its variables, $2: a disk.
firmware() { printf '%s\n' -machine q35 -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd -drive "if=pflash,format=raw,file=$1" -drive "if=none,id=disk,format=raw,snapshot=on,file=$2" -device virtio-blk-pci,drive=disk,bootindex=0; }
# until_line NAME LOG PATTERN: it stands there in the end. The deadline is generous: only a guest that hangs meets it.
until_line() {
  local name=$1 log=$2 pattern=$3 i
  for i in $(seq $((${STEPPE_VM_DEADLINE:-420} * 2))); do
    if tr -d '\r' <"$log" | grep -Eaq -- "$pattern"; then ok "$name"; return 0; fi
    [ -d "/proc/$guest_pid" ] || break
    sleep 0.5
  done
  tr -d '\r' <"$log" | grep -Eaq -- "$pattern" && { ok "$name"; return 0; }
  bad "$name: no \"$pattern\" on the console"; tail -c 3000 "$log"; tail -n 5 "$work/qemu.out"
  return 1
}
