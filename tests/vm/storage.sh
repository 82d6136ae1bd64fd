# Sourced by tests/vm/run: machines with a disk, each booted several times with what its starts before left on it.
#
# The disk is what the image builder writes, an ESP that reaches the image's end, on a disk that is larger. Each boot is one of machine.sh,
# with the disk beside it; between two boots the disk may be changed from outside. mke2fs and e2fsck are those of the image's own lock.

# name | tags | mutant | boots | what it shows
storages='
storage|long|storage-not-kept|2|the first boot makes, formats and mounts state and data; the second finds all of it, with the log and the reason of the first
'

# The files of a package that image/steppe.lock names, below DIRECTORY: from the image builder's store, where tools/run and `steppe-image
# lock` put them.
take_locked_package() {
  local name=$1 into=$2 digest deb
  digest=$(awk -v name="$name" '$1 == "package" && $2 == "root" && $3 == name {print $6}' "$repo/image/steppe.lock")
  deb=${XDG_CACHE_HOME:-$HOME/.cache}/steppe-image/debs/$digest.deb
  [ -n "$digest" ] && [ -r "$deb" ] || die "the package $name of image/steppe.lock is not in the store: build/release/bin/steppe-image lock image/steppe.hcl brings it"
  dpkg-deb -x "$deb" "$into"
}

# What a machine with a disk has beside what make_machine gives it.
add_storage_programs() {
  local root=$1 packages=$2 name file
  for name in e2fsprogs libext2fs2t64 libcom-err2 libblkid1 libuuid1; do take_locked_package "$name" "$packages"; done
  mkdir -p "$root/usr/sbin"
  for file in mke2fs e2fsck; do [ "$variant-$file" = storage-not-kept-mke2fs ] || cp "$packages/usr/sbin/$file" "$root/usr/sbin/"; done
  cp -P "$packages"/usr/lib/x86_64-linux-gnu/lib{ext2fs,e2p,com_err,blkid,uuid}.so.* "$root/usr/lib/x86_64-linux-gnu/"
}
storage_modules='virtio_blk ext4 vfat nls_cp437 nls_iso8859_1 nls_ascii nls_utf8'

# A disk of SIZE MiB with an ESP of ESP MiB, as steppe-image makes one for a disk of ESP + 2 MiB.
make_disk() {
  local disk=$1 size=$2 esp=$3
  rm -f "$disk"
  truncate -s "$((esp + 2))M" "$disk"
  printf 'label: gpt\nfirst-lba: 2048\nstart=2048, size=%d, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="STEPPE-ESP"\n' $((esp * 2048)) |
    sfdisk --quiet --no-reread --no-tell-kernel "$disk"
  mformat -i "$disk@@1M" -F -v STEPPE-ESP -T $((esp * 2048)) -h 255 -s 63 -H 2048 ::
  truncate -s "${size}M" "$disk"
}

# Bytes at which the partition LABEL of the disk begins.
partition_offset() { sfdisk --json "$1" | jq -r --arg name "$2" '.partitiontable.partitions[] | select(.name == $name) | .start * 512'; }

# What happens to the disk before boot NUMBER of a scenario.
change_disk() {
  local name=$1 number=$2 disk=$3
  case $name-$number in
    *-1) make_disk "$disk" 1400 66 ;;
  esac
}

# Lines that the console of boot NUMBER must have (+) and must not have (-).
storage_lines() {
  printf '%s\n' '-VM bad' '+^VM done' '-Kernel panic' '-steppe: cannot boot' '+^steppe: ready' '+^steppe: unmounted [0-9]+ file systems, 0 left' '+^steppe: ending now'
  case $1-$2 in
    storage-1) printf '%s\n' '+^steppe: storage: /dev/vda2: STEPPE-STATE of [0-9]+ MiB is new' '+^steppe: storage: /state is on /dev/vda2 \(created\)' \
      '+^steppe: storage: /data is on /dev/vda3 \(created\)' '+^VM ok /efi is the ESP' '+^VM ok the machine begins' ;;
    storage-2) printf '%s\n' '-is new' '+^steppe: storage: /state is on /dev/vda2 \(checked\)' '+^steppe: storage: /data is on /dev/vda3 \(checked\)' \
      '+^VM ok what was kept' ;;
  esac
}

judge_storage() {
  local name=$1 number=$2 console=$3 line
  storage_lines "$name" "$number" | while IFS= read -r line; do
    case $line in
      +*) grep -aqE -- "${line#+}" "$console" || printf 'boot %d: no line "%s"\n' "$number" "${line#+}" ;;
      -*) ! grep -aqE -- "${line#-}" "$console" || printf 'boot %d: a line "%s"\n' "$number" "${line#-}" ;;
    esac
  done
}

boot_with_disk() {
  local work=$1 kernel=$2
  timeout -k 5 "$deadline" qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -cpu max -m 512 -nodefaults -display none -no-reboot -serial stdio \
    -kernel "$kernel" -initrd "$work/initrd" -rtc base=1970-01-02T00:00:00,clock=vm -drive "if=none,id=disk,format=raw,file=$work/disk" \
    -device virtio-blk-pci,drive=disk -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci -device i6300esb \
    -append "console=ttyS0 quiet panic=-1 no_timer_check steppe.standalone" </dev/null 2>&1 | tr -d '\r' >"$work/console"
}

# One scenario with all its boots, then its mutant, of which at least one console must be found wrong for another reason than the deadline.
run_storage() {
  local row=$1 name mutant boots work kernel started variant status wrong number
  name=$(field "$row" 1); mutant=$(field "$row" 3); boots=$(field "$row" 4)
  kernel=$(ls /boot/vmlinuz-*cloud* 2>/dev/null | tail -n 1)
  [ -n "$kernel" ] || die "no kernel in /boot: run inside the build root (tools/sdk/sdk run)"
  for file in steppe steppe-init steppe-node steppe-executor steppe-vm-probe; do [ -x "$build/bin/$file" ] || die "$build/bin/$file is not built"; done
  started=$SECONDS
  for variant in "$name" "$mutant"; do
    work=$(mktemp -d) status=0 wrong=
    make_machine "$work" "$kernel" "$variant"
    : >"$work/all"
    for number in $(seq "$boots"); do
      change_disk "$variant" "$number" "$work/disk"
      boot_with_disk "$work" "$kernel" || status=$?
      { printf -- '--- boot %d\n' "$number"; cat "$work/console"; } >>"$work/all"
      wrong=$wrong$(judge_storage "$name" "$number" "$work/console")
      [ $status -eq 0 ] || break
    done
    [ $status -eq 0 ] || wrong="qemu ended with $status (124: the deadline)${wrong:+; $wrong}"
    if { [ "$variant" = "$name" ] && [ -n "$wrong" ]; } || { [ "$variant" = "$mutant" ] && { [ -z "$wrong" ] || [ $status -ne 0 ]; }; }; then
      printf 'FAIL %-12s %3d s  %s: %s; the consoles follow\n' "$name" $((SECONDS - started)) "$variant" "${wrong:-its fault was not found}"
      tail -n 200 "$work/all"
      rm -rf "$work"
      return 1
    fi
    rm -rf "$work"
  done
  printf 'ok   %-12s %3d s  %d boots; its mutant %s was found\n' "$name" $((SECONDS - started)) "$boots" "$mutant"
}
