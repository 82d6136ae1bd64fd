#!/usr/bin/env bash
# (long) Power cuts: a machine stages an image, tries it, blesses it, goes back to the first; every write is recorded, and no state that a cut could leave is without an image that boots.
. "$(dirname "$0")/image_guest.sh"
states=${STEPPE_POWER_STATES:-20000} boots=${STEPPE_POWER_BOOTS:-200} seed=${STEPPE_SEED:-$RANDOM}
for file in power-states steppe-power-probe steppe-node steppe-init steppe-image; do [ -x "$bin/$file" ] || { bad "$bin/$file is not built"; exit 1; }; done
printf 'seed %s\n' "$seed"

"$bin/steppe-image" keygen "$work/key" -name power >/dev/null || bad "a key"
# image VERSION: signed, with the probe in the agent's place.
image() {
  local library libraries=
  for library in $(ldd "$bin/steppe-node" | sed -n 's|.* => /lib\(/[^ ]*\).*|/usr/lib\1|p'); do libraries+="  file \"$library\" { source = \"$library\" }"$'\n'; done
  cat >"$work/$1.hcl" <<HCL
image { version = "$1" }
kernel {
  directory = "/"
  classes   = ["virtio", "fs"]
  initrd    = ["loop", "squashfs", "overlay"]
  arguments = ["console=ttyS0", "quiet", "panic=-1", "no_timer_check"]
}
boot {
  init  = "$bin/steppe-init"
  strip = true
}
root {
  file "/usr/bin/steppe" {
    source = "$bin/steppe-power-probe"
    mode   = "0755"
    strip  = true
  }
  file "/usr/bin/slots-node" {
    source = "$bin/steppe-node"
    mode   = "0755"
    strip  = true
  }
$libraries
  file "/usr/lib64/ld-linux-x86-64.so.2" {
    source = "/usr/lib64/ld-linux-x86-64.so.2"
    mode   = "0755"
  }
  link "/lib" { target = "usr/lib" }
  link "/lib64" { target = "usr/lib64" }
}
compression {
  level = 1
  block = "128KiB"
}
sign {
  key         = "$work/key.key"
  certificate = "$work/key.crt"
}
HCL
  "$bin/steppe-image" build "$work/$1.hcl" -o "$work/$1" ${2:-} ${3:-} >"$work/out" 2>&1 || { bad "image $1"; cat "$work/out"; exit 1; }
}
image 0.0.1 -disk 192MiB
image 0.0.2
one=$work/0.0.1/steppe-0.0.1-amd64.efi two=$work/0.0.2/steppe-0.0.2-amd64.efi
cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/vars"

# machine DISK LOG TASK: runs until it powers off, through restarts; its requests go to LOG.
machine() {
  : >"$2"; : >"$work/console"
  timeout -k 5 "${STEPPE_VM_DEADLINE:-900}" qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 512 -nodefaults -display none -serial "file:$work/console" \
    -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd -drive "if=pflash,format=raw,file=$work/vars" -device virtio-rng-pci \
    -blockdev "driver=file,filename=$1,node-name=disk-file" -blockdev driver=raw,file=disk-file,node-name=disk \
    -blockdev "driver=file,filename=$2,node-name=log-file" -blockdev driver=raw,file=log-file,node-name=log \
    -blockdev driver=blklogwrites,file=disk,log=log,node-name=recorded -device virtio-blk-pci,drive=recorded,bootindex=0 \
    -drive "if=none,id=task,format=raw,readonly=on,file=$3" -device virtio-blk-pci,drive=task </dev/null >"$work/qemu.out" 2>&1
}
console() { tr -d '\r' <"$work/console"; }
# said NAME PATTERN
said() { if console | grep -Eaq -- "$2"; then ok "$1"; else bad "$1: no \"$2\" on the console"; console | tail -c 3000; tail -n 3 "$work/qemu.out"; exit 1; fi; }
# states NAME DISK LOG MORE...: all of them; the sample's numbers go to $work/samples.
loader=$work/loader
states() {
  local name=$1 disk=$2 log=$3; shift 3
  "$bin/power-states" --disk "$disk" --log "$log" --loader "$loader" --image "0.0.1=$one" --image "0.0.2=$two" --seed "$seed" --states $((states / 2)) --samples $((boots / 2)) "$@" >"$work/states" 2>&1
}

disk=$work/disk
cp --sparse=always "$work/0.0.1/steppe-0.0.1-amd64.raw" "$disk"
mcopy -i "$disk@@1048576" ::/EFI/BOOT/BOOTX64.EFI "$loader" || bad "the loader"
{ printf 'stage %d\n' "$(stat -c %s "$two")"; } >"$work/head"
truncate -s 512 "$work/head"
cat "$work/head" "$two" >"$work/stage"; truncate -s %512 "$work/stage"
printf 'revert\n' >"$work/revert"; truncate -s 512 "$work/revert"

cp --sparse=always "$disk" "$work/before1"
machine "$disk" "$work/log1" "$work/stage"
said "the new image is staged" '^VM info stage done by 0\.0\.1'
said "tried and blessed" '^VM info blessed 0\.0\.2'
cp --sparse=always "$disk" "$work/before2"
machine "$disk" "$work/log2" "$work/revert"
said "and turned back from" '^VM info revert done by 0\.0\.2'
said "to the first, tried anew and blessed" '^VM info blessed 0\.0\.1'
[ "$failures" = 0 ] || exit 1

for part in 1 2; do
  stays=(); [ $part = 1 ] && stays=(--stays 0.0.1)
  if states "cut $part" "$work/before$part" "$work/log$part" "${stays[@]}"; then ok "$([ $part = 1 ] && echo stage, try, bless || echo revert, try, bless): $(sed -n 's/^states //p' "$work/states")"; else bad "states of part $part"; fi
  grep -v '^sample' "$work/states"
  sed -n 's/^sample //p' "$work/states" >"$work/samples$part"
  # The mutant: a disk that says it flushed and did not.
  if states "never flushed" "$work/before$part" "$work/log$part" "${stays[@]}" --states 400 --never-flushed; then bad "a disk that forgets flushes was not noticed in part $part"; else ok "a disk that forgets flushes is noticed: $(sed -n 's/^bad state[^:]*: //p' "$work/states" | head -n 1)"; fi
done

# boot_state PART INDEX: under the firmware, from the disk as the cut left it.
boot_state() {
  local disk=$work/state-$1-$2 console=$work/console-$1-$2 stays=()
  [ "$1" = 1 ] && stays=(--stays 0.0.1)
  "$bin/power-states" --disk "$work/before$1" --log "$work/log$1" --image "0.0.1=$one" --seed "$seed" --states $((states / 2)) --rebuild "$2" --out "$disk" || return 1
  cp /usr/share/OVMF/OVMF_VARS_4M.fd "$disk.vars"
  timeout -k 5 "${STEPPE_VM_DEADLINE:-420}" qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 1 -m 512 -nodefaults -display none -no-reboot -serial "file:$console" \
    -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd -drive "if=pflash,format=raw,file=$disk.vars" -device virtio-rng-pci \
    -drive "if=none,id=disk,format=raw,file=$disk" -device virtio-blk-pci,drive=disk,bootindex=0 </dev/null >/dev/null 2>&1
  rm -f "$disk" "$disk.vars"
  grep -aq '^VM ok an image to fall back to' "$console" && ! grep -aq '^VM bad' "$console"
}
booted=0 wrong=0
note_end() { if wait "$1"; then booted=$((booted + 1)); else wrong=$((wrong + 1)); printf 'state %s did not boot into a repaired machine; its console follows\n' "$2"; tr -d '\r' <"$work/console-$2" | tail -c 1500; fi; }
previous= previous_name=
while read -r part index; do
  boot_state "$part" "$index" & current=$!
  [ -n "$previous" ] && note_end "$previous" "$previous_name"
  previous=$current previous_name=$part-$index
done < <(for part in 1 2; do sed "s/^/$part /" "$work/samples$part"; done)
[ -n "$previous" ] && note_end "$previous" "$previous_name"
[ "$wrong" = 0 ] && [ "$booted" -ge "$((boots / 2 * 2))" ] && ok "states booted: $booted" || bad "states booted: $booted, wrong: $wrong"
