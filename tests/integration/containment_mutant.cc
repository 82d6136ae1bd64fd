// Linked into a copy of the agent's program in front of exec::make_driver (see the linker's --wrap): the `exec` driver of
// that program lacks one part of its containment.
#include "drivers/exec/exec_driver.h"

namespace steppe::exec {

std::unique_ptr<drivers::Driver> make_whole_driver(std::shared_ptr<const executor::Host> host, Options options) __asm__("__real_" STEPPE_MAKE_DRIVER);
std::unique_ptr<drivers::Driver> make_mutant(std::shared_ptr<const executor::Host> host, Options options) __asm__("__wrap_" STEPPE_MAKE_DRIVER);

namespace {

// Without a root of its own a task's program lies where the host has it: the job must run, for its checks to be made.
class OnTheHost final : public drivers::Driver {
 public:
  explicit OnTheHost(std::unique_ptr<drivers::Driver> inner) : inner_(std::move(inner)) {}
  std::string_view name() const override { return inner_->name(); }
  drivers::Capabilities capabilities() const override { return inner_->capabilities(); }
  drivers::Fingerprint fingerprint() override { return inner_->fingerprint(); }
  Result<> validate(const drivers::ConfigMap& config) const override { return inner_->validate(config); }
  Result<std::unique_ptr<drivers::Task>> start(drivers::TaskConfig config) override {
    std::string& command = std::get<std::string>(config.config["command"].value);
    if (!command.starts_with('/')) command = config.task_dir_path + "/" + command;
    return inner_->start(std::move(config));
  }
  Result<std::unique_ptr<drivers::Task>> recover(const drivers::TaskHandle& handle) override { return inner_->recover(handle); }
  Result<std::unique_ptr<drivers::Task>> recover_attempt(std::string_view id) override { return inner_->recover_attempt(id); }

 private:
  std::unique_ptr<drivers::Driver> inner_;
};

}  // namespace

std::unique_ptr<drivers::Driver> make_mutant(std::shared_ptr<const executor::Host> host, Options options) {
#if defined(STEPPE_WITHOUT_seccomp)
  options.mutations.no_seccomp = true;
#elif defined(STEPPE_WITHOUT_namespaces)
  options.mutations.no_namespaces = true;
#elif defined(STEPPE_WITHOUT_pivot)
  options.mutations.no_pivot = true;
#else
#error "which part is to be missing?"
#endif
  const bool on_the_host = options.mutations.no_pivot;
  auto driver = make_whole_driver(std::move(host), std::move(options));
  if (on_the_host) driver = std::make_unique<OnTheHost>(std::move(driver));
  return driver;
}

}  // namespace steppe::exec
