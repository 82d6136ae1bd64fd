#include "init/upgrade/slots.h"

#include <algorithm>

#include "init/frame/frame.h"
#include "init/upgrade/version.h"

namespace steppe::upgrade {

namespace {

constexpr uint16_t kRecordVersion = 1;
enum Tag : uint16_t { kTagGeneration = 1, kTagFloor, kTagRefused, kTagTrial, kTagTrialLeft };

}  // namespace

bool Record::refuses(const Digest& digest) const { return std::ranges::find(refused, digest) != refused.end(); }

void Record::refuse(const Digest& digest) {
  if (refuses(digest)) return;
  if (refused.size() == kMaxRefused) refused.erase(refused.begin());
  refused.push_back(digest);
}

std::string encode_record(const Record& record) {
  std::string digests;
  for (const Digest& digest : record.refused) digests += as_text(digest);
  frame::Builder builder(frame::kSlotRecord, kRecordVersion);
  builder.integer(kTagGeneration, static_cast<int64_t>(record.generation));
  builder.integer(kTagFloor, static_cast<int64_t>(record.security_floor)).text(kTagRefused, digests);
  if (record.trial) builder.bytes(kTagTrial, record.trial->digest).integer(kTagTrialLeft, record.trial->left);
  std::string bytes = builder.finish();
  bytes.resize(kRecordSize, '\0');
  return bytes;
}

Result<Record> decode_record(ByteView bytes) {
  STEPPE_TRY(frame::Message message,
             frame::decode(bytes, frame::kSlotRecord, kRecordVersion, kRecordSize).wrap("slot record"));
  Record record;
  int64_t generation = message.integer(kTagGeneration, -1), floor = message.integer(kTagFloor, -1);
  ByteView digests = message.bytes(kTagRefused);
  if (generation < 0 || floor < 0 || digests.size() % sizeof(Digest) != 0 || digests.size() / sizeof(Digest) > kMaxRefused)
    return {Code::kCorrupt, "slot record: a field is missing or of the wrong size"};
  record.generation = static_cast<uint64_t>(generation);
  record.security_floor = static_cast<uint64_t>(floor);
  for (size_t at = 0; at < digests.size(); at += sizeof(Digest)) {
    Digest digest;
    std::ranges::copy(digests.subspan(at, sizeof(Digest)), digest.begin());
    record.refused.push_back(digest);
  }
  if (message.has(kTagTrial)) {
    ByteView digest = message.bytes(kTagTrial);
    int64_t left = message.integer(kTagTrialLeft, -1);
    if (digest.size() != sizeof(Digest) || left < 0 || left > kMaxTries) return {Code::kCorrupt, "slot record: its trial is damaged"};
    record.trial.emplace();
    std::ranges::copy(digest, record.trial->digest.begin());
    record.trial->left = static_cast<uint32_t>(left);
  }
  return record;
}

std::string_view slot_state_name(SlotState state) {
  switch (state) {
    case SlotState::kGood: return "good";
    case SlotState::kTrial: return "trial";
    case SlotState::kPending: return "pending";
    case SlotState::kBad: return "bad";
    case SlotState::kSetAside: return "set aside";
    case SlotState::kDamaged: return "damaged";
    case SlotState::kLeftover: return "leftover";
    case SlotState::kForeign: return "foreign";
  }
  return "unknown";
}

std::vector<size_t> loader_order(const std::vector<SlotFile>& files) {
  std::vector<size_t> order;
  for (size_t i = 0; i < files.size(); i++)
    if (files[i].manifest && parse_slot_name(files[i].name)) order.push_back(i);
  std::ranges::stable_sort(order, [&](size_t left, size_t right) {
    SlotName a = *parse_slot_name(files[left].name), b = *parse_slot_name(files[right].name);
    bool spent_a = a.counter && a.counter->left == 0, spent_b = b.counter && b.counter->left == 0;
    if (spent_a != spent_b) return spent_b;
    auto newer = compare_versions(files[left].manifest->version, files[right].manifest->version);
    if (newer != 0) return newer > 0;
    newer = compare_versions(a.version, b.version);
    if (newer != 0) return newer > 0;
    if (a.good() != b.good()) return a.good();
    if (a.good()) return false;
    if (a.counter->left != b.counter->left) return a.counter->left > b.counter->left;
    return a.counter->done < b.counter->done;
  });
  return order;
}

}  // namespace steppe::upgrade
