#include "init/upgrade/carry.h"

#include <algorithm>

namespace steppe::upgrade {

namespace {

constexpr size_t kPiece = 256 << 10;

std::optional<Record> read_copy(SlotDirectory& directory, std::string_view name) {
  std::string bytes(kRecordSize, '\0');
  Result<size_t> got = directory.read(std::string(name), 0, std::as_writable_bytes(std::span(bytes)));
  // A missing, unreadable or torn copy is what the other one is for.
  if (!got.ok()) return std::nullopt;
  Result<Record> record = decode_record(as_bytes(bytes).first(*got));
  return record.ok() ? std::optional<Record>(*std::move(record)) : std::nullopt;
}

Result<> copy_image(const Step& step, SlotDirectory& images, ImageSource& source) {
  STEPPE_TRY_VOID(images.create(step.name));
  std::string piece(kPiece, '\0');
  ByteSpan buffer = std::as_writable_bytes(std::span(piece));
  uint64_t offset = 0;
  while (offset < step.size) {
    STEPPE_TRY(size_t got, source.read(offset, buffer.first(std::min<uint64_t>(buffer.size(), step.size - offset))));
    if (got == 0)
      return {Code::kInvalid, "the image ends after " + std::to_string(offset) + " of " + std::to_string(step.size) + " bytes"};
    STEPPE_TRY_VOID(images.append(step.name, buffer.first(got)));
    offset += got;
  }
  return {};
}

Result<> carry_step(const Step& step, Store& store, ImageSource* source) {
  switch (step.kind) {
    case StepKind::kForget: return store.images.forget(step.name).wrap("forget " + step.name);
    case StepKind::kRemove: return store.images.remove(step.name).wrap("remove " + step.name);
    case StepKind::kRename: return store.images.rename(step.name, step.to).wrap("rename " + step.name + " to " + step.to);
    case StepKind::kSync: return store.images.sync_directory().wrap("sync the directory of images");
    case StepKind::kRecord: return write_record(store.record, step.record).wrap("write the slot record");
    case StepKind::kWrite: return write_verified(store.images, store.judge, step, source);
  }
  return {};
}

Result<> write_and_read_back(SlotDirectory& directory, ImageJudge& judge, const Step& step, ImageSource& source) {
  STEPPE_TRY_VOID(copy_image(step, directory, source));
  STEPPE_TRY_VOID(directory.sync_file(step.name));
  STEPPE_TRY_VOID(directory.drop_caches(step.name));
  STEPPE_TRY(Digest digest, digest_of(directory, step.name, step.size));
  if (digest != step.digest)
    return {Code::kCorrupt, "read back after writing, its digest is " + hex(digest) + ", expected " + hex(step.digest) +
                                ": the disk or the source is faulty"};
  STEPPE_TRY([[maybe_unused]] Judged judged, judge.judge(directory, step.name, step.size));
  return {};
}

}  // namespace

Result<> write_verified(SlotDirectory& directory, ImageJudge& judge, const Step& step, ImageSource* source) {
  if (!source) return {Code::kInvalid, "this plan needs the image's bytes"};
  Result<> written = write_and_read_back(directory, judge, step, *source).wrap("write " + step.name);
  // No name of an image was given yet, so nothing is lost; a failure to clean up is cleaned up at the next start.
  if (!written.ok()) (void)directory.remove(step.name);
  return written;
}

Result<> write_record(SlotDirectory& directory, const Record& record) {
  std::optional<Record> copies[2];
  for (int i : {0, 1}) copies[i] = read_copy(directory, kRecordNames[i]);
  int into = !copies[0] ? 0 : !copies[1] ? 1 : copies[0]->generation <= copies[1]->generation ? 0 : 1;
  Record next = record;
  next.generation = std::max(copies[0] ? copies[0]->generation : 0, copies[1] ? copies[1]->generation : 0) + 1;
  std::string name(kRecordNames[into]), bytes = encode_record(next);
  STEPPE_TRY(std::vector<DirectoryEntry> entries, directory.list());
  auto there = std::ranges::find(entries, name, &DirectoryEntry::name);
  if (there != entries.end() && there->size == bytes.size()) {
    STEPPE_TRY_VOID(directory.overwrite(name, 0, as_bytes(bytes)));
    return directory.sync_file(name);
  }
  if (there != entries.end()) STEPPE_TRY_VOID(directory.remove(name));
  STEPPE_TRY_VOID(directory.create(name));
  STEPPE_TRY_VOID(directory.append(name, as_bytes(bytes)));
  STEPPE_TRY_VOID(directory.sync_file(name));
  return directory.sync_directory();
}

Record read_record(SlotDirectory& directory) {
  Record best;
  for (std::string_view name : kRecordNames) {
    std::optional<Record> copy = read_copy(directory, name);
    if (copy && copy->generation >= best.generation) best = *std::move(copy);
  }
  return best;
}

Result<Digest> digest_of(SlotDirectory& directory, const std::string& name, uint64_t size) {
  Sha256 hash;
  std::string piece(std::min<uint64_t>(kPiece, std::max<uint64_t>(size, 1)), '\0');
  ByteSpan buffer = std::as_writable_bytes(std::span(piece));
  for (uint64_t offset = 0; offset < size;) {
    STEPPE_TRY(size_t got, directory.read(name, offset, buffer.first(std::min<uint64_t>(buffer.size(), size - offset))));
    if (got == 0) return {Code::kCorrupt, name + ": ends after " + std::to_string(offset) + " of " + std::to_string(size) + " bytes"};
    hash.add(buffer.first(got));
    offset += got;
  }
  return hash.finish();
}

Result<Facts> survey(Store& store, const BootFacts& boot) {
  Facts facts{.entry_selected = boot.entry_selected, .count_path = boot.count_path, .running_section = boot.running_section};
  STEPPE_TRY(std::vector<DirectoryEntry> entries, store.images.list());
  for (DirectoryEntry& entry : entries) {
    SlotFile file{.name = std::move(entry.name), .size = entry.size, .chain = entry.chain};
    bool ours = parse_slot_name(file.name) || is_part_name(file.name);
    if (ours && file.size > kMaxImage) file.fault = "larger than any image";
    if (ours && file.size > 0 && file.fault.empty()) {
      Result<Digest> digest = digest_of(store.images, file.name, file.size);
      if (digest.ok()) file.digest = *digest;
      else file.fault = digest.error().message();
      if (digest.ok() && !is_part_name(file.name)) {
        Result<Judged> judged = store.judge.judge(store.images, file.name, file.size);
        if (judged.ok()) {
          file.section = judged->section;
          file.manifest = std::move(judged->manifest);
        } else {
          file.fault = judged.error().message();
        }
      }
    }
    facts.files.push_back(std::move(file));
  }
  STEPPE_TRY(Space space, store.images.space());
  facts.free_bytes = space.free_bytes;
  facts.cluster_bytes = std::max<uint64_t>(space.cluster_bytes, 1);
  facts.record = read_record(store.record);
  return facts;
}

Result<> carry_out(const Plan& plan, Store& store, ImageSource* source) {
  for (const Step& step : plan.steps) STEPPE_TRY_VOID(carry_step(step, store, source));
  return {};
}

}  // namespace steppe::upgrade
