#include "agent/model/constraint.h"

#include <optional>
#include <string>
#include <vector>

#include "agent/model/interpolate.h"
#include "agent/model/version.h"
#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "gtest/gtest.h"

namespace steppe::model {
namespace {

constexpr std::nullopt_t kMissing = std::nullopt;

struct Row {
  const char* operand;
  std::optional<std::string_view> left;
  std::optional<std::string_view> right;
  bool holds;
};

TEST(Constraint, Operators) {
  const std::vector<Row> table = {
      {"=", "linux", "linux", true},
      {"==", "linux", "Linux", false},
      {"is", "a", "a", true},
      {"", "a", "a", true},
      {"=", kMissing, kMissing, false},
      {"=", "a", kMissing, false},
      {"!=", "a", "b", true},
      {"not", "a", "a", false},
      {"!=", kMissing, "a", true},
      {"!=", kMissing, kMissing, false},
      // Integers first, then numbers, then text.
      {"<", "9", "10", true},
      {"<", "9", "10.0", true},
      {">", "9a", "10", true},
      {"<=", "10", "10", true},
      {">=", "10", "10.5", false},
      {">", "9223372036854775807", "9223372036854775806", true},
      {"<", kMissing, "1", false},
      {"regexp", "linux-6.8.0-generic", "6\\.[0-9]+", true},
      {"regexp", "linux", "^windows$", false},
      {"regexp", "linux", "(", false},
      {"regexp", kMissing, ".*", false},
      {"set_contains", "a, b,c", "c,a", true},
      {"set_contains_all", "a,b", "a,d", false},
      {"set_contains_any", "a,b", "d, b", true},
      {"set_contains_any", "a,b", "d,e", false},
      {"set_contains", kMissing, "a", false},
      {"is_set", "", "", true},
      {"is_set", kMissing, "", false},
      {"is_not_set", kMissing, "", true},
      {"is_not_set", "x", "", false},
      {"version", "1.2.3", ">= 1.2, < 2", true},
      {"version", "2.0.0", ">= 1.2, < 2", false},
      {"version", "v1.7.0-beta", ">= 1.6", false},
      {"version", "1.7.0-beta", ">= 1.7.0-alpha", true},
      {"version", "1.7.0-beta", "> 1.6.0-alpha", false},
      {"version", "1.2.9", "~> 1.2.3", true},
      {"version", "1.3.0", "~> 1.2.3", false},
      {"version", "1.9", "~> 1.2", true},
      {"version", "2.0", "~> 1.2", false},
      {"version", "6.8.0-40-generic", ">= 5", false},
      {"version", "not a version", ">= 0", false},
      {"version", "1.0", "nonsense", false},
      {"semver", "1.7.0-beta", ">= 1.6.0", true},
      {"semver", "1.7.0-beta", ">= 1.7.0", false},
      {"semver", "1.2.3", "~> 1.2", false},
      {"semver", "1.0.0+a", "= 1.0.0+b", true},
      {"distinct_hosts", kMissing, kMissing, true},
      {"distinct_property", kMissing, kMissing, true},
      {"sounds_like", "a", "a", false},
  };
  ConstraintChecker checker;
  for (int round = 0; round < 2; ++round) {  // the second answers come from the caches
    for (const Row& row : table) {
      EXPECT_EQ(checker.check(row.operand, row.left, row.right), row.holds)
          << row.left.value_or("(missing)") << " " << row.operand << " " << row.right.value_or("(missing)");
    }
  }
}

TEST(Constraint, CachesAreBounded) {
  ConstraintChecker checker;
  for (size_t i = 0; i < 3 * ConstraintChecker::kMaxCached; ++i) {
    const std::string text = "a" + std::to_string(i);
    ASSERT_TRUE(checker.check("regexp", text, "^" + text + "$"));
  }
  EXPECT_TRUE(checker.check("regexp", "a0", "^a0$"));
}

TEST(Constraint, ResolvesNodeTargets) {
  schema::Node node;
  node.set_id("9afa5da1");
  node.set_name("worker-3");
  node.set_datacenter("dc1");
  node.set_node_class("gpu");
  node.set_node_pool("default");
  (*node.mutable_attributes())["kernel.name"] = "linux";
  (*node.mutable_meta())["rack"] = "r12";
  const std::vector<std::pair<std::string, std::optional<std::string_view>>> table = {
      {"${node.unique.id}", "9afa5da1"}, {"${node.unique.name}", "worker-3"}, {"${node.datacenter}", "dc1"},
      {"${node.class}", "gpu"},          {"${node.pool}", "default"},         {"${attr.kernel.name}", "linux"},
      {"${meta.rack}", "r12"},           {"${meta.row}", kMissing},           {"${attr.none}", kMissing},
      {"${node.region}", kMissing},      {"literal", "literal"},              {"", ""},
      {"${attr.kernel.name", kMissing},
  };
  for (const auto& [target, value] : table) EXPECT_EQ(resolve_target(node, target), value) << target;

  schema::Constraint constraint;
  constraint.set_l_target("${attr.kernel.name}");
  constraint.set_r_target("linux");
  constraint.set_operand("=");
  EXPECT_TRUE(ConstraintChecker().check(constraint, node));
  EXPECT_TRUE(is_unique_target("${attr.unique.hostname}"));
  EXPECT_TRUE(is_unique_target("${node.unique.id}"));
  EXPECT_FALSE(is_unique_target("${attr.kernel.name}"));
}

TEST(Constraint, Validation) {
  const auto text = [](std::string_view operand, std::string_view left, std::string_view right) {
    auto result = validate_operand(operand, left, right);
    return result.ok() ? std::string() : result.error().message();
  };
  EXPECT_EQ(text("=", "${attr.a}", "b"), "");
  EXPECT_EQ(text("sounds_like", "a", "b"), "Unknown constraint type \"sounds_like\"");
  EXPECT_EQ(text("=", "${attr.a}", ""), "Operator \"=\" requires an RTarget");
  EXPECT_EQ(text("=", "", "x"), "No LTarget provided but is required by constraint");
  EXPECT_EQ(text("is_set", "${attr.a}", "x"), "Operator \"is_set\" does not support an RTarget");
  EXPECT_EQ(text("regexp", "${attr.a}", "(").substr(0, 36), "Regular expression failed to compile");
  EXPECT_EQ(text("version", "${attr.a}", ">= x"), "Version constraint is invalid: Malformed constraint: >= x");
  EXPECT_EQ(text("semver", "${attr.a}", "~> 1.0"), "Semver constraint is invalid: Malformed constraint: ~> 1.0");
  EXPECT_EQ(text("version", "${attr.a}", "${meta.wanted}"), "");
  EXPECT_EQ(text("distinct_hosts", "", "true"), "");
  EXPECT_EQ(text("distinct_property", "${meta.rack}", "2"), "");
  EXPECT_EQ(text("distinct_property", "${meta.rack}", "0"),
            "Distinct Property must have an allowed count of 1 or greater: 0 < 1");
  EXPECT_EQ(text("distinct_property", "", ""), "No LTarget provided but is required by constraint");
}

TEST(Constraint, DistinctValues) {
  for (const char* on : {"", "true", "1", "T", "maybe"}) EXPECT_TRUE(distinct_hosts_enabled(on)) << on;
  for (const char* off : {"false", "False", "FALSE", "f", "F", "0"}) EXPECT_FALSE(distinct_hosts_enabled(off)) << off;
  EXPECT_EQ(*distinct_property_limit(""), 1u);
  EXPECT_EQ(*distinct_property_limit("3"), 3u);
  EXPECT_FALSE(distinct_property_limit("x").ok());
}

TEST(Version, Ordering) {
  // SemVer 2.0 section 11, each before the next.
  const std::vector<std::string> ascending = {"1.0.0-1",    "1.0.0-2",      "1.0.0-10",   "1.0.0-alpha", "1.0.0-alpha.1",
                                              "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-rc.1", "1.0.0",       "1.0.1",
                                              "1.2",        "1.10",         "2"};
  for (size_t a = 0; a < ascending.size(); ++a) {
    for (size_t b = 0; b < ascending.size(); ++b) {
      const auto left = Version::parse(ascending[a], VersionSyntax::kLenient);
      const auto right = Version::parse(ascending[b], VersionSyntax::kLenient);
      ASSERT_TRUE(left.ok() && right.ok());
      EXPECT_EQ(left->compare(*right), a <=> b) << ascending[a] << " " << ascending[b];
    }
  }
}

TEST(Version, Syntax) {
  for (const char* good : {"1", "v1.2", "1.2.3.4", "1.2.3-beta.1+build.5", "1.2.3beta1", "0.0.0~rc1"}) {
    EXPECT_TRUE(Version::parse(good, VersionSyntax::kLenient).ok()) << good;
  }
  for (const char* bad : {"", "v", "a", "1.", "1..2", "1.2-", "1.2+", "1.2 ", " 1", "1.2.3-a..b", "99999999999999999999"}) {
    EXPECT_FALSE(Version::parse(bad, VersionSyntax::kLenient).ok()) << bad;
  }
  EXPECT_FALSE(Version::parse("1.2.3beta1", VersionSyntax::kSemver).ok());
}

TEST(Interpolate, ReplacesKnownTokensOnce) {
  const auto lookup = [](std::string_view key) -> std::optional<std::string> {
    if (key == "A") return "1";
    if (key == "b.c-d_E") return "${A}";
    return std::nullopt;
  };
  EXPECT_EQ(replace_tokens("x${A}y${A}", lookup), "x1y1");
  EXPECT_EQ(replace_tokens("${b.c-d_E}", lookup), "${A}");
  EXPECT_EQ(replace_tokens("${unknown} ${} ${A ${A}", lookup), "${unknown} ${} ${A 1");
  EXPECT_EQ(replace_tokens("$${A} ${a b}${", lookup), "$1 ${a b}${");
  EXPECT_TRUE(has_tokens("a${x}"));
  EXPECT_FALSE(has_tokens("a${}$x${"));
}

TEST(Interpolate, Names) {
  EXPECT_EQ(clean_env_name("web-1.http"), "web_1.http");
  EXPECT_EQ(clean_env_name("1a"), "_a");
  EXPECT_EQ(interpolate_service_name("${BASE}-${JOB}.${TASK}-${x}", "j", "g", "t"), "j-g-t-j.t-${x}");
  EXPECT_EQ(interpolate_service_name("${TASKGROUP}-${TASK}", "j", "g", ""), "g-group");
}

}  // namespace
}  // namespace steppe::model
