# Sourced by tests/vm/run: machines with a disk, each booted several times with what its starts before left on it.
#
# The disk is what the image builder writes, an ESP that reaches the image's end, on a disk that is larger. Each boot is one of machine.sh,
# with the disk beside it; between two boots the disk may be changed from outside. mke2fs and e2fsck are those of the image's own lock.

# name | tags | mutant | boots | what it shows
storages='
storage|long|storage-not-kept|2|the first boot makes, formats and mounts state and data; the second finds all of it, with the log and the reason of the first
state-full|long|state-full-no-ballast|1|a full state partition: what is kept for that is given up, and the machine works
state-corrupt|long|state-corrupt-unchecked|1|a state partition that cannot be repaired: said, not formatted, and the machine works in memory
state-missing|long|state-missing-room|1|no state partition and no room for one: said, data is used, and state is in memory
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
  for file in mke2fs e2fsck; do
    case $variant-$file in storage-not-kept-mke2fs | state-corrupt-unchecked-e2fsck) continue ;; esac
    cp "$packages/usr/sbin/$file" "$root/usr/sbin/"
  done
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

# The same with a state partition of STATE MiB (0: none) and data up to the end but for FREE MiB.
make_laid_out_disk() {
  local disk=$1 size=$2 state=$3 free=$4 at=$((67 * 2048))
  make_disk "$disk" "$size" 66
  sfdisk --quiet --no-reread --no-tell-kernel --relocate gpt-bak-std "$disk"
  {
    [ "$state" = 0 ] || printf 'start=%d, size=%d, type=53544550-5045-4E53-9A01-5354415445A1, name="STEPPE-STATE"\n' $at $((state * 2048))
    printf 'start=%d, size=%d, type=53544550-5045-4E53-9A02-444154415FA1, name="STEPPE-DATA"\n' $((at + state * 2048)) $(((size - 68 - state - free) * 2048))
  } | sfdisk --quiet --no-reread --no-tell-kernel --append "$disk"
}

# A file system of MIB MiB, with the files of DIRECTORY, at START MiB of the disk; by the programs of the image's lock.
make_file_system() {
  local packages=$1 disk=$2 start=$3 mib=$4 directory=$5
  LD_LIBRARY_PATH=$packages/usr/lib/x86_64-linux-gnu "$packages/usr/sbin/mke2fs" -F -q -t ext4 -b 4096 -m 0 -d "$directory" -E "offset=$((start << 20))" "$disk" "$((mib << 8))"
}

free_mib() {
  dd if="$2" bs=1M skip="$3" count=160 of="$2.part" status=none
  LD_LIBRARY_PATH=$1/usr/lib/x86_64-linux-gnu "$1/usr/sbin/dumpe2fs" -h "$2.part" 2>/dev/null | awk '/^Free blocks:/ {print int($3 / 256)}'
  rm "$2.part"
}

# What happens to the disk before boot NUMBER of a scenario.
change_disk() {
  local name=$1 number=$2 work=$3 disk=$3/disk
  case $name-$number in
    storage*-1) make_disk "$disk" 1400 66 ;;
    state-full*-1)
      make_laid_out_disk "$disk" 900 160 0
      mkdir -p "$work/files"
      [ "$name" = state-full-no-ballast ] || head -c 8M /dev/zero | tr '\0' b >"$work/files/ballast"
      make_file_system "$work/packages" "$disk" 67 160 "$work/files"
      # Two MiB are left after this.
      head -c "$(($(free_mib "$work/packages" "$disk" 67) - 2))M" /dev/zero | tr '\0' x >"$work/files/filler"
      make_file_system "$work/packages" "$disk" 67 160 "$work/files" ;;
    state-corrupt*-1)
      make_laid_out_disk "$disk" 900 160 0
      mkdir -p "$work/files"; printf 'what people will want back\n' >"$work/files/a-file"
      make_file_system "$work/packages" "$disk" 67 160 "$work/files"
      # Every group's description, of which the copies are no better, and the superblock's own are left.
      for block in 1 32769; do head -c 4096 /dev/zero | tr '\0' '\377' | dd of="$disk" bs=4096 seek=$((67 * 256 + block)) conv=notrunc status=none; done ;;
    state-missing-1) make_laid_out_disk "$disk" 900 0 0 ;;
    state-missing-room-1) make_laid_out_disk "$disk" 900 0 200 ;;
  esac
}

# What is wrong with the disk after the last boot.
judge_disk() {
  case $1 in state-corrupt) dd if="$2/disk" bs=1M skip=67 count=160 status=none | grep -aq 'what people will want back' || printf 'the damaged partition was formatted\n' ;; esac
}

# Lines that the console of boot NUMBER must have (+) and must not have (-).
storage_lines() {
  printf '%s\n' '-VM bad' '+^VM done' '-Kernel panic' '-steppe: cannot boot' '+^steppe: ready' '+^steppe: unmounted [0-9]+ file systems, 0 left' '+^steppe: ending now'
  case $1-$2 in
    storage-1) printf '%s\n' '+^steppe: storage: /dev/vda2: STEPPE-STATE of [0-9]+ MiB is new' '+^steppe: storage: /state is on /dev/vda2 \(created\)' \
      '+^steppe: storage: /data is on /dev/vda3 \(created\)' '+^VM ok /efi is the ESP' '+^VM ok the machine begins' ;;
    storage-2) printf '%s\n' '-is new' '+^steppe: storage: /state is on /dev/vda2 \(checked\)' '+^steppe: storage: /data is on /dev/vda3 \(checked\)' \
      '+^VM ok what was kept' '+^steppe: storage: the last end: reboot, ctrl-alt-del' '+^VM ok the log of the first start' '+^VM ok why the first start ended' ;;
    state-full-1) printf '%s\n' '+^steppe: storage: the state partition is full: ballast is given up, [0-9]+ MiB are free now' '+^VM ok a full state partition has room again' ;;
    state-corrupt-1) printf '%s\n' '+^steppe: storage: STEPPE-STATE on /dev/vda2 is damaged and is not used: e2fsck ended with' '+^steppe: storage: /state is in memory' \
      '+^VM ok /state is in memory' '-created.*vda2' ;;
    state-missing-1) printf '%s\n' '+^steppe: storage: no partition is laid out: /dev/vda: there is no room for STEPPE-STATE' '+^VM ok /state is in memory' \
      '+^steppe: storage: /data is on /dev/vda2' ;;
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
  timeout -k 5 "$deadline" qemu-system-x86_64 -accel tcg,thread=single -smp 1 -icount shift=4,sleep=off -cpu max -m 512 -nodefaults -display none -no-reboot -serial stdio \
    -kernel "$kernel" -initrd "$work/initrd" -rtc base=1970-01-02T00:00:00,clock=vm -drive "if=none,id=disk,format=raw,file=$work/disk" \
    -device virtio-blk-pci,drive=disk -fw_cfg "name=opt/steppe/config,string=$machine_settings" -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci -device i6300esb \
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
      change_disk "$variant" "$number" "$work"
      boot_with_disk "$work" "$kernel" || status=$?
      { printf -- '--- boot %d\n' "$number"; cat "$work/console"; } >>"$work/all"
      wrong=$wrong$(judge_storage "$name" "$number" "$work/console")
      [ $status -eq 0 ] || break
    done
    wrong=$wrong$(judge_disk "$name" "$work")
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
