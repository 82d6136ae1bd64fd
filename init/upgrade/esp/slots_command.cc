#include "init/upgrade/esp/slots_command.h"

#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <optional>

#include "init/base/text.h"
#include "init/control/ask.h"
#include "init/json/writer.h"

namespace steppe::esp {

namespace {

constexpr Duration kAskLimit = std::chrono::seconds(10);

void say(const char* level, const std::string& text) {
  // One write a line: PID 1's log takes them from several programs.
  const std::string line = std::string("[") + level + "] slots: " + text + "\n";
  (void)!::write(2, line.data(), line.size());
}

void print(std::string text) {
  text.push_back('\n');
  (void)std::fwrite(text.data(), 1, text.size(), stdout);
  (void)std::fflush(stdout);
}

int fail(const Error& error) {
  std::string text;
  json::Writer writer(&text);
  writer.begin_object();
  writer.key("Error");
  writer.begin_object();
  writer.key("Code");
  writer.text(code_name(error.code()));
  writer.key("Message");
  writer.text(error.message());
  writer.end_object();
  writer.end_object();
  print(std::move(text));
  return 1;
}

void print_slot(json::Writer& writer, const upgrade::Slot& slot, const upgrade::SlotFile& file) {
  writer.begin_object();
  writer.key("File"), writer.text(slot.file);
  writer.key("Version"), writer.text(slot.version);
  writer.key("State"), writer.text(upgrade::slot_state_name(slot.state));
  writer.key("Running"), writer.boolean(slot.running);
  writer.key("Next"), writer.boolean(slot.next);
  writer.key("TriesLeft"), writer.integer(slot.tries_left);
  writer.key("Size"), writer.unsigned_integer(slot.size);
  writer.key("Digest"), writer.text(file.digest == upgrade::Digest{} ? "" : hex(file.digest));
  writer.key("SecurityVersion"), writer.unsigned_integer(file.manifest ? file.manifest->security_version : 0);
  writer.key("Note"), writer.text(slot.note);
  writer.end_object();
}

bool is_record(std::string_view name) { return std::ranges::any_of(upgrade::kRecordNames, [&](std::string_view one) { return equals_ignoring_case(one, name); }); }

std::string list_text(const upgrade::Facts& facts) {
  std::string text;
  json::Writer writer(&text);
  const Result<upgrade::Running> running = upgrade::find_running(facts);
  writer.begin_object();
  writer.key("Slots");
  writer.begin_array();
  for (const upgrade::Slot& slot : upgrade::list(facts)) {
    if (is_record(slot.file)) continue;
    const auto file = std::ranges::find(facts.files, slot.file, &upgrade::SlotFile::name);
    print_slot(writer, slot, *file);
  }
  writer.end_array();
  writer.key("Trial"), writer.boolean(running.ok() && running->trial);
  writer.key("SecurityFloor"), writer.unsigned_integer(facts.record.security_floor);
  writer.key("Refused");
  writer.begin_array();
  for (const upgrade::Digest& digest : facts.record.refused) writer.text(hex(digest));
  writer.end_array();
  writer.key("FreeBytes"), writer.unsigned_integer(facts.free_bytes);
  writer.key("LoaderEntry"), writer.text(facts.entry_selected.value_or(""));
  writer.key("LoaderCounted"), writer.text(facts.count_path.value_or(""));
  writer.end_object();
  return text;
}

std::string plan_text(const upgrade::Plan& plan) {
  std::string text;
  json::Writer writer(&text);
  writer.begin_object();
  writer.key("Summary"), writer.text(plan.summary);
  writer.key("Reboot"), writer.text(plan.reboot == upgrade::Reboot::kNone ? "" : plan.reboot == upgrade::Reboot::kFirmware ? "firmware" : "tryboot");
  writer.end_object();
  return text;
}

struct Asked {
  std::string verb, word;
  upgrade::Downgrade downgrade = upgrade::Downgrade::kRefuse;
};

// Nullopt: not words that this command knows.
std::optional<Asked> read_words(const std::vector<std::string>& words) {
  struct Verb {
    std::string_view name;
    bool takes_word, takes_downgrade;
  };
  static constexpr Verb kVerbs[] = {{"boot", false, false}, {"list", false, false}, {"stage", true, true}, {"try", true, true},
                                    {"bless", false, false}, {"revert", false, false}, {"return-try", false, false}, {"forgive", true, false}};
  if (words.empty()) return std::nullopt;
  const auto* verb = std::ranges::find(kVerbs, words[0], &Verb::name);
  if (verb == std::end(kVerbs)) return std::nullopt;
  Asked asked{.verb = words[0], .word = {}};
  for (size_t i = 1; i < words.size(); ++i) {
    if (verb->takes_downgrade && words[i] == "-downgrade") asked.downgrade = upgrade::Downgrade::kAllow;
    else if (verb->takes_word && asked.word.empty() && !words[i].empty()) asked.word = words[i];
    else return std::nullopt;
  }
  if (verb->takes_word && asked.word.empty()) return std::nullopt;
  return asked;
}

// Takes the places off the front. False: one without its directory.
bool take_places(std::vector<std::string>& words, Places& places) {
  while (!words.empty() && words[0].starts_with('-')) {
    if (words.size() < 2) return false;
    const std::string directory = words[1];
    if (words[0] == "-efi") places.efi = directory;
    else if (words[0] == "-efivars") places.efivars = directory;
    else if (words[0] == "-run") places.manifest = directory + "/manifest", places.lock = directory + "/slots.lock", places.keys.back() = directory + "/keys";
    else return false;
    words.erase(words.begin(), words.begin() + 2);
  }
  return true;
}

Result<upgrade::Digest> read_digest(const std::string& text) {
  upgrade::Digest digest;
  STEPPE_TRY(const std::string bytes, unhex(text));
  if (bytes.size() != digest.size()) return {Code::kInvalid, "a digest has 64 hexadecimal digits"};
  std::ranges::copy(as_bytes(bytes), digest.begin());
  return digest;
}

// An image without the extensions that it names is no good one.
Result<> check_extensions(const Places& places) {
  STEPPE_TRY(const RunningImage running, read_running(places.manifest));
  STEPPE_TRY(const std::string faults, extension::read_faults(places.extension_states, running.manifest.extensions.size()));
  if (!faults.empty()) return {Code::kUnavailable, "this image is not good while its extensions are not: " + faults};
  return {};
}

Result<upgrade::Plan> make_plan(const Asked& asked, const upgrade::Facts& facts, const MachineSlots& slots, const Places& places) {
  if (asked.verb == "stage") {
    STEPPE_TRY(const upgrade::Candidate candidate, slots.judge_new(asked.word, facts.record.security_floor).wrap("the new image"));
    for (const upgrade::Extension& named : candidate.manifest.extensions)
      STEPPE_TRY_VOID(extension::find_whole(places.extensions, named).wrap("the new image needs an extension that this machine has not"));
    return upgrade::stage(facts, candidate, asked.downgrade);
  }
  if (asked.verb == "try") return upgrade::try_version(facts, asked.word, asked.downgrade);
  if (asked.verb == "bless") {
    STEPPE_TRY_VOID(check_extensions(places));
    return upgrade::bless(facts);
  }
  if (asked.verb == "revert") return upgrade::revert(facts);
  if (asked.verb == "return-try") return upgrade::return_try(facts);
  if (asked.verb == "forgive") {
    STEPPE_TRY(const upgrade::Digest digest, read_digest(asked.word));
    return upgrade::forgive(facts, digest);
  }
  return upgrade::recover(facts);
}

Result<std::string> change(const Asked& asked, const Places& places) {
  std::vector<std::string> problems;
  STEPPE_TRY(MachineSlots slots, MachineSlots::open(places, problems));
  for (const std::string& problem : problems) say("WARN", problem);
  STEPPE_TRY(const upgrade::Facts facts, slots.survey());
  if (asked.verb == "list") return list_text(facts);
  STEPPE_TRY(const upgrade::Plan plan, make_plan(asked, facts, slots, places));
  std::optional<ImageFile> source;
  if (asked.verb == "stage") {
    STEPPE_TRY(source, ImageFile::open(asked.word));
  }
  STEPPE_TRY_VOID(slots.carry_out(plan, source ? &*source : nullptr));
  say("INFO", plan.summary);
  if (asked.verb == "bless") {
    // Good on the disk is what counts; a PID 1 that does not hear it would reboot into the same image, good.
    if (Result<control::Reply> told = control::ask({.verb = control::Verb::kBlessed}, kAskLimit); !told.ok()) say("WARN", told.error().message());
  }
  return plan_text(plan);
}

void mount_loader_variables(const std::string& at) {
  // Read-only: a careless write can brick firmware. Its driver may be a module, which the kernel asks for at this mount.
  static constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;
  if (::access("/sys/firmware/efi", F_OK) != 0) return;
  if (::mount("efivarfs", at.c_str(), "efivarfs", kFlags, nullptr) != 0 && errno != EBUSY)
    say("WARN", "the boot loader's variables cannot be read: " + Error::from_errno(errno, "mount efivarfs").message());
}

Result<> start_up(const Places& places) {
  std::vector<std::string> problems;
  Result<MachineSlots> slots = MachineSlots::open(places, problems);
  for (const std::string& problem : problems) say("WARN", problem);
  if (!slots.ok() && slots.error().code() == Code::kNotFound) {
    say("INFO", slots.error().message());
    return {};
  }
  if (!slots.ok()) return std::move(slots).error();
  STEPPE_TRY(std::vector<upgrade::DirectoryEntry> entries, slots->names());
  if (needs_recovery(entries)) {
    auto repair = [&]() -> Result<> {
      STEPPE_TRY(const upgrade::Facts facts, slots->survey());
      STEPPE_TRY(const upgrade::Plan plan, upgrade::recover(facts));
      STEPPE_TRY_VOID(slots->carry_out(plan, nullptr));
      if (!plan.steps.empty()) say("INFO", "repaired what was left, in " + std::to_string(plan.steps.size()) + " steps");
      return {};
    };
    // What stays broken keeps nothing else from its turn: a trial is told in any case.
    if (Result<> repaired = repair(); !repaired.ok()) say("ERROR", "repair: " + repaired.error().message());
    STEPPE_TRY(entries, slots->names());
  }
  const Result<RunningImage> running = read_running(places.manifest);
  if (!running.ok()) return std::move(running).error();
  if (const auto trial = running_trial(entries, running->manifest.version)) {
    say("INFO", "this is a trial: " + *trial);
    if (Result<control::Reply> told = control::ask({.verb = control::Verb::kTrial}, kAskLimit); !told.ok()) return std::move(told).error();
  }
  return {};
}

}  // namespace

int slots_command(const std::vector<std::string>& given, Places places) {
  std::vector<std::string> words = given;
  const std::optional<Asked> asked = take_places(words, places) ? read_words(words) : std::nullopt;
  if (!asked) {
    std::fprintf(stderr, "steppe-node slots: expected [-efi DIR] [-efivars DIR] [-run DIR] and one of boot, list, stage FILE [-downgrade], try VERSION [-downgrade], bless, revert, return-try or forgive DIGEST\n");
    return 2;
  }
  if (asked->verb == "boot") {
    mount_loader_variables(places.efivars);
    if (Result<> done = start_up(places); !done.ok()) say("ERROR", done.error().message());
    return 0;
  }
  Result<std::string> text = change(*asked, places);
  if (!text.ok()) return fail(text.error());
  print(*std::move(text));
  return 0;
}

}  // namespace steppe::esp
