#include <gtest/gtest.h>

#include <set>

#include "agent/cli/command.h"
#include "agent/cli/show.h"
#include "agent/cli/ui.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/plan.pb.h"

namespace steppe::cli {
namespace {

const std::vector<Flags::Spec> kSpecs{{"detach", kSwitch, ""}, {"var", kList, ""}, {"check-index", kText, ""}};

TEST(Flags, GoSyntax) {
  const Flags flags = Flags::parse(kSpecs, {"-detach", "--var", "a=b", "-var=c=d", "-check-index=7", "file", "-not-a-flag"}).value();
  EXPECT_TRUE(flags.on("detach"));
  EXPECT_EQ(flags.list("var"), (std::vector<std::string>{"a=b", "c=d"}));
  EXPECT_EQ(flags.number("check-index", 0).value(), 7);
  EXPECT_EQ(flags.words(), (std::vector<std::string>{"file", "-not-a-flag"}));
  EXPECT_FALSE(Flags::parse(kSpecs, {"-detach=false"}).value().on("detach"));
  EXPECT_EQ(Flags::parse(kSpecs, {"--", "-x"}).value().words().size(), 1u);
  EXPECT_EQ(Flags::parse(kSpecs, {"-x"}).error().message(), "flag provided but not defined: -x");
  EXPECT_EQ(Flags::parse(kSpecs, {"-var"}).error().message(), "flag needs an argument: -var");
  EXPECT_FALSE(Flags::parse(kSpecs, {"-detach=perhaps"}).ok());
}

TEST(Flags, NumbersNameTheFlagAndWhatItTakes) {
  const auto parsed = [](const char* value) { return Flags::parse(kSpecs, {std::string("-check-index=") + value}).value(); };
  EXPECT_EQ(parsed("abc").count("check-index", 0).error().message(), "invalid value \"abc\" for flag -check-index: expected a whole number, 0 to 1000000000");
  EXPECT_EQ(parsed("-5").count("check-index", 0).error().message(), "invalid value \"-5\" for flag -check-index: expected a whole number, 0 to 1000000000");
  EXPECT_FALSE(parsed("1000000001").count("check-index", 0).ok());
  EXPECT_EQ(parsed("0").count("check-index", 3).value(), 0);
  EXPECT_EQ(parsed("-5").number("check-index", 0).value(), -5);
  EXPECT_EQ(parsed("1.5").number("check-index", 0).error().message(), "invalid value \"1.5\" for flag -check-index: expected a whole number");
  EXPECT_EQ(parsed("-1").unsigned_number("check-index", 0).error().message(), "invalid value \"-1\" for flag -check-index: expected a whole number, not negative");
  EXPECT_EQ(Flags::parse(kSpecs, {}).value().count("check-index", 7).value(), 7);
}

TEST(Ui, TablesAlignByCharacters) {
  EXPECT_EQ(table({{"ID", "Name"}, {"1", "caf\xc3\xa9"}, {"22", ""}}), "ID  Name\n1   caf\xc3\xa9\n22  <none>");
  EXPECT_EQ(key_values({{"ID", "x"}, {"Status", "run"}}), "ID     = x\nStatus = run");
}

TEST(Ui, CellsCannotDriveTheTerminal) {
  EXPECT_EQ(table({{"a\nb", "\x1b[2Jc\x7f", "é"}}), "a\\nb  \\x1b[2Jc\\x7f  é");
}

TEST(Ui, PrintableEscapesWhatIsNoText) {
  EXPECT_EQ(printable("\x7f""ELF\xff\x9b""31m"), "\\x7fELF\\xff\\x9b31m");
  EXPECT_EQ(printable("\xc2\x9b""31m \xc2\xa0\xe2\x82\xac \xe2\x82"), "\\xc2\\x9b31m \xc2\xa0\xe2\x82\xac \\xe2\\x82");
}

TEST(Ui, AgesAndSizes) {
  constexpr int64_t kSecond = 1'000'000'000;
  EXPECT_EQ(age(1, 320 * kSecond, false), "5m19s ago");
  EXPECT_EQ(age(kSecond, kSecond, false), "0s ago");
  EXPECT_EQ(age(kSecond, (1 + 26 * 3600) * kSecond, false), "1d2h ago");
  EXPECT_EQ(size_text(17), "17 B");
  EXPECT_EQ(size_text(300 << 20), "300 MiB");
}

TEST(Commands, NamesAndAliasesAreOneEach) {
  std::set<std::string_view> names;
  for (const Command& command : commands()) {
    EXPECT_TRUE(names.insert(command.name).second) << command.name;
    if (!command.alias.empty()) EXPECT_TRUE(names.insert(command.alias).second) << command.alias;
    std::set<std::string_view> flags;
    for (const Flags::Spec& spec : command.flags) EXPECT_TRUE(flags.insert(spec.name).second) << command.name << " -" << spec.name;
    for (const Flags::Spec& spec : common_flags()) EXPECT_TRUE(flags.insert(spec.name).second) << command.name << " -" << spec.name;
  }
  EXPECT_EQ(find_command({"job", "run", "x.hcl"}).command->name, "job run");
  EXPECT_EQ(find_command({"run", "x.hcl"}).command->name, "job run");
  EXPECT_EQ(find_command({"system", "reconcile", "summaries"}).words, 3u);
  EXPECT_EQ(find_command({"nonsense"}).command, nullptr);
}

TEST(Commands, WordsThatAreNone) {
  const auto first_line = [](std::string text) { return text.substr(0, text.find('\n')); };
  EXPECT_EQ(first_line(no_such_command("steppe", "job", "vaildate")), "steppe job: no such subcommand \"vaildate\"; did you mean \"steppe job validate\"?");
  EXPECT_EQ(first_line(no_such_command("steppe", "job", "strat")), "steppe job: no such subcommand \"strat\"; did you mean \"steppe job start\"?");
  EXPECT_EQ(first_line(no_such_command("nomad", "", "jobb")), "nomad: no such command \"jobb\"; did you mean \"nomad job\"?");
  EXPECT_EQ(first_line(no_such_command("steppe", "", "signal")), "steppe: no such command \"signal\"; did you mean \"steppe alloc signal\"?");
  EXPECT_EQ(first_line(no_such_command("steppe", "node", "zzzzzzzz\x1b")), "steppe node: no such subcommand \"zzzzzzzz\\x1b\"");
  EXPECT_NE(no_such_command("steppe", "job", "strat").find("Usage: steppe job <subcommand>"), std::string::npos);
}

TEST(Show, MetricsSayWhyNodesWereNotTaken) {
  schema::AllocMetric metric;
  metric.set_nodes_evaluated(3);
  (*metric.mutable_constraint_filtered())["${attr.kernel.name} = windows"] = 2;
  metric.set_nodes_exhausted(1);
  (*metric.mutable_dimension_exhausted())["memory"] = 1;
  EXPECT_EQ(show_metric(metric, false, "  "),
            "  * Constraint \"${attr.kernel.name} = windows\": 2 nodes excluded by filter\n  * Resources exhausted on 1 node\n  * Dimension \"memory\" exhausted on 1 node");
}

TEST(Setting, OursWinsOverNomads) {
  EXPECT_EQ(setting({{"NOMAD_ADDR", "n"}}, "ADDR"), "n");
  EXPECT_EQ(setting({{"NOMAD_ADDR", "n"}, {"STEPPE_ADDR", "s"}}, "ADDR"), "s");
}

}  // namespace
}  // namespace steppe::cli
