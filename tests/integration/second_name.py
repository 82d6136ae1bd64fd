# second_name.py IMAGE OFFSET OLD NEW SHORT: what a power cut in a rename leaves on the FAT32 file system that begins at OFFSET: EFI/Linux/NEW on the
# clusters of EFI/Linux/OLD. SHORT: its 11 bytes of a short name.
import struct, sys
image, start, old, new, short = sys.argv[1], int(sys.argv[2]), *sys.argv[3:6]
disk = open(image, "r+b"); disk.seek(start); boot = disk.read(512)
sector, per, reserved, fats, size, root = struct.unpack_from("<HBHB", boot, 11) + struct.unpack_from("<I", boot, 36) + struct.unpack_from("<I", boot, 44)
cluster = sector * per
def at(number): return start + (reserved + fats * size) * sector + (number - 2) * cluster
def chain(number):
    out = []
    while number < 0x0ffffff8:
        out.append(number); disk.seek(start + reserved * sector + number * 4); number = struct.unpack("<I", disk.read(4))[0] & 0x0fffffff
    return out
def entries(number):  # (place, bytes)
    for one in chain(number):
        disk.seek(at(one)); data = disk.read(cluster)
        for i in range(0, cluster, 32): yield at(one) + i, data[i:i + 32]
def first(entry): return struct.unpack_from("<H", entry, 26)[0] | struct.unpack_from("<H", entry, 20)[0] << 16
def find(number, name):
    text = ""
    for place, entry in entries(number):
        if entry[0] == 0: return None
        if entry[0] == 0xe5: text = ""; continue
        if entry[11] == 15: text = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le").split("\0")[0] + text; continue
        if (text or entry[:11].decode("latin1").rstrip()).lower() == name.lower(): return entry
        text = ""
folder = root
for name in ("EFI", "Linux"): folder = first(find(folder, name))
entry = bytearray(find(folder, old)); entry[:11] = short.encode()
total = 0
for byte in entry[:11]: total = ((total & 1) << 7) + (total >> 1) + byte & 255
units = [ord(c) for c in new] + [0]; units += [0xffff] * (-len(units) % 13)
parts = []
for i in range(len(units) // 13):
    p = [struct.pack("<H", u) for u in units[13 * i:13 * i + 13]]
    parts.append(bytes([i + 1 | (0x40 if i == len(units) // 13 - 1 else 0)]) + b"".join(p[:5]) + bytes([15, 0, total]) + b"".join(p[5:11]) + b"\0\0" + b"".join(p[11:]))
wanted = list(reversed(parts)) + [bytes(entry)]
free = [place for place, one in entries(folder) if one[0] == 0][:len(wanted)]
for place, one in zip(free, wanted): disk.seek(place); disk.write(one)
