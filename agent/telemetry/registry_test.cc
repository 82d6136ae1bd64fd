#include "agent/telemetry/registry.h"

#include <gtest/gtest.h>

#include <set>

#include "agent/schema/stats.pb.h"

namespace steppe::telemetry {
namespace {

class FakeClock final : public Clock {
 public:
  MonoTime now() const override { return {at}; }
  WallTime wall() const override { return {at}; }
  int64_t at = 1'000'000'000'000;
};

TEST(RegistryTest, NamesAreUnique) {
  std::set<std::string_view> names;
  for (const MetricRow& row : metric_rows()) EXPECT_TRUE(names.insert(row.name).second) << row.name;
}

TEST(RegistryTest, SummaryShowsTheLastWholeInterval) {
  FakeClock clock;
  Registry registry(clock);
  registry.set(Metric::kBrokerReady, 7);
  registry.count(Metric::kRpcRequest, 3);
  registry.count(Metric::kRpcRequest, 2);
  registry.sample(Metric::kFsmApply, 1.0);
  registry.sample(Metric::kFsmApply, 3.0);
  schema::MetricsSummary summary = registry.summary();
  ASSERT_EQ(summary.gauges_size(), 1);
  EXPECT_EQ(summary.gauges(0).name(), "nomad.broker.total_ready");
  EXPECT_EQ(summary.gauges(0).value(), 7);
  EXPECT_EQ(summary.counters_size(), 0);  // the interval is not over
  clock.at += 10'000'000'000;
  summary = registry.summary();
  ASSERT_EQ(summary.counters_size(), 1);
  EXPECT_EQ(summary.counters(0).sum(), 5);
  EXPECT_EQ(summary.counters(0).count(), 2);
  ASSERT_EQ(summary.samples_size(), 1);
  EXPECT_EQ(summary.samples(0).mean(), 2.0);
  EXPECT_EQ(summary.samples(0).min(), 1.0);
  EXPECT_EQ(summary.samples(0).max(), 3.0);
  EXPECT_NEAR(summary.samples(0).stddev(), 1.41421356, 1e-6);
  EXPECT_EQ(summary.timestamp(), "1970-01-01 00:16:40 +0000 UTC");
  clock.at += 20'000'000'000;
  EXPECT_EQ(registry.summary().counters_size(), 0);
}

TEST(RegistryTest, PrometheusCountsSinceTheStart) {
  FakeClock clock;
  Registry registry(clock);
  registry.count(Metric::kRpcRequest, 3);
  clock.at += 100'000'000'000;
  registry.count(Metric::kRpcRequest, 4);
  const std::string text = registry.prometheus();
  EXPECT_NE(text.find("# TYPE nomad_rpc_request counter\nnomad_rpc_request 7\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace steppe::telemetry
