#include "agent/raft/snapshot.h"

#include <algorithm>
#include <format>

#include "agent/raft/wire.h"
#include "init/base/assert.h"

namespace steppe::raft {
namespace {

constexpr uint32_t kMagic = 0x4e535453;  // "STSN"
constexpr uint32_t kVersion = 1;
constexpr size_t kMaxHeader = 1 << 16;

uint32_t chunk_seal(const SnapshotPoint& point, uint64_t number, std::string_view bytes) {
  const uint64_t place[3] = {point.index, point.term, number};
  return crc32c(as_bytes(bytes), crc32c(std::as_bytes(std::span(place))));
}

// u32 magic, u32 version, u32 length, u32 checksum of the rest, then {index, term, conf}
std::string encode_header(const SnapshotPoint& point) {
  WireWriter body;
  body.put_u64(point.index);
  body.put_u64(point.term);
  body.put_conf(point.conf);
  WireWriter header;
  header.put_u32(kMagic);
  header.put_u32(kVersion);
  header.put_u32(static_cast<uint32_t>(body.bytes().size()));
  header.put_u32(crc32c(as_bytes(body.bytes())));
  return header.take() + body.bytes();
}

}  // namespace

std::string SnapshotName::text() const { return std::format("snap-{:016x}-{:016x}", index, term); }

std::optional<SnapshotName> SnapshotName::parse(std::string_view name) {
  if (name.size() != 38 || !name.starts_with("snap-") || name[21] != '-') return std::nullopt;
  uint64_t values[2] = {0, 0};
  for (size_t i = 0; i < 32; ++i) {
    const char c = name[(i < 16 ? 5 : 6) + i];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return std::nullopt;
    values[i / 16] = values[i / 16] << 4 | static_cast<uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return SnapshotName{values[0], values[1]};
}

io::Task<Result<std::unique_ptr<SnapshotWriter>>> SnapshotWriter::create(io::Directory& directory, std::string part, SnapshotPoint point) {
  auto opened = co_await directory.open(part, io::OpenMode::kCreate);
  if (!opened.ok()) co_return std::move(opened).error();
  std::unique_ptr<SnapshotWriter> writer(new SnapshotWriter(directory, std::move(part), std::move(point), *std::move(opened)));
  STEPPE_CO_TRY_VOID(co_await writer->file_->truncate(0));
  const std::string header = encode_header(writer->point_);
  STEPPE_CO_TRY_VOID(co_await writer->file_->write_at(0, as_bytes(header)));
  writer->end_ = header.size();
  co_return writer;
}

io::Task<Result<>> SnapshotWriter::put(std::string_view chunk) {
  WireWriter record;
  record.put_u32(static_cast<uint32_t>(chunk.size()));
  record.put_u32(chunk_seal(point_, chunks_++, chunk));
  const std::string bytes = record.take().append(chunk);
  STEPPE_CO_TRY_VOID(co_await file_->write_at(end_, as_bytes(bytes)));
  end_ += bytes.size();
  co_return {};
}

io::Task<Result<>> SnapshotWriter::write(std::string chunk) {
  STEPPE_ASSERT(!chunk.empty() && chunk.size() <= kMaxSnapshotChunk);
  co_return co_await put(chunk);
}

io::Task<Result<>> SnapshotWriter::finish() {
  STEPPE_CO_TRY_VOID(co_await put({}));
  STEPPE_CO_TRY_VOID(co_await file_->sync());
  file_.reset();
  STEPPE_CO_TRY_VOID(co_await directory_.rename(part_, SnapshotName{point_.index, point_.term}.text()));
  co_return co_await directory_.sync();
}

Error SnapshotReader::damaged(std::string_view what) const {
  return {Code::kCorrupt, std::format("snapshot {}: {}", name_, what)};
}

io::Task<Result<std::string>> SnapshotReader::read_exactly(size_t count) {
  std::string bytes(count, '\0');
  STEPPE_CO_TRY(const size_t got, co_await file_->read_at(at_, std::as_writable_bytes(std::span(bytes))));
  if (got != count) co_return damaged(std::format("it ends at byte {}", at_ + got));
  at_ += count;
  co_return bytes;
}

io::Task<Result<std::unique_ptr<SnapshotReader>>> SnapshotReader::open(io::Directory& directory, std::string name) {
  auto opened = co_await directory.open(name, io::OpenMode::kRead);
  if (!opened.ok()) co_return std::move(opened).error();
  std::unique_ptr<SnapshotReader> reader(new SnapshotReader(std::move(name), *std::move(opened)));
  STEPPE_CO_TRY(const std::string head, co_await reader->read_exactly(16));
  WireReader fields(head);
  const uint32_t magic = fields.u32();
  const uint32_t version = fields.u32();
  const uint32_t length = fields.u32();
  const uint32_t checksum = fields.u32();
  if (magic != kMagic || length > kMaxHeader) co_return reader->damaged("its header is damaged");
  if (version > kVersion) {
    co_return Error(Code::kUnsupported, std::format("snapshot {}: format {}, this program reads up to {}: start the newer "
                                                    "version again", reader->name_, version, kVersion));
  }
  STEPPE_CO_TRY(const std::string body, co_await reader->read_exactly(length));
  if (crc32c(as_bytes(body)) != checksum) co_return reader->damaged("its header is damaged");
  WireReader point(body);
  reader->point_.index = point.u64();
  reader->point_.term = point.u64();
  reader->point_.conf = point.conf();
  if (!point.ok() || reader->point_.index == 0) co_return reader->damaged("its header is damaged");
  co_return reader;
}

io::Task<Result<std::string>> SnapshotReader::next() {
  if (ended_) co_return std::string();
  STEPPE_CO_TRY(const std::string head, co_await read_exactly(8));
  const uint32_t length = load_le<uint32_t>(head.data());
  const uint32_t seal = load_le<uint32_t>(head.data() + 4);
  if (length > kMaxSnapshotChunk) co_return damaged(std::format("chunk {} is damaged", chunks_));
  STEPPE_CO_TRY(std::string chunk, co_await read_exactly(length));
  if (chunk_seal(point_, chunks_, chunk) != seal) co_return damaged(std::format("chunk {} is damaged", chunks_));
  ++chunks_;
  ended_ = length == 0;
  co_return chunk;
}

io::Task<Result<>> SnapshotReader::verify() {
  while (!ended_) STEPPE_CO_TRY_VOID(co_await next());
  co_return {};
}

io::Task<Result<std::vector<SnapshotName>>> list_snapshots(io::Directory& directory) {
  STEPPE_CO_TRY(const auto listing, co_await directory.list());
  std::vector<SnapshotName> names;
  for (const auto& item : listing) {
    if (const auto name = SnapshotName::parse(item.name)) names.push_back(*name);
  }
  std::ranges::reverse(names);  // the listing is sorted, the names sort as their numbers do
  co_return names;
}

io::Task<Result<SnapshotPoint>> find_newest_snapshot(io::Directory& directory) {
  STEPPE_CO_TRY(const auto names, co_await list_snapshots(directory));
  std::optional<Error> first;
  for (const SnapshotName& name : names) {
    auto reader = co_await SnapshotReader::open(directory, name.text());
    Result<> checked;
    if (reader.ok()) checked = co_await (*reader)->verify();
    else checked = reader.error();
    if (reader.ok() && checked.ok() && ((*reader)->point().index != name.index || (*reader)->point().term != name.term)) {
      checked = Error(Code::kCorrupt, std::format("snapshot {}: it holds another snapshot than its name says", name.text()));
    }
    if (checked.ok()) co_return (*reader)->point();
    if (checked.error().code() != Code::kCorrupt) co_return std::move(checked).error();
    if (!first) first = std::move(checked).error();
  }
  if (first) co_return *std::move(first);
  co_return SnapshotPoint{};
}

io::Task<Result<>> remove_old_snapshots(io::Directory& directory, Index keep) {
  STEPPE_CO_TRY(const auto names, co_await list_snapshots(directory));
  for (const SnapshotName& name : names) {
    if (name.index < keep) STEPPE_CO_TRY_VOID(co_await directory.remove(name.text()));
  }
  co_return {};
}

io::Task<Result<>> remove_unfinished_snapshots(io::Directory& directory) {
  STEPPE_CO_TRY(const auto listing, co_await directory.list());
  for (const auto& item : listing) {
    if (item.name.ends_with(".part")) STEPPE_CO_TRY_VOID(co_await directory.remove(item.name));
  }
  co_return {};
}

}  // namespace steppe::raft
