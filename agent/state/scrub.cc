#include "agent/state/scrub.h"

#include <array>
#include <format>

#include "agent/state/root.h"

namespace steppe::state {
namespace {

Error flipped(Table table, std::string_view key, std::string_view what) {
  return Error(Code::kCorrupt, std::format("background check: table {}: {}: {}; memory of this server is damaged",
                                           table_name(table), key, what));
}

std::string key_text(const Uuid& id) { return id.text(); }
std::string key_text(const std::string& key) {
  std::string text = key;
  for (char& c : text) c = c == '\0' ? '/' : c;
  return text;
}

}  // namespace

struct Scrub::Progress {
  explicit Progress(Snapshot from) : snapshot(std::move(from)), root(snapshot.root()) {}

  Snapshot snapshot;
  const Root& root;
  int stage = 0;
  bool started = false;
  Tree<Uuid, uint32_t>::Cursor ids;
  Tree<std::string, uint32_t>::Cursor names;
  uint64_t checked = 0;
  uint64_t sum = 0;
  uint64_t rows = 0;

  // Walks one table; `check` looks deeper into a row and returns what is wrong, or nothing.
  template <class Row, class Key, class Check>
  Result<> walk(Table table, const Rows<Row, Key>& in, typename Tree<Key, uint32_t>::Cursor& cursor, size_t& budget,
                Check check) {
    if (!started) {
      cursor = in.keys.first();
      started = true;
      sum = rows = 0;
    }
    for (; cursor.valid() && budget > 0; cursor.next(), --budget) {
      const Row* row = in.at(cursor.value());
      if (row == nullptr) return flipped(table, key_text(cursor.key()), "the index points at no row");
      if (row->compute_digest() != row->digest)
        return flipped(table, key_text(cursor.key()), "the row changed by itself");
      std::string_view wrong = check(*row, cursor.value(), cursor.key());
      if (!wrong.empty()) return flipped(table, key_text(cursor.key()), wrong);
      sum += row->digest;
      ++rows;
      ++checked;
    }
    if (cursor.valid()) return {};
    if (sum != root.digests[static_cast<size_t>(table)] || rows != in.size()) {
      return flipped(table, "sum", std::format("{} rows do not add up to the table's digest", rows));
    }
    ++stage;
    started = false;
    return {};
  }

  std::string_view check_alloc(const AllocRow& row, uint32_t ordinal, const Uuid& id) const {
    const Placement& p = *row.placement;
    if (p.compute_digest() != p.digest) return "the placement changed by itself";
    if (p.spec->compute_digest() != p.spec->digest) return "the job specification changed by itself";
    if (p.id != id) return "the index has another key";
    bool indexed =
        root.allocs_by_node.contains(Posting::of(owner_of(p.node_id), ordinal)) &&
        root.allocs_by_job.contains(Posting::of(owner_of(p.spec->ns, p.spec->id), ordinal)) &&
        root.allocs_by_eval.contains(Posting::of(owner_of(p.eval_id), ordinal)) &&
        (p.deployment_id.nil() || root.allocs_by_deployment.contains(Posting::of(owner_of(p.deployment_id), ordinal)));
    return indexed ? std::string_view() : "an index has lost it";
  }
  std::string_view check_job(const JobRow& row, uint32_t, const std::string& key) const {
    for (const JobVersion& version : row.versions) {
      if (version.spec->compute_digest() != version.spec->digest) return "a version changed by itself";
    }
    return job_key(row.spec().ns, row.spec().id) == key ? std::string_view() : "the index has another key";
  }
  std::string_view check_eval(const EvalRow& row, uint32_t ordinal, const Uuid& id) const {
    if (row.id != id) return "the index has another key";
    bool indexed = root.evals_by_job.contains(Posting::of(owner_of(row.ns, row.job_id), ordinal)) &&
                   root.evals_by_index.contains(Posting::of(row.create_index, ordinal));
    return indexed ? std::string_view() : "an index has lost it";
  }

  Result<> check_some(size_t& budget) {
    auto same_id = [](const auto& row, uint32_t, const Uuid& id) {
      return row.id == id ? std::string_view() : std::string_view("the index has another key");
    };
    switch (stage) {
      case 0: return walk(Table::kNodes, root.nodes, ids, budget, same_id);
      case 1:
        return walk(Table::kJobs, root.jobs, names, budget,
                    [&](const JobRow& row, uint32_t at, const std::string& key) { return check_job(row, at, key); });
      case 2:
        return walk(Table::kEvals, root.evals, ids, budget,
                    [&](const EvalRow& row, uint32_t at, const Uuid& id) { return check_eval(row, at, id); });
      case 3:
        return walk(Table::kAllocs, root.allocs, ids, budget,
                    [&](const AllocRow& row, uint32_t at, const Uuid& id) { return check_alloc(row, at, id); });
      case 4: return walk(Table::kDeployments, root.deployments, ids, budget, same_id);
      case 5:
        return walk(Table::kNodePools, root.node_pools, names, budget,
                    [](const PlainRow& row, uint32_t, const std::string& key) {
                      return row.name == key ? std::string_view() : std::string_view("the index has another key");
                    });
      default: return {};
    }
  }
};

namespace {
constexpr int kStages = 6;
}

Scrub::Scrub(Snapshot snapshot) : progress_(std::make_unique<Progress>(std::move(snapshot))) {}
Scrub::~Scrub() = default;

uint64_t Scrub::checked() const { return progress_->checked; }

Result<bool> Scrub::step(size_t rows) {
  size_t budget = rows;
  while (progress_->stage < kStages && budget > 0) STEPPE_TRY_VOID(progress_->check_some(budget));
  return progress_->stage == kStages;
}

}  // namespace steppe::state
