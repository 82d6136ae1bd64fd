#include <algorithm>
#include <format>
#include <map>

#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/state/alloc_codec.h"
#include "agent/state/entry.h"
#include "agent/state/persist.h"
#include "agent/state/persist_sections.h"
#include "agent/state/record.h"
#include "agent/state/writer.h"

namespace steppe::state {
namespace {

constexpr size_t kMaxVersions = 100000;  // of one job: a bound for what a record may make us reserve

Error damaged(std::string_view what) {
  return Error(Code::kCorrupt, std::format("persisted state: {}; restore an older one or fetch it from a peer", what));
}

template <class Message>
Result<Message> parse(std::string_view bytes, std::string_view what) {
  Message message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return damaged(std::format("{} does not decode", what));
  }
  return message;
}

}  // namespace

struct PersistReader::Progress {
  std::unique_ptr<Writer> writer = std::make_unique<Writer>(Writer::Start::kEmpty);
  std::string buffer;
  uint64_t sequence = 0;
  uint16_t last_section = 0;
  bool ended = false;
  uint64_t index = 0;
  uint32_t cluster_version = 0;
  std::array<uint64_t, kTables> table_index{};
  std::array<uint64_t, kTables> digests{};
  std::map<uint64_t, JobSpec*> specs;

  ~Progress() {
    for (auto& [number, spec] : specs) {
      if (writer != nullptr) writer->reclaimer().release(spec);
    }
  }
  Result<> read_chunk(std::string_view header, std::string_view payload);
  Result<> read_record(Section section, std::string_view record);
  Result<> read_meta(RecordIn in);
  Result<> read_end(RecordIn in);
  Result<> read_spec(RecordIn in);
  Result<> read_node(RecordIn in);
  Result<> read_job(RecordIn in);
  Result<> read_eval(RecordIn in);
  Result<> read_alloc(RecordIn in);
  Result<> read_deployment(RecordIn in);
  Result<> read_plain(RecordIn in, Section section);
};

Result<> PersistReader::Progress::read_chunk(std::string_view header, std::string_view payload) {
  auto format = load_le<uint16_t>(header.data() + 4);
  auto section = load_le<uint16_t>(header.data() + 6);
  uint32_t sum = crc32c(as_bytes(payload), crc32c(as_bytes(header.substr(0, 20))));
  if (sum != load_le<uint32_t>(header.data() + 20))
    return damaged(std::format("chunk {} fails its checksum", sequence));
  if (format > kPersistFormat || section > static_cast<uint16_t>(Section::kEnd)) {
    return Error(Code::kUnsupported, std::format("persisted state: format {} is newer than this program", format));
  }
  if (load_le<uint64_t>(header.data() + 12) != sequence) return damaged(std::format("chunk {} is missing", sequence));
  if (ended) return damaged("bytes after the end");
  if (sequence == 0 && section != static_cast<uint16_t>(Section::kMeta)) return damaged("the beginning is missing");
  ++sequence;
  RecordIn records(payload);
  while (!records.done()) {
    std::string_view record = records.text();
    if (!records.ok()) return damaged(std::format("chunk {} is cut", sequence - 1));
    STEPPE_TRY_VOID(read_record(static_cast<Section>(section), record).wrap(std::format("section {}", section)));
  }
  return {};
}

Result<> PersistReader::Progress::read_record(Section section, std::string_view record) {
  RecordIn in(record);
  switch (section) {
    case Section::kMeta: return read_meta(in);
    case Section::kNodes: return read_node(in);
    case Section::kSpecs: return read_spec(in);
    case Section::kJobs: return read_job(in);
    case Section::kEvals: return read_eval(in);
    case Section::kAllocs: return read_alloc(in);
    case Section::kDeployments: return read_deployment(in);
    case Section::kPools:
    case Section::kConfig: return read_plain(in, section);
    case Section::kEnd: return read_end(in);
  }
  return damaged("unknown section");
}

Result<> PersistReader::Progress::read_meta(RecordIn in) {
  index = in.number();
  cluster_version = static_cast<uint32_t>(in.number());
  uint64_t tables = in.number();
  if (tables > kTables) return Error(Code::kUnsupported, "persisted state: has tables that this program does not know");
  for (uint64_t i = 0; i < tables; ++i) table_index[i] = in.number();
  if (!in.done()) return damaged("the head does not decode");
  return {};
}

Result<> PersistReader::Progress::read_end(RecordIn in) {
  uint64_t tables = std::min<uint64_t>(in.number(), kTables);
  for (uint64_t i = 0; i < tables; ++i) digests[i] = in.number();
  if (!in.done()) return damaged("the end does not decode");
  ended = true;
  return {};
}

Result<> PersistReader::Progress::read_spec(RecordIn in) {
  uint64_t number = in.number();
  std::string_view bytes = in.text();
  if (!in.done() || specs.contains(number)) return damaged("a job specification does not decode");
  STEPPE_TRY(auto job, parse<schema::Job>(bytes, "a job specification"));
  uint64_t version = job.version();
  uint64_t create_index = job.create_index();
  uint64_t modify_index = job.job_modify_index();
  JobSpec* spec = make_spec(std::move(job), version, create_index, modify_index);
  specs.emplace(number, Reclaimer::retain(spec));
  return {};
}

Result<> PersistReader::Progress::read_node(RecordIn in) {
  uint64_t last_update = in.number();
  std::string_view bytes = in.text();
  if (!in.done()) return damaged("a node does not decode");
  STEPPE_TRY(auto node, parse<schema::Node>(bytes, "a node"));
  if (!Uuid::parse(node.id()).ok() || !parse_node_status(node.status()).ok()) return damaged("a node has no valid id");
  NodeRow* row = make_node_row(node);
  row->last_alloc_update_index = last_update;
  writer->put_node(row);
  return {};
}

Result<> PersistReader::Progress::read_job(RecordIn in) {
  auto* row = new JobRow();
  // Counted from the start: whatever fails below, release() frees it with what it holds.
  Reclaimer::retain(row);
  auto fail = [&](std::string_view what) {
    writer->reclaimer().release(row);
    return damaged(what);
  };
  auto reclaim_version = [&](const JobVersion& version) { writer->reclaimer().release(version.spec); };
  uint64_t versions = in.number();
  if (versions == 0 || versions > kMaxVersions) return fail("a job has no versions");
  for (uint64_t i = 0; i < versions; ++i) {
    auto spec = specs.find(in.number());
    if (spec == specs.end()) return fail("a job names a specification that is not there");
    JobVersion version{.spec = Reclaimer::retain(spec->second)};
    version.stable = in.number() != 0;
    version.tag = in.text();
    version.submission = in.text();
    if (!parse<schema::JobVersionTag>(version.tag, "tag").ok() ||
        !parse<schema::JobSubmission>(version.submission, "submission").ok()) {
      reclaim_version(version);
      return fail("a job's tag or source does not decode");
    }
    row->versions.push_back(std::move(version));
  }
  uint64_t status = in.number();
  if (status > static_cast<uint64_t>(JobStatus::kDead)) return fail("a job has no valid status");
  row->status = static_cast<JobStatus>(status);
  row->status_description = in.text();
  row->create_index = in.number();
  row->modify_index = in.number();
  for (uint64_t groups = in.number(); groups > 0 && in.ok(); --groups) {
    GroupSummary g;
    g.name = in.text();
    for (int64_t* n : {&g.queued, &g.complete, &g.failed, &g.running, &g.starting, &g.lost, &g.unknown}) {
      *n = in.signed_number();
    }
    row->groups.push_back(std::move(g));
  }
  for (int64_t* n : {&row->children_pending, &row->children_running, &row->children_dead}) *n = in.signed_number();
  row->summary_create_index = in.number();
  row->summary_modify_index = in.number();
  if (!in.done()) return fail("a job does not decode");
  writer->put_job(row, 0);
  writer->reclaimer().release(row);
  return {};
}

Result<> PersistReader::Progress::read_eval(RecordIn in) {
  std::string_view bytes = in.text();
  if (!in.done()) return damaged("an evaluation does not decode");
  STEPPE_TRY(auto eval, parse<schema::Evaluation>(bytes, "an evaluation"));
  if (!Uuid::parse(eval.id()).ok() || !parse_eval_status(eval.status()).ok() || !parse_job_type(eval.type()).ok()) {
    return damaged("an evaluation has no valid id, status or type");
  }
  writer->put_eval(make_eval_row(eval));
  return {};
}

Result<> PersistReader::Progress::read_alloc(RecordIn in) {
  auto spec = specs.find(in.number());
  Usage usage;
  for (int32_t* n : {&usage.cpu, &usage.memory, &usage.memory_max, &usage.disk, &usage.cores}) {
    *n = static_cast<int32_t>(in.signed_number());
  }
  auto ports = static_cast<uint16_t>(in.number());
  std::string_view bytes = in.text();
  if (!in.done() || spec == specs.end()) return damaged("an alloc does not decode");
  STEPPE_TRY(auto alloc, parse<schema::Allocation>(bytes, "an alloc"));
  if (Result<> checked = check_alloc(alloc); !checked.ok()) return damaged(checked.error().message());
  Result<DesiredStatus> desired = parse_desired_status(alloc.desired_status());
  Result<ClientStatus> client = parse_client_status(alloc.client_status());
  if (!desired.ok() || !client.ok()) return damaged("an alloc has no valid status");
  AllocDraft draft;
  draft.placement = make_placement(alloc, *spec->second, alloc.create_index(), alloc.create_time(), PortRange{});
  draft.placement->usage = usage;
  draft.placement->ports = ports;
  draft.placement->digest = draft.placement->compute_digest();
  take_changing_fields(alloc, draft.fields);
  draft.desired = *desired;
  draft.client = *client;
  draft.modify_index = alloc.modify_index();
  draft.alloc_modify_index = alloc.alloc_modify_index();
  draft.modify_time = alloc.modify_time();
  writer->put_alloc(seal(draft));
  return {};
}

Result<> PersistReader::Progress::read_deployment(RecordIn in) {
  std::string_view bytes = in.text();
  if (!in.done()) return damaged("a deployment does not decode");
  STEPPE_TRY(auto deployment, parse<schema::Deployment>(bytes, "a deployment"));
  if (!Uuid::parse(deployment.id()).ok() || !parse_deployment_status(deployment.status()).ok()) {
    return damaged("a deployment has no valid id or status");
  }
  writer->put_deployment(make_deployment_row(deployment));
  return {};
}

Result<> PersistReader::Progress::read_plain(RecordIn in, Section section) {
  std::string_view bytes = in.text();
  if (!in.done()) return damaged("a record does not decode");
  auto* row = new PlainRow();
  row->bytes = bytes;
  if (section == Section::kConfig) {
    row->name = "scheduler";
    writer->put_config(row);
    return {};
  }
  auto pool = parse<schema::NodePool>(bytes, "a node pool");
  if (!pool.ok()) {
    delete row;
    return std::move(pool).error();
  }
  row->name = pool->name();
  writer->put_pool(row);
  return {};
}

PersistReader::PersistReader() : progress_(std::make_unique<Progress>()) {}
PersistReader::~PersistReader() = default;

Result<> PersistReader::feed(ByteView bytes) {
  std::string& buffer = progress_->buffer;
  buffer.append(as_text(bytes));
  size_t at = 0;
  while (buffer.size() - at >= kChunkHeader) {
    auto size = load_le<uint32_t>(buffer.data() + at);
    if (size > kChunkLimit + kChunkTarget) return damaged("a chunk is larger than any may be");
    if (buffer.size() - at < kChunkHeader + size) break;
    std::string_view header = std::string_view(buffer).substr(at, kChunkHeader);
    std::string_view payload = std::string_view(buffer).substr(at + kChunkHeader, size);
    STEPPE_TRY_VOID(progress_->read_chunk(header, payload));
    // Change records are for entries; a restore has nobody to tell row by row.
    progress_->writer->take_changes();
    at += kChunkHeader + size;
  }
  buffer.erase(0, at);
  return {};
}

Result<std::unique_ptr<Writer>> PersistReader::finish() {
  Progress& p = *progress_;
  if (!p.buffer.empty() || !p.ended) return damaged("the end is missing");
  Root& root = p.writer->root();
  for (auto c = root.jobs.keys.first(); c.valid(); c.next()) {
    // Counts are derived and outside of the digest: the fresh row is changed where it lies.
    count_rows(root, const_cast<JobRow&>(*root.jobs.at(c.value())));
  }
  root.index = p.index;
  root.cluster_version = p.cluster_version;
  root.table_index = p.table_index;
  for (size_t i = 0; i < kTables; ++i) {
    if (root.digests[i] != p.digests[i]) {
      return damaged(std::format("table {} differs from the original", table_name(static_cast<Table>(i))));
    }
  }
  for (auto& [number, spec] : p.specs) p.writer->reclaimer().release(spec);
  p.specs.clear();
  return std::move(p.writer);
}

}  // namespace steppe::state
