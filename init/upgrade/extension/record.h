#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/upgrade/extension/hash_tree.h"
#include "init/upgrade/manifest.h"

namespace steppe::extension {

// What an extension's file system holds, as bits. Numbers are never reused.
enum Holds : uint64_t {
  kFiles = 1,      // something to be read, or run by tasks
  kModules = 2,    // /usr/lib/modules/KERNEL, with a modules.index of its own (init/boot/module_index.h)
  kFirmware = 4,   // /usr/lib/firmware
};
std::string holds_text(uint64_t holds);  // "modules, firmware"

// What an extension says of itself. This record is what is signed: by the root of the hash tree it covers every byte of the file
// system, whenever that is read.
struct Record {
  std::string name;            // as upgrade::Extension's
  std::string version;         // printable, for people; at most 64 bytes
  std::string arch;            // "x86-64" or "arm64"; "any" where nothing in it is a program
  uint64_t holds = kFiles;
  std::string kernel;          // the kernel's release that its modules are for; empty exactly when it holds none
  uint64_t built_unix_s = 0;
  uint64_t data_size = 0;      // of the file system, whole blocks
  Digest root{};               // of the hash tree
  std::string salt;            // of the hash tree, at most 32 bytes
  friend bool operator==(const Record&, const Record&) = default;
};

// An extension's file, NAME.ext:
//
//   0        a frame of type kExtensionRecord, version 1: 1 name, 2 version, 3 arch, 4 holds, 5 kernel, 6 built (seconds), 7 bytes
//            of data, 8 bytes of tree, 9 block size of both, 10 root, 11 salt, 12 file system ("squashfs")
//   …        a frame of type kExtensionSignature, version 1: 1 PKCS#7 (init/upgrade/verify); missing when it is not signed
//   …        zeros
//   16,384   the file system, whole blocks
//   …        its hash tree (hash_tree.h), to the end of the file
//
// Its identity is the SHA-256 of all of it.
inline constexpr uint64_t kHeaderSize = 16 << 10;
inline constexpr size_t kMaxRecord = 4 << 10, kMaxSignature = 8 << 10;  // of the frames
inline constexpr uint64_t kMaxData = uint64_t{1} << 40;

inline uint64_t tree_size(const Record& record) { return tree_blocks(record.data_size / kBlock) * kBlock; }
inline uint64_t file_size(const Record& record) { return kHeaderSize + record.data_size + tree_size(record); }

// The record's frame, whose SHA-256 is what is signed. kInvalid on what decode would refuse.
Result<std::string> encode_record(const Record& record);
// The first kHeaderSize bytes of a file; `signature` is PKCS#7 or empty.
Result<std::string> encode_header(std::string_view record_frame, std::string_view signature);

struct Header {
  Record record;
  Digest digest{};        // SHA-256 of the record's frame
  std::string signature;  // PKCS#7; empty when the file is not signed
};
// Reads kHeaderSize bytes. kInvalid (no extension), kCorrupt, kUnsupported (made by a newer builder) say what is wrong. Pure; any
// bytes are safe to read.
Result<Header> decode_header(ByteView bytes);

// Whether the bytes begin like an extension's file; for tools that take several kinds.
bool looks_like_extension(ByteView bytes);

// The record as the kernel takes it: the parameters of a target "verity" over one device that begins with the data and has the tree
// behind it. `device` is a path or "MAJOR:MINOR".
std::string verity_parameters(const Record& record, std::string_view device);

}  // namespace steppe::extension
