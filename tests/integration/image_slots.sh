#!/usr/bin/env bash
# (long) Slots on a real disk under UEFI firmware, by the machine's API: a newer image is uploaded, staged, tried and blessed; one that
# panics falls back after three trials; one whose agent is never healthy reboots itself; what is no image for this machine is refused.
. "$(dirname "$0")/image_guest.sh"
export STEPPE_ADDR=http://127.0.0.1:$((21000 + RANDOM % 8000))
port=${STEPPE_ADDR##*:}
steppe() { "$bin/steppe" "$@"; }
sources=${STEPPE_SOURCES:-/src}

# image VERSION DIRECTORY KEY [SED-WORDS]: the small image with the node's program and network.
image() {
  local version=$1 directory=$2 key=$3 libraries=/usr/lib/x86_64-linux-gnu; shift 3
  spec "$work/$directory.hcl" '"loop", "squashfs", "overlay"' "sign {
  key         = \"$work/$key.key\"
  certificate = \"$work/$key.crt\"
}
limits { image = \"64MiB\" }"
  sed -i "s/version = \"0.0.7\"/version = \"$version\"/; s/panic=-1/panic=5/; s/\"virtio\", \"fs\"/\"virtio\", \"storage\", \"machine\", \"fs\"/" "$work/$directory.hcl"
  # Before the root's end: what steppe-node is made of and asks for.
  {
    printf '  file "/usr/bin/steppe-node" {\n    source = "%s/steppe-node"\n    mode = "0755"\n    strip = true\n  }\n' "$bin"
    printf '  file "/usr/sbin/dhcpcd" {\n    source = "/usr/sbin/dhcpcd"\n    mode = "0755"\n  }\n'
    ldd "$bin/steppe-node" "$bin/steppe" /usr/sbin/dhcpcd /usr/sbin/mke2fs /usr/sbin/e2fsck 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sed 's,^/lib/,/usr/lib/,' | sort -u | while read -r library; do
      case $library in */libc.so.6 | */libm.so.6) ;; *) printf '  file "%s" { source = "%s" }\n' "$library" "$library" ;; esac
    done
    for program in mke2fs e2fsck; do [ -x /usr/sbin/$program ] && printf '  file "/usr/sbin/%s" {\n    source = "/usr/sbin/%s"\n    mode = "0755"\n  }\n' $program $program; done
  } >"$work/more"
  sed -i "/^  link \"\/lib\" /{
    r $work/more
    N
  }" "$work/$directory.hcl"
  [ $# = 0 ] || sed -i "$@" "$work/$directory.hcl"
  "$bin/steppe-image" build "$work/$directory.hcl" -o "$work/$directory" -disk 640MiB >"$work/out" 2>&1 || { bad "image $version"; cat "$work/out"; exit 1; }
}
file() { printf '%s/%s/steppe-%s-amd64.efi' "$work" "$2" "$1"; }

for name in ours theirs; do "$bin/steppe-image" keygen "$work/$name" -name "$name" >/dev/null || bad "a key"; done
image 1.0 one ours
image 2.0 two ours
image 3.0 three ours "s,source = \"$bin/steppe\"\$,source = \"$bin/steppe-executor\","   # its agent never gets ready
printf 'int main(void) { return 1; }\n' | clang-19 -x c -static -o "$work/dies" - || bad "a first process that ends"
image 4.0 four ours "s,init  = .*,init  = \"$work/dies\","   # the kernel panics
image 1.1 foreign theirs
cp "$work/one/steppe-1.0-amd64.raw" "$work/disk"
cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/vars"
cat >"$work/machine.hcl" <<'HCL'
version = 1
agent {
  bind_addr = "0.0.0.0"
  server {
    enabled          = true
    bootstrap_expect = 1
  }
}
HCL

# One guest for as long as it takes: it restarts by itself, on the disk that keeps what it was left as.
: >"$work/log"
start() {
  end_guest
  qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 -nodefaults -display none -serial "file:$work/log" -device virtio-rng-pci -machine q35 \
    -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd -drive "if=pflash,format=raw,file=$work/vars" \
    -drive "if=none,id=disk,format=raw,file=$work/disk" -device virtio-blk-pci,drive=disk,bootindex=0 -fw_cfg "name=opt/steppe/config,file=$work/machine.hcl" \
    -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$port-:4646" -device virtio-net-pci,netdev=net,romfile= </dev/null >>"$work/qemu.out" 2>&1 &
  guest_pid=$!
}
# seen NAME COUNT PATTERN: the console has it that often, in the end.
seen() {
  local name=$1 count=$2 pattern=$3 i
  for i in $(seq $((${STEPPE_VM_DEADLINE:-900} * 2))); do
    [ "$(tr -d '\r' <"$work/log" | grep -Eac -- "$pattern")" -ge "$count" ] && { ok "$name"; return 0; }
    [ -d "/proc/$guest_pid" ] || break
    sleep 0.5
  done
  bad "$name: not $count times \"$pattern\" on the console"; tail -c 3000 "$work/log"; tail -n 5 "$work/qemu.out"
  return 1
}
# answers NAME PATTERN STEPPE-WORDS...: in the end.
answers() {
  local name=$1 pattern=$2 i; shift 2
  for i in $(seq 600); do steppe "$@" >"$work/out" 2>&1; grep -Eq -- "$pattern" "$work/out" && { ok "$name"; return 0; }; sleep 0.5; done
  bad "$name: no \"$pattern\" from steppe $*"; cat "$work/out"; tail -c 1500 "$work/log"; return 1
}
refused() {
  local name=$1 pattern=$2; shift 2
  if steppe machine stage "$@" >"$work/out" 2>&1; then bad "$name: it was taken"; else grep -Eq -- "$pattern" "$work/out" && ok "$name" || bad "$name: no \"$pattern\""; fi
  grep -Eq -- "$pattern" "$work/out" || cat "$work/out"
}
slots() { steppe machine slots -json | jq -r '[.Slots[] | select(.State != "foreign") | .File + ":" + .State] | join(" ")'; }
are() { local name=$1 want=$2 got; got=$(slots); [ "$got" = "$want" ] && ok "$name" || bad "$name: slots are \"$got\", not \"$want\""; }

# A power cut in the loader's rename once left two names on one chain of clusters.
python3 "$(dirname "$0")/second_name.py" "$work/disk" 1048576 steppe-1.0.efi steppe-1.0+1-2.efi 'STEPPE~9EFI' || bad "the second name"
mdir -b -i "$work/disk@@1048576" ::/EFI/Linux | grep -q 'steppe-1.0+1-2.efi' && ok "two names for one image" || bad "two names for one image"
start
seen "the machine is up" 1 '^steppe: ready$' || exit 1
answers "its API answers for the machine" '^Image *= 1\.0' machine info
are "one good image, with one name" "steppe-1.0.efi:good"
answers "the start repaired that" 'slots: repaired what was left' machine logs
answers "the ESP is mounted as before" '^/efi +[^ ]+ +vfat .*dirsync|^/efi +[^ ]+ +vfat' machine mounts
answers "what PID 1 keeps running" '^agent +ready' machine services

# What is no image for this machine.
cp "$(file 2.0 two)" "$work/changed"; printf 'XX' | dd of="$work/changed" bs=1 seek=$(($(stat -c %s "$work/changed") / 2)) conv=notrunc status=none
refused "tampered with: refused" '400 .*not what was signed' "$work/changed"
head -c 20000000 "$(file 2.0 two)" >"$work/cut"
refused "truncated: refused" '400 .*' "$work/cut"
refused "signed by another key: refused" '403 .*does not trust' "$(file 1.1 foreign)"
sed 's/version = "1.0"/version = "0.9"/' "$work/one.hcl" >"$work/old.hcl"
"$bin/steppe-image" build "$work/old.hcl" -o "$work/old" >"$work/out" 2>&1 || bad "the older image"
refused "older: refused unless asked for as that" '400 .*older' "$(file 0.9 old)"
are "nothing is left of them" "steppe-1.0.efi:good"

# A newer one.
answers "staged" '^version 2\.0 staged' machine stage "$(file 2.0 two)"
are "with three tries" "steppe-2.0+3.efi:pending steppe-1.0.efi:good"
steppe machine reboot -reason "try 2.0" >/dev/null 2>&1 || bad "the reboot"
seen "the reboot says why" 1 '^steppe: rebooting: asked for: try 2\.0 \(' 
seen "PID 1 knows that it is a trial" 1 '^steppe: this image is on trial$'
seen "the agent has it blessed" 1 '^steppe: this image is good$'
answers "it runs" '^Image *= 2\.0' machine info
are "and is good" "steppe-2.0.efi:good steppe-1.0.efi:good"

# One that panics: three trials, then the one before, which remembers it.
answers "one that panics is staged" '^version 4\.0 staged' machine stage "$(file 4.0 four)"
ready=$(grep -ac '^steppe: ready' "$work/log")
steppe machine reboot >/dev/null 2>&1 || bad "the reboot"
seen "it panics three times" 3 '\] Kernel panic - not syncing'
seen "the one before starts" $((ready + 1)) '^steppe: ready'
answers "that is 2.0" '^Image *= 2\.0' machine info
[ "$(grep -ac '\] Kernel panic - not syncing' "$work/log")" = 3 ] && ok "and no more" || bad "it panicked $(grep -ac '\] Kernel panic - not syncing' "$work/log") times"
refused "what failed is not staged again" '403 .*was tried here and failed' "$(file 4.0 four)"

# One whose agent is never ready: its trial ends by itself, with the reason.
answers "one whose agent does not come up is staged" '^version 3\.0 staged' machine stage "$(file 3.0 three)"
steppe machine reboot >/dev/null 2>&1 || bad "the reboot"
seen "its trial is over after its time" 1 '^steppe: rebooting: the image on trial was not blessed in time'
seen "the second trial begins" 3 '^steppe: this image is on trial$'
