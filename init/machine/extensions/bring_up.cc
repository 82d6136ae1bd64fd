#include "init/machine/extensions/bring_up.h"

#include <algorithm>
#include <format>
#include <optional>

#include "init/base/text.h"
#include "init/machine/extensions/checker.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::extensions {
namespace {

using extension::Condition;
using extension::State;

// What was mounted, of which extension.
struct Mounted {
  extension::Record record;
  std::string target;
};

class BringUp {
 public:
  BringUp(const ThisMachine& machine, const Places& places, Mounts& mounts, const kernel::Beneath& run)
      : machine_(machine), places_(places), mounts_(mounts), run_(run) {}

  State one(const upgrade::Extension& named) {
    State out{.name = named.name, .condition = Condition::kMissing, .detail = {}};
    const std::string target = std::format("{}/extensions/{}", places_.run, named.name);
    std::optional<Error> first;
    for (const extension::Found& found : extension::find_files(places_.from, named)) {
      Result<verify::ExtensionFit> fit = check_confined(found, {.named = named, .arch = machine_.arch, .kernel = machine_.kernel, .keys = machine_.keys});
      Result<> done = fit.ok() ? mount(found, fit->record, target) : Result<>(std::move(fit).error().wrap(found.path));
      if (done.ok()) {
        mounted_.push_back({fit->record, target});
        return {named.name, Condition::kMounted, target};
      }
      if (!first) {
        out.condition = fit.ok() ? Condition::kFailed : Condition::kRefused;
        first = std::move(done).error();
      }
    }
    if (first) out.detail = first->message();
    else out.detail = std::format("no {}.ext or {}….ext in {}", named.name, hex(named.digest).substr(0, 16), join(places_.from, " or "));
    return out;
  }

  // Firmware first: a driver asks for its own as soon as it is loaded.
  void put_to_use(std::vector<State>& states) {
    use(states, extension::kFirmware, [&](const std::vector<const Mounted*>& those) { return use_firmware(those); });
    for (const Mounted& one : mounted_) {
      const std::vector<const Mounted*> alone{&one};
      if ((one.record.holds & extension::kModules) != 0) fail(states, alone, use_modules(one));
    }
  }

 private:
  Result<> mount(const extension::Found& found, const extension::Record& record, const std::string& target) {
    STEPPE_TRY_VOID(run_.make_directories("extensions/" + record.name, 0755));
    if (mounts_.mounted(target)) return {};
    return mounts_.mount(found.file, record, target).wrap(found.path);
  }

  template <class Use>
  void use(std::vector<State>& states, uint64_t holds, Use use_them) {
    std::vector<const Mounted*> those;
    for (const Mounted& one : mounted_)
      if ((one.record.holds & holds) != 0) those.push_back(&one);
    if (!those.empty()) fail(states, those, use_them(those));
  }

  static void fail(std::vector<State>& states, const std::vector<const Mounted*>& those, const Result<>& used) {
    if (used.ok()) return;
    for (const Mounted* one : those) {
      const auto state = std::ranges::find(states, one->record.name, &State::name);
      if (state != states.end()) *state = {one->record.name, Condition::kFailed, used.error().message()};
    }
  }

  // The kernel takes one directory: all of them as one, in the order of their names. An empty one is last, as overlayfs wants two.
  Result<> use_firmware(const std::vector<const Mounted*>& those) {
    const std::string target = places_.run + "/firmware";
    std::vector<std::string> directories;
    for (const Mounted* one : those) directories.push_back(one->target + "/usr/lib/firmware");
    STEPPE_TRY_VOID(run_.make_directories("firmware", 0755));
    STEPPE_TRY_VOID(run_.make_directories("firmware.none", 0755));
    directories.push_back(places_.run + "/firmware.none");
    if (!mounts_.mounted(target)) STEPPE_TRY_VOID(mounts_.unite(directories, target));
    return mounts_.set_firmware(target);
  }

  Result<> use_modules(const Mounted& one) {
    STEPPE_TRY_VOID(run_.make_directories("modules.d", 0755));
    const std::string name = "modules.d/" + one.record.name;
    if (run_.stat(name).ok()) return {};
    return run_.symlink(std::format("{}/usr/lib/modules/{}", one.target, one.record.kernel), name);
  }

  const ThisMachine& machine_;
  const Places& places_;
  Mounts& mounts_;
  const kernel::Beneath& run_;
  std::vector<Mounted> mounted_;
};

}  // namespace

Result<std::vector<State>> bring_up(const upgrade::Manifest& manifest, const ThisMachine& machine, const Places& places, Mounts& mounts) {
  STEPPE_TRY(const kernel::Beneath run, kernel::Beneath::at(places.run));
  std::vector<State> states;
  BringUp work(machine, places, mounts, run);
  for (const upgrade::Extension& named : manifest.extensions) states.push_back(work.one(named));
  work.put_to_use(states);
  const std::string encoded = extension::encode_states(states);
  STEPPE_TRY_VOID(run.write("extensions.state", as_bytes(encoded), 0644));
  return states;
}

}  // namespace steppe::extensions
