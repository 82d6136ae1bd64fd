#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/raft/types.h"
#include "init/base/bytes.h"

namespace steppe::raft {

// Flat little-endian records: what crosses the engine's C interface (engine/src/wire.rs is the other
// half) and what the log's records hold.
class WireWriter {
 public:
  template <class T>
  void put(T value) {
    char raw[sizeof value];
    store_le(raw, value);
    bytes_.append(raw, sizeof raw);
  }
  void put_u8(uint8_t value) { put(value); }
  void put_u32(uint32_t value) { put(value); }
  void put_u64(uint64_t value) { put(value); }
  void put_blob(std::string_view bytes);
  void put_list(const std::vector<uint64_t>& values);
  void put_entries(const std::vector<Entry>& entries);
  void put_conf(const ConfState& conf);
  void put_change(const ConfChange& change);

  const std::string& bytes() const { return bytes_; }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Getters answer zero values once the bytes have ended early; ok() says whether that happened, and
// at_end() whether all was read. Lengths are checked before anything is allocated.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}
  template <class T>
  T get() {
    if (rest_.size() < sizeof(T)) return fail(), T{};
    const T value = load_le<T>(rest_.data());
    rest_.remove_prefix(sizeof(T));
    return value;
  }
  uint8_t u8() { return get<uint8_t>(); }
  uint32_t u32() { return get<uint32_t>(); }
  uint64_t u64() { return get<uint64_t>(); }
  std::string_view blob();
  std::vector<uint64_t> list();
  std::vector<Entry> entries();
  ConfState conf();
  ConfChange change();

  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && rest_.empty(); }

 private:
  void fail() {
    ok_ = false;
    rest_ = {};
  }
  // How many items of at least `least` bytes follow; fails when they cannot be there.
  uint32_t count(size_t least);

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace steppe::raft
