#include "agent/raft/wire.h"

#include "init/base/assert.h"

namespace steppe::raft {

void WireWriter::put_blob(std::string_view bytes) {
  STEPPE_ASSERT(bytes.size() <= UINT32_MAX);
  put_u32(static_cast<uint32_t>(bytes.size()));
  bytes_.append(bytes);
}

void WireWriter::put_list(const std::vector<uint64_t>& values) {
  put_u32(static_cast<uint32_t>(values.size()));
  for (const uint64_t value : values) put_u64(value);
}

void WireWriter::put_entries(const std::vector<Entry>& entries) {
  put_u32(static_cast<uint32_t>(entries.size()));
  for (const Entry& entry : entries) {
    put_u64(entry.index);
    put_u64(entry.term);
    put_u8(static_cast<uint8_t>(entry.type));
    put_blob(entry.data);
  }
}

void WireWriter::put_conf(const ConfState& conf) {
  put_list(conf.voters);
  put_list(conf.learners);
  put_list(conf.voters_outgoing);
  put_list(conf.learners_next);
  put_u8(conf.auto_leave ? 1 : 0);
}

void WireWriter::put_change(const ConfChange& change) {
  put_u8(static_cast<uint8_t>(change.transition));
  put_u32(static_cast<uint32_t>(change.changes.size()));
  for (const auto& single : change.changes) {
    put_u8(static_cast<uint8_t>(single.type));
    put_u64(single.peer);
  }
  put_blob(change.context);
}

uint32_t WireReader::count(size_t least) {
  const uint32_t items = u32();
  if (items > rest_.size() / least) return fail(), 0;
  return items;
}

std::string_view WireReader::blob() {
  const uint32_t size = count(1);
  const std::string_view bytes = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return bytes;
}

std::vector<uint64_t> WireReader::list() {
  std::vector<uint64_t> values(count(8));
  for (uint64_t& value : values) value = u64();
  return values;
}

std::vector<Entry> WireReader::entries() {
  std::vector<Entry> entries(count(21));
  for (Entry& entry : entries) {
    entry.index = u64();
    entry.term = u64();
    const uint8_t type = u8();
    if (type > 2) fail();
    entry.type = static_cast<EntryType>(type);
    entry.data = blob();
  }
  return entries;
}

ConfState WireReader::conf() {
  ConfState conf;
  conf.voters = list();
  conf.learners = list();
  conf.voters_outgoing = list();
  conf.learners_next = list();
  conf.auto_leave = u8() != 0;
  return conf;
}

ConfChange WireReader::change() {
  ConfChange change;
  change.transition = static_cast<Transition>(u8());
  change.changes.resize(count(9));
  for (auto& single : change.changes) {
    single.type = static_cast<ChangeType>(u8());
    single.peer = u64();
  }
  change.context = blob();
  return change;
}

}  // namespace steppe::raft
