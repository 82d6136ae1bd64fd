#include "init/machine/node/storage_command.h"

#include <cstdio>
#include <format>

#include "init/base/text.h"
#include "init/boot/kernel_log.h"
#include "init/boot/random_seed.h"
#include "init/io/epoll_loop.h"
#include "init/machine/install/reset.h"
#include "init/machine/node/configure.h"
#include "init/machine/node/machine_hardware.h"
#include "init/machine/node/stderr_sink.h"
#include "init/machine/storage/kept.h"
#include "init/machine/storage/storage.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::node {
namespace {

// Before anybody uses what is on /state.
void finish_reset(storage::Hardware& hardware, const std::string& state, const storage::Speech& speech) {
  Result<bool> reset = [&]() -> Result<bool> {
    STEPPE_TRY(const kernel::Beneath root, kernel::Beneath::at(storage::kStateAt));
    return install::empty_marked_state(hardware, state, root);
  }();
  if (!reset.ok()) speech.wrong("the factory reset is not done: " + reset.error().message());
  else if (*reset) speech.say(std::format("{} is as new but for the configuration, as was asked", storage::kStateAt));
}

void take_up_state(const std::string& root, const kernel::Beneath& run, const storage::Speech& speech) {
  Result<kernel::Beneath> state = kernel::Beneath::at(storage::kStateAt), crashes = kernel::Beneath::at(root + "sys/fs/pstore");
  if (!state.ok()) return speech.wrong(state.error().message());
  Result<std::string> boot = kernel::read_host_file(root + "proc/sys/kernel/random/boot_id");
  storage::take_up({.state = *state, .run = run, .crashes = crashes.ok() ? &*crashes : nullptr, .machine = boot::machine_mark(), .boot = boot.ok() ? std::string(trim(*boot)) : ""},
                   io::system_clock(), boot::kernel_pool(), speech);
}

Result<> run(const std::string& run_directory, const std::string& root) {
  STEPPE_TRY(kernel::Beneath top, kernel::Beneath::at("/", kernel::Beneath::Links::kFollow));
  STEPPE_TRY_VOID(top.make_directories(run_directory.substr(1), 0711));
  STEPPE_TRY(kernel::Beneath directory, kernel::Beneath::at(run_directory));
  boot::KernelLog console;
  console.open();
  const log::Logger logger(std::make_shared<StderrSink>(), &io::system_clock(), log::Level::kInfo);
  const storage::Speech speech{
      .say = [&](std::string_view text) { logger.info(text, {}), console.status(std::format("storage: {}", text)); },
      .wrong = [&](std::string_view text) { logger.warn(text, {}), console.status(std::format("storage: {}", text)); },
  };
  if (directory.stat("storage.begun").ok()) {
    speech.wrong("it did not end well the first time and is not tried again before the next boot");
    return {};
  }
  STEPPE_TRY_VOID(directory.write("storage.begun", {}, 0600));
  STEPPE_TRY_VOID(directory.make_directories("config", 0700));
  STEPPE_TRY(std::unique_ptr<MachineHardware> hardware, MachineHardware::create(root));
  // Who is chosen stands in what is there before the network; mistakes in it are said by `steppe-node machine`, which reads it all.
  auto wanted = [&] {
    std::vector<std::string> unread;
    return configure(read_sources(root, unread)).config.disks;
  };
  const storage::Outcome outcome = storage::set_up(*hardware, wanted, speech);
  if (!outcome.state.device.empty()) finish_reset(*hardware, outcome.state.device, speech);
  if (!outcome.state.device.empty()) take_up_state(root, directory, speech);
  return directory.write("storage", as_bytes(storage::describe(outcome)), 0644);
}

}  // namespace

int storage_command(const std::vector<std::string>& words) {
  std::string run_directory = "/run/steppe", root = "/";
  for (size_t i = 0; i < words.size(); i += 2) {
    const bool known = words[i] == "-run" || words[i] == "-root";
    if (!known || i + 1 == words.size() || !words[i + 1].starts_with('/')) {
      std::fprintf(stderr, "steppe-node: storage: \"%s\": there are -run DIR and -root DIR, absolute paths\n", words[i].c_str());
      return 2;
    }
    (words[i] == "-run" ? run_directory : root) = words[i + 1];
  }
  if (!root.ends_with('/')) root += '/';
  if (Result<> done = run(run_directory, root); !done.ok()) {
    std::fprintf(stderr, "steppe-node: storage: %s\n", done.error().message().c_str());
    return 1;
  }
  return 0;
}

}  // namespace steppe::node
