#include "agent/state/score_pack.h"

#include <array>
#include <map>

#include "agent/schema/alloc.pb.h"
#include "init/base/bytes.h"
#include "init/base/ids.h"

namespace steppe::state {
namespace {

// The code of a name is its place here plus one. Append only: codes are in persisted snapshots.
constexpr std::array<std::string_view, 8> kNames{"binpack",       "job-anti-affinity", "node-reschedule-penalty",
                                                 "node-affinity", "allocation-spread", "devices",
                                                 "preemption",    "normalized-score"};

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
bool take(std::string_view& in, T& value) {
  if (in.size() < sizeof value) return false;
  value = load_le<T>(in.data());
  in.remove_prefix(sizeof value);
  return true;
}

bool can_pack(const schema::AllocMetric& metric) {
  if (metric.score_meta_data().empty() || metric.score_meta_data_size() > 255) return false;
  for (const schema::NodeScoreMeta& meta : metric.score_meta_data()) {
    Result<Uuid> id = Uuid::parse(meta.node_id());
    if (!id.ok() || id->text() != meta.node_id() || meta.scores_size() > 255) return false;
    for (const auto& [name, score] : meta.scores()) {
      if (name.size() > 255) return false;
    }
  }
  return true;
}

void put_score(std::string& out, std::string_view name, double score) {
  size_t code = 0;
  while (code < kNames.size() && kNames[code] != name) ++code;
  if (code < kNames.size()) {
    put(out, static_cast<uint8_t>(code + 1));
  } else {
    put(out, uint8_t{0});
    put(out, static_cast<uint8_t>(name.size()));
    out.append(name);
  }
  put(out, score);
}

bool take_score(std::string_view& in, schema::NodeScoreMeta& meta) {
  uint8_t code = 0;
  if (!take(in, code) || code > kNames.size()) return false;
  std::string name;
  if (code > 0) {
    name = kNames[code - 1];
  } else {
    uint8_t size = 0;
    if (!take(in, size) || in.size() < size) return false;
    name = in.substr(0, size);
    in.remove_prefix(size);
  }
  double score = 0;
  if (!take(in, score)) return false;
  (*meta.mutable_scores())[name] = score;
  return true;
}

}  // namespace

std::string pack_scores(schema::AllocMetric& metric) {
  std::string out;
  if (!can_pack(metric)) return out;
  put(out, static_cast<uint8_t>(metric.score_meta_data_size()));
  for (const schema::NodeScoreMeta& meta : metric.score_meta_data()) {
    out.append(as_text(Uuid::parse(meta.node_id())->bytes));
    put(out, meta.norm_score());
    put(out, static_cast<uint8_t>(meta.scores_size()));
    for (const auto& [name, score] : std::map<std::string, double>(meta.scores().begin(), meta.scores().end())) {
      put_score(out, name, score);
    }
  }
  metric.clear_score_meta_data();
  return out;
}

bool unpack_scores(std::string_view packed, schema::AllocMetric& metric) {
  uint8_t nodes = 0;
  if (!take(packed, nodes)) return false;
  for (; nodes > 0; --nodes) {
    schema::NodeScoreMeta& meta = *metric.add_score_meta_data();
    Uuid id;
    double norm = 0;
    uint8_t scores = 0;
    if (!take(packed, id) || !take(packed, norm) || !take(packed, scores)) return false;
    meta.set_node_id(id.text());
    meta.set_norm_score(norm);
    for (; scores > 0; --scores) {
      if (!take_score(packed, meta)) return false;
    }
  }
  return packed.empty();
}

}  // namespace steppe::state
