#include <map>
#include <unordered_map>

#include "agent/state/alloc_codec.h"
#include "agent/state/persist.h"
#include "agent/state/persist_sections.h"
#include "agent/state/record.h"
#include "agent/state/root.h"

namespace steppe::state {

struct PersistWriter::Progress {
  explicit Progress(Snapshot from) : snapshot(std::move(from)), root(snapshot.root()) {}

  Snapshot snapshot;
  const Root& root;
  Section section = Section::kMeta;
  bool started = false;  // the cursor of the section stands
  bool done = false;
  Tree<Uuid, uint32_t>::Cursor ids;
  Tree<std::string, uint32_t>::Cursor names;
  std::unordered_map<const JobSpec*, uint64_t> specs;  // looked up only
  uint64_t sequence = 0;
  Section chunk_section = Section::kMeta;
  std::string payload;
  std::string waiting;  // a chunk that must go out before the one being filled

  void add(Section to, std::string record);
  void close_chunk();
  uint64_t spec_number(const JobSpec& spec);
  bool step();
  void next_section() {
    section = static_cast<Section>(static_cast<uint16_t>(section) + 1);
    started = false;
  }
  template <class Row, class Write>
  void walk_ids(const Rows<Row, Uuid>& rows, Write write);
  void write_meta();
  void write_end();
  void write_job(const JobRow& row);
  void write_alloc(const AllocRow& row);
};

void PersistWriter::Progress::close_chunk() {
  if (payload.empty()) return;
  std::string chunk(kChunkHeader, '\0');
  store_le(chunk.data(), static_cast<uint32_t>(payload.size()));
  store_le(chunk.data() + 4, kPersistFormat);
  store_le(chunk.data() + 6, static_cast<uint16_t>(chunk_section));
  store_le(chunk.data() + 8, root.cluster_version);
  store_le(chunk.data() + 12, sequence++);
  uint32_t sum = crc32c(as_bytes(payload), crc32c(as_bytes(std::string_view(chunk).substr(0, 20))));
  store_le(chunk.data() + 20, sum);
  waiting += chunk + payload;
  payload.clear();
}

void PersistWriter::Progress::add(Section to, std::string record) {
  if (to != chunk_section) close_chunk();
  chunk_section = to;
  payload += RecordOut().number(record.size()).take();
  payload += record;
  if (payload.size() >= kChunkTarget) close_chunk();
}

uint64_t PersistWriter::Progress::spec_number(const JobSpec& spec) {
  auto [at, added] = specs.emplace(&spec, specs.size() + 1);
  if (added) add(Section::kSpecs, RecordOut().number(at->second).text(spec.bytes).take());
  return at->second;
}

void PersistWriter::Progress::write_meta() {
  RecordOut out;
  out.number(root.index).number(root.cluster_version).number(kTables);
  for (uint64_t index : root.table_index) out.number(index);
  add(Section::kMeta, out.take());
}

void PersistWriter::Progress::write_end() {
  RecordOut out;
  out.number(kTables);
  for (uint64_t digest : root.digests) out.number(digest);
  add(Section::kEnd, out.take());
}

void PersistWriter::Progress::write_job(const JobRow& row) {
  RecordOut out;
  out.number(row.versions.size());
  for (const JobVersion& version : row.versions) {
    out.number(spec_number(*version.spec)).number(version.stable ? 1 : 0).text(version.tag).text(version.submission);
  }
  out.number(static_cast<uint64_t>(row.status)).text(row.status_description);
  out.number(row.create_index).number(row.modify_index).number(row.groups.size());
  for (const GroupSummary& g : row.groups) {
    out.text(g.name);
    for (int64_t n : {g.queued, g.complete, g.failed, g.running, g.starting, g.lost, g.unknown}) out.signed_number(n);
  }
  for (int64_t n : {row.children_pending, row.children_running, row.children_dead}) out.signed_number(n);
  out.number(row.summary_create_index).number(row.summary_modify_index);
  add(Section::kJobs, out.take());
}

void PersistWriter::Progress::write_alloc(const AllocRow& row) {
  const Placement& p = *row.placement;
  RecordOut out;
  out.number(spec_number(*p.spec));
  for (int32_t n : {p.usage.cpu, p.usage.memory, p.usage.memory_max, p.usage.disk, p.usage.cores}) {
    out.signed_number(n);
  }
  out.number(p.ports).text(encode(decode_alloc(row)));
  add(Section::kAllocs, out.take());
}

template <class Row, class Write>
void PersistWriter::Progress::walk_ids(const Rows<Row, Uuid>& rows, Write write) {
  if (!started) {
    ids = rows.keys.first();
    started = true;
  }
  for (; ids.valid() && waiting.empty(); ids.next()) write(*rows.at(ids.value()));
  if (!ids.valid()) next_section();
}

// Goes on until a chunk is ready; false when all is written.
bool PersistWriter::Progress::step() {
  switch (section) {
    case Section::kMeta:
      write_meta();
      next_section();
      return true;
    case Section::kNodes:
      walk_ids(root.nodes, [&](const NodeRow& row) {
        add(Section::kNodes, RecordOut().number(row.last_alloc_update_index).text(row.bytes).take());
      });
      return true;
    case Section::kSpecs: next_section(); return true;
    case Section::kJobs:
      if (!started) names = root.jobs.keys.first(), started = true;
      for (; names.valid() && waiting.empty(); names.next()) write_job(*root.jobs.at(names.value()));
      if (!names.valid()) next_section();
      return true;
    case Section::kEvals:
      walk_ids(root.evals, [&](const EvalRow& row) { add(Section::kEvals, RecordOut().text(row.bytes).take()); });
      return true;
    case Section::kAllocs: walk_ids(root.allocs, [&](const AllocRow& row) { write_alloc(row); }); return true;
    case Section::kDeployments:
      walk_ids(root.deployments,
               [&](const DeploymentRow& row) { add(Section::kDeployments, RecordOut().text(row.bytes).take()); });
      return true;
    case Section::kPools:
      for (auto c = root.node_pools.keys.first(); c.valid(); c.next()) {
        add(Section::kPools, RecordOut().text(root.node_pools.at(c.value())->bytes).take());
      }
      next_section();
      return true;
    case Section::kConfig:
      if (auto* row = static_cast<const PlainRow*>(root.config.get(0)); row != nullptr) {
        add(Section::kConfig, RecordOut().text(row->bytes).take());
      }
      next_section();
      return true;
    case Section::kEnd:
      write_end();
      close_chunk();
      next_section();
      return true;
  }
  return false;
}

PersistWriter::PersistWriter(Snapshot snapshot) : progress_(std::make_unique<Progress>(std::move(snapshot))) {}
PersistWriter::~PersistWriter() = default;

std::string PersistWriter::next_chunk() {
  while (progress_->waiting.empty() && progress_->step()) {
  }
  return std::exchange(progress_->waiting, {});
}

}  // namespace steppe::state
