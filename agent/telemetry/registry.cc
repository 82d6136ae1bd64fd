#include "agent/telemetry/registry.h"

#include <algorithm>
#include <cmath>
#include <format>

#include "agent/schema/stats.pb.h"
#include "init/base/assert.h"
#include "init/base/text.h"

namespace steppe::telemetry {
namespace {

constexpr Duration kInterval = std::chrono::seconds(10);

constexpr MetricRow kRows[] = {
#define STEPPE_TELEMETRY_ROW(e, kind, name, help) {Metric::k##e, Kind::kind, name, help},
    STEPPE_TELEMETRY_METRICS(STEPPE_TELEMETRY_ROW)
#undef STEPPE_TELEMETRY_ROW
};

// "2026-11-21 11:16:00 +0000 UTC": the interval's start as Go prints a time.
std::string go_time(int64_t unix_ns) {
  std::string text = format_rfc3339({unix_ns - unix_ns % 1'000'000'000});
  text.replace(text.find('T'), 1, " ");
  text.replace(text.find('Z'), 1, " +0000 UTC");
  return text;
}

std::string prometheus_name(std::string_view name) {
  std::string text(name);
  std::ranges::replace(text, '.', '_');
  return text;
}

}  // namespace

std::span<const MetricRow> metric_rows() { return kRows; }

void Registry::Aggregate::add(double value) {
  min = count == 0 ? value : std::min(min, value);
  max = count == 0 ? value : std::max(max, value);
  ++count;
  sum += value;
  sum_of_squares += value * value;
}

int64_t Registry::interval() const { return clock_.wall().unix_ns / kInterval.count(); }

void Registry::roll(Cell& cell, int64_t interval) {
  if (cell.interval == interval) return;
  cell.last = cell.interval + 1 == interval ? cell.current : Aggregate();
  cell.current = Aggregate();
  cell.interval = interval;
}

void Registry::set(Metric metric, double value) {
  STEPPE_ASSERT(kRows[static_cast<size_t>(metric)].kind == Kind::kGauge);
  const std::lock_guard lock(mutex_);
  Cell& cell = cells_[static_cast<size_t>(metric)];
  cell.set = true;
  cell.gauge = value;
}

void Registry::count(Metric metric, uint64_t events) {
  STEPPE_ASSERT(kRows[static_cast<size_t>(metric)].kind == Kind::kCounter);
  record(metric, static_cast<double>(events));
}

void Registry::sample(Metric metric, double value) {
  STEPPE_ASSERT(kRows[static_cast<size_t>(metric)].kind == Kind::kSample);
  record(metric, value);
}

void Registry::record(Metric metric, double value) {
  const int64_t now = interval();
  const std::lock_guard lock(mutex_);
  Cell& cell = cells_[static_cast<size_t>(metric)];
  roll(cell, now);
  cell.current.add(value);
  cell.total.add(value);
}

schema::MetricsSummary Registry::summary() const {
  const int64_t now = interval();
  schema::MetricsSummary summary;
  summary.set_timestamp(go_time((now - 1) * kInterval.count()));
  const std::lock_guard lock(mutex_);
  for (const MetricRow& row : kRows) {
    Cell& cell = cells_[static_cast<size_t>(row.metric)];
    if (row.kind == Kind::kGauge) {
      if (!cell.set) continue;
      schema::GaugeValue* gauge = summary.add_gauges();
      gauge->set_name(std::string(row.name));
      gauge->set_value(cell.gauge);
      continue;
    }
    roll(cell, now);
    const Aggregate& last = cell.last;
    if (last.count == 0) continue;
    schema::SampledValue* value = row.kind == Kind::kCounter ? summary.add_counters() : summary.add_samples();
    const auto n = static_cast<double>(last.count);
    value->set_name(std::string(row.name));
    value->set_count(static_cast<int64_t>(last.count));
    value->set_rate(last.sum / std::chrono::duration<double>(kInterval).count());
    value->set_sum(last.sum);
    value->set_min(last.min);
    value->set_max(last.max);
    value->set_mean(last.sum / n);
    if (last.count > 1) value->set_stddev(std::sqrt(std::max(0.0, (n * last.sum_of_squares - last.sum * last.sum) / (n * (n - 1)))));
  }
  return summary;
}

std::string Registry::prometheus() const {
  std::string text;
  const std::lock_guard lock(mutex_);
  for (const MetricRow& row : kRows) {
    const Cell& cell = cells_[static_cast<size_t>(row.metric)];
    const std::string name = prometheus_name(row.name);
    const std::string_view kind = row.kind == Kind::kGauge ? "gauge" : row.kind == Kind::kCounter ? "counter" : "summary";
    text += std::format("# HELP {} {}\n# TYPE {} {}\n", name, row.help, name, kind);
    if (row.kind == Kind::kGauge) text += std::format("{} {}\n", name, cell.gauge);
    if (row.kind == Kind::kCounter) text += std::format("{} {}\n", name, cell.total.sum);
    if (row.kind == Kind::kSample) text += std::format("{}_sum {}\n{}_count {}\n", name, cell.total.sum, name, cell.total.count);
  }
  return text;
}

}  // namespace steppe::telemetry
