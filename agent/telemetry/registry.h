#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "agent/telemetry/metrics.h"
#include "init/base/clock.h"

namespace steppe::schema {
class MetricsSummary;
}

namespace steppe::telemetry {

enum class Metric : uint16_t {
#define STEPPE_TELEMETRY_ENUMERATE(e, ...) k##e,
  STEPPE_TELEMETRY_METRICS(STEPPE_TELEMETRY_ENUMERATE)
#undef STEPPE_TELEMETRY_ENUMERATE
      kCount,
};

enum class Kind : uint8_t { kGauge, kCounter, kSample };

struct MetricRow {
  Metric metric;
  Kind kind;
  std::string_view name;
  std::string_view help;
};
std::span<const MetricRow> metric_rows();

// The agent's numbers. Thread-safe, bounded: a fixed number of metrics, two intervals of ten seconds each.
class Registry {
 public:
  explicit Registry(const Clock& clock) : clock_(clock) {}

  void set(Metric metric, double value);           // gauges
  void count(Metric metric, uint64_t events = 1);  // counters
  void sample(Metric metric, double value);        // samples
  void sample(Metric metric, Duration duration) { sample(metric, std::chrono::duration<double, std::milli>(duration).count()); }

  // /v1/metrics: gauges as they are, counters and samples of the last whole interval.
  schema::MetricsSummary summary() const;
  // The text exposition format 0.0.4: counters and samples since the start.
  std::string prometheus() const;

 private:
  struct Aggregate {
    uint64_t count = 0;
    double sum = 0;
    double sum_of_squares = 0;
    double min = 0;
    double max = 0;
    void add(double value);
  };
  struct Cell {
    bool set = false;
    double gauge = 0;
    Aggregate total;
    Aggregate current;
    Aggregate last;
    int64_t interval = -1;  // which interval `current` is of
  };
  void record(Metric metric, double value);
  static void roll(Cell& cell, int64_t interval);
  int64_t interval() const;

  const Clock& clock_;
  mutable std::mutex mutex_;
  mutable std::array<Cell, static_cast<size_t>(Metric::kCount)> cells_;
};

}  // namespace steppe::telemetry
