#include "init/upgrade/plan.h"

#include <gtest/gtest.h>

namespace steppe::upgrade {
namespace {

Digest digest_of(const std::string& text) { return sha256(as_bytes(text)); }

// "steppe-2+3.efi" holds image "2" unless `content` says otherwise.
SlotFile file(const std::string& name, uint64_t chain = 0, const std::string& content = "") {
  SlotFile result{.name = name, .size = 1000, .chain = chain};
  std::string version = content.empty() ? parse_slot_name(name)->version : content;
  result.digest = digest_of(version);
  result.section = digest_of("section " + version);
  result.manifest = Manifest{.version = version, .arch = "x86-64", .kernel = "6.12"};
  return result;
}

Facts facts_of(std::vector<SlotFile> files, const std::string& running = "1") {
  return {.files = std::move(files), .free_bytes = 1 << 20, .cluster_bytes = 512, .running_section = digest_of("section " + running)};
}

Candidate candidate(const std::string& version, uint64_t security = 0) {
  return {.manifest = {.version = version, .arch = "x86-64", .security_version = security, .kernel = "6.12"},
          .digest = digest_of(version), .section = digest_of("section " + version), .size = 1000};
}

std::string text(const Result<Plan>& plan) {
  if (!plan.ok()) return std::string(code_name(plan.error().code())) + ": " + plan.error().message();
  std::string out;
  for (const Step& step : plan->steps) {
    out += out.empty() ? "" : ", ";
    switch (step.kind) {
      case StepKind::kForget: out += "forget " + step.name; break;
      case StepKind::kRemove: out += "remove " + step.name; break;
      case StepKind::kWrite: out += "write " + step.name; break;
      case StepKind::kRename: out += step.name + " > " + step.to; break;
      case StepKind::kSync: out += "sync"; break;
      case StepKind::kRecord: out += "record " + std::to_string(step.record.refused.size()); break;
    }
  }
  return out;
}

TEST(Stage, WritesThenNames) {
  EXPECT_EQ(text(stage(facts_of({file("steppe-1.efi")}), candidate("2"), Downgrade::kRefuse)),
            "write steppe-2.efi.part, steppe-2.efi.part > steppe-2+3.efi, sync");
}

TEST(Stage, TheFirstImageOfADiskIsGoodWhenItIsTheOneRunning) {
  EXPECT_EQ(text(stage(facts_of({}, "2"), candidate("2"), Downgrade::kRefuse)), "write steppe-2.efi.part, steppe-2.efi.part > steppe-2.efi, sync");
  EXPECT_EQ(text(stage(facts_of({}, "1"), candidate("2"), Downgrade::kRefuse)), "write steppe-2.efi.part, steppe-2.efi.part > steppe-2+3.efi, sync");
}

TEST(Stage, CleansUpFirstAndRemembersWhatFailed) {
  SlotFile part{.name = "steppe-3.efi.part", .size = 77};
  EXPECT_EQ(text(stage(facts_of({file("steppe-1.efi"), file("steppe-2+0-3.efi"), part}), candidate("4"), Downgrade::kRefuse)),
            "remove steppe-3.efi.part, sync, record 1, write steppe-4.efi.part, steppe-4.efi.part > steppe-4+3.efi, remove steppe-2+0-3.efi, sync");
}

TEST(Stage, RefusesWithAReason) {
  Facts facts = facts_of({file("steppe-2.efi")}, "2");
  auto said = [&](const Candidate& image) { return text(stage(facts, image, Downgrade::kRefuse)); };
  EXPECT_NE(said(candidate("1")).find("invalid: version 1 is older than 2"), std::string::npos) << said(candidate("1"));
  EXPECT_NE(said(candidate("02")).find("exists: version 02 is the same as 2 to the loader"), std::string::npos);
  Candidate other = candidate("2");
  other.digest = digest_of("other");
  EXPECT_NE(said(other).find("exists: version 2 is here with other bytes"), std::string::npos);
  EXPECT_EQ(said(candidate("2")), "");
  facts.record.security_floor = 4;
  EXPECT_NE(said(candidate("3", 3)).find("denied: version 3 has security version 3, this machine has blessed 4"), std::string::npos);
  EXPECT_EQ(said(candidate("3", 4)).find("write"), 0u);
  facts.record.refuse(digest_of("3"));
  EXPECT_NE(said(candidate("3", 4)).find("denied: the image "), std::string::npos);
  EXPECT_NE(text(stage(facts_of({file("steppe-1.efi"), file("steppe-2+2-1.efi")}, "2"), candidate("3"), Downgrade::kRefuse))
                .find("unavailable: a trial of version 2"),
            std::string::npos);
}

TEST(Stage, MakesRoomFromWhatIsWorthLeast) {
  Facts facts = facts_of({file("steppe-0.efi"), file("steppe-1.efi"), file("steppe-2.efi"), file("steppe-1.5+0-0.efi")}, "2");
  facts.free_bytes = 1024;  // 2048 are needed: the image and two clusters
  EXPECT_EQ(text(stage(facts, candidate("3"), Downgrade::kRefuse)),
            "remove steppe-1.5+0-0.efi, sync, write steppe-3.efi.part, steppe-3.efi.part > steppe-3+3.efi, sync");
  facts.free_bytes = 0;
  EXPECT_EQ(text(stage(facts, candidate("3"), Downgrade::kRefuse)),
            "remove steppe-1.5+0-0.efi, remove steppe-0.efi, sync, write steppe-3.efi.part, steppe-3.efi.part > steppe-3+3.efi, sync");
  Candidate large = candidate("3");
  large.size = 100'000;
  EXPECT_NE(text(stage(facts, large, Downgrade::kRefuse))
                .find("exhausted: the image needs 101376 bytes on the ESP, 0 are free and 3072 would be"),
            std::string::npos)
      << text(stage(facts, large, Downgrade::kRefuse));
}

TEST(Stage, AStepBackSetsAsideOnlyAfterwards) {
  EXPECT_EQ(text(stage(facts_of({file("steppe-2.efi")}, "2"), candidate("1"), Downgrade::kAllow)),
            "write steppe-1.efi.part, steppe-1.efi.part > steppe-1+3.efi, sync, steppe-2.efi > steppe-2+0-0.efi, sync");
  // Cut off between the two: the same request goes on where it stopped.
  EXPECT_EQ(text(stage(facts_of({file("steppe-2.efi"), file("steppe-1+3.efi")}, "2"), candidate("1"), Downgrade::kAllow)),
            "steppe-2.efi > steppe-2+0-0.efi, sync");
  // It failed and 2 runs again: before a new trial it is good again, for the loader falls back to the newest only.
  EXPECT_EQ(text(stage(facts_of({file("steppe-2+0-0.efi"), file("steppe-1+0-3.efi")}, "2"), candidate("3"), Downgrade::kRefuse)),
            "record 1, steppe-2+0-0.efi > steppe-2.efi, sync, write steppe-3.efi.part, steppe-3.efi.part > steppe-3+3.efi, remove steppe-1+0-3.efi, sync");
}

TEST(Recover, TwoNamesBecomeOneWithoutFreeingTheirClusters) {
  struct Case {
    std::vector<SlotFile> files;
    const char* steps;
  };
  SlotFile empty{.name = "steppe-2.efi"};
  SlotFile part = file("steppe-2+3.efi", 7);
  part.name = "steppe-2.efi.part";
  part.manifest.reset();
  const Case cases[] = {
      {{file("steppe-2.efi", 5), file("steppe-2+2-1.efi", 5)}, "forget steppe-2+2-1.efi, sync"},       // a bless was cut
      {{file("steppe-2+3.efi", 5), file("steppe-2+2-1.efi", 5)}, "forget steppe-2+3.efi, sync"},       // a count was cut
      {{file("steppe-2+0-1.efi", 5), file("steppe-2+2-1.efi", 5)}, "forget steppe-2+2-1.efi, sync, record 1"},
      {{file("steppe-2.efi", 5), file("steppe-2+0-0.efi", 5)}, "forget steppe-2+0-0.efi, sync"},       // setting aside was cut
      {{file("steppe-2.efi", 5), file("steppe-2+2-1.efi", 6)}, "remove steppe-2+2-1.efi, sync"},       // clusters of their own
      {{file("steppe-2.efi", 0), file("steppe-2+2-1.efi", 0)}, "forget steppe-2+2-1.efi, sync"},       // cannot be told
      {{file("steppe-2+2-1.efi", 5), empty}, "remove steppe-2.efi, sync"},                             // the new name, still empty
      {{file("steppe-2+3.efi", 7), part}, "forget steppe-2.efi.part, sync"},
  };
  for (const Case& c : cases) EXPECT_EQ(text(recover(facts_of(c.files))), c.steps) << c.files[0].name << " and " << c.files[1].name;
  EXPECT_EQ(text(recover(facts_of({file("steppe-1.efi"), file("steppe-2+1-2.efi")}))), "");
  // Two images of one version, which no power cut makes: what runs and what is good both stay.
  SlotFile stranger = file("steppe-2+1-2.efi", 9);
  stranger.digest = digest_of("other");
  EXPECT_EQ(text(recover(facts_of({file("steppe-2.efi", 5), stranger}, "1"))), "remove steppe-2+1-2.efi, sync");
  stranger.section = digest_of("section other");
  EXPECT_EQ(text(recover(facts_of({file("steppe-2.efi", 5), stranger}, "other"))), "");
}

TEST(Bless, OnlyWhatIsProvenToRun) {
  struct Case {
    const char* what;
    std::optional<std::string> entry, counted;
    std::optional<std::string> section;
    const char* outcome;
  };
  const Case cases[] = {
      {"252", "steppe-2+3.efi", "\\EFI\\Linux\\steppe-2+2-1.efi", "2", "steppe-2+2-1.efi > steppe-2.efi, sync"},
      {"257", "steppe-2.efi", "\\EFI\\Linux\\steppe-2+2-1.efi", "2", "steppe-2+2-1.efi > steppe-2.efi, sync"},
      {"257, section not known", "steppe-2.efi", "\\EFI\\Linux\\steppe-2+2-1.efi", std::nullopt, "steppe-2+2-1.efi > steppe-2.efi, sync"},
      {"no variables", std::nullopt, std::nullopt, "2", "steppe-2+2-1.efi > steppe-2.efi, sync"},
      {"not counted, proven", "steppe-2.efi", std::nullopt, "2", "steppe-2+2-1.efi > steppe-2.efi, sync"},
      {"not counted, not proven", "steppe-2.efi", std::nullopt, std::nullopt, "denied"},
      {"another entry was started", "steppe-1.efi", "\\EFI\\Linux\\steppe-2+2-1.efi", "2", "denied"},
      {"the counted one failed, 1 runs", "steppe-1.efi", "\\EFI\\Linux\\steppe-2+2-1.efi", "1", ""},
      {"the counted one failed, section not known", "steppe-1.efi", "\\EFI\\Linux\\steppe-2+2-1.efi", std::nullopt, ""},
      {"an old count", "steppe-2.efi", "\\EFI\\Linux\\steppe-9+2-1.efi", "2", "denied"},
      {"a foreign entry", "auto-windows", "\\EFI\\Linux\\steppe-2+2-1.efi", "2", "denied"},
      {"from the network", std::nullopt, std::nullopt, "7", "unavailable"},
      {"from the network, old variables", "steppe-2.efi", "\\EFI\\Linux\\steppe-2+2-1.efi", "7", "unavailable"},
      {"nothing known", std::nullopt, std::nullopt, std::nullopt, "unavailable"},
  };
  for (const Case& c : cases) {
    Facts facts = facts_of({file("steppe-1.efi"), file("steppe-2+2-1.efi")});
    facts.entry_selected = c.entry;
    facts.count_path = c.counted;
    facts.running_section.reset();
    if (c.section) facts.running_section = digest_of("section " + *c.section);
    std::string said = text(bless(facts));
    EXPECT_EQ(said.substr(0, said.find(':')), c.outcome) << c.what << ": " << said;
  }
}

TEST(Bless, RaisesTheSecurityFloor) {
  Facts facts = facts_of({file("steppe-1.efi")});
  facts.files[0].manifest->security_version = 3;
  Result<Plan> plan = bless(facts);
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan->steps.size(), 1u);
  EXPECT_EQ(plan->steps[0].record.security_floor, 3u);
}

TEST(Revert, EndsATrialAndLeavesAWayBack) {
  EXPECT_EQ(text(revert(facts_of({file("steppe-1.efi"), file("steppe-2+1-2.efi")}, "2"))), "steppe-2+1-2.efi > steppe-2+0-2.efi, sync, record 1");
  EXPECT_EQ(text(revert(facts_of({file("steppe-2+0-0.efi"), file("steppe-1+2-1.efi")}, "1"))),
            "steppe-2+0-0.efi > steppe-2.efi, sync, steppe-1+2-1.efi > steppe-1+0-1.efi, sync, record 1");
  EXPECT_EQ(text(revert(facts_of({file("steppe-1.efi"), file("steppe-2.efi")}, "2"))),
            "steppe-1.efi > steppe-1+3.efi, sync, steppe-2.efi > steppe-2+0-0.efi, sync, record 1");
  EXPECT_EQ(text(revert(facts_of({file("steppe-2.efi")}, "2"))).substr(0, 9), "not found");
  Facts floor = facts_of({file("steppe-1.efi"), file("steppe-2.efi")}, "2");
  floor.record.security_floor = 1;
  EXPECT_EQ(text(revert(floor)).substr(0, 9), "not found");
}

TEST(Try, ArmsWhatIsThere) {
  EXPECT_EQ(text(try_version(facts_of({file("steppe-1.efi"), file("steppe-2+0-3.efi")}), "2", Downgrade::kRefuse)),
            "record 1, steppe-2+0-3.efi > steppe-2+3.efi, sync, record 0");
  EXPECT_EQ(text(try_version(facts_of({file("steppe-1.efi"), file("steppe-2.efi")}, "2"), "1", Downgrade::kRefuse)).substr(0, 7), "invalid");
  EXPECT_EQ(text(try_version(facts_of({file("steppe-1.efi")}), "3", Downgrade::kRefuse)).substr(0, 9), "not found");
}

TEST(ReturnTry, TakesBackOneCount) {
  EXPECT_EQ(text(return_try(facts_of({file("steppe-1.efi"), file("steppe-2+1-2.efi")}, "2"))), "steppe-2+1-2.efi > steppe-2+2-1.efi, sync");
  EXPECT_EQ(text(return_try(facts_of({file("steppe-1.efi"), file("steppe-2+2-1.efi")}, "2"))), "steppe-2+2-1.efi > steppe-2+3.efi, sync");
  EXPECT_EQ(text(return_try(facts_of({file("steppe-1.efi")}))), "");
}

TEST(List, SaysWhatEachNameIs) {
  SlotFile broken{.name = "steppe-8.efi", .size = 5, .fault = "its signature does not match"};
  std::vector<Slot> slots = list(facts_of({file("steppe-1.efi"),
                                           file("steppe-2+2-1.efi"),
                                           file("steppe-3+0-3.efi"),
                                           broken,
                                           {.name = "steppe-9.efi.part"},
                                           {.name = "other.txt"}},
                                          "2"));
  std::string seen;
  for (const Slot& slot : slots)
    seen += slot.file + "=" + std::string(slot_state_name(slot.state)) + (slot.running ? "*" : "") + (slot.next ? "!" : "") + " ";
  EXPECT_EQ(seen, "steppe-2+2-1.efi=trial*! steppe-1.efi=good steppe-3+0-3.efi=bad other.txt=foreign steppe-8.efi=damaged steppe-9.efi.part=leftover ");
}

}  // namespace
}  // namespace steppe::upgrade
