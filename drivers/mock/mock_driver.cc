#include "drivers/mock/mock_driver.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <mutex>
#include <optional>

#include "init/base/text.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::mock {
namespace {

using drivers::ConfigMap;
using drivers::ExitResult;
using drivers::TaskConfig;
using kernel::Fd;

struct Config {
  std::optional<Duration> run_for;
  Duration kill_after{0}, start_block_for{0}, repeat_duration{0};
  int64_t exit_code = 0, exit_signal = 0, stdout_repeat = 0;
  std::string exit_error, signal_error, start_error, stdout_text;
  bool recoverable = false;
};

Result<Config> parse_config(const ConfigMap& map) {
  drivers::ConfigReader read(map, "mock_driver");
  Config out;
  Duration run_for = read.duration("run_for", Duration(-1));
  if (run_for.count() >= 0) out.run_for = run_for;
  out.kill_after = read.duration("kill_after", Duration(0));
  out.start_block_for = read.duration("start_block_for", Duration(0));
  out.exit_code = read.integer("exit_code", 0, 0, 255);
  out.exit_signal = read.integer("exit_signal", 0, 0, 64);
  out.exit_error = read.text("exit_err_msg");
  out.signal_error = read.text("signal_error");
  out.start_error = read.text("start_error");
  out.recoverable = read.boolean("start_error_recoverable", false);
  out.stdout_text = read.text("stdout_string");
  out.stdout_repeat = read.integer("stdout_repeat", 0, 0, 100'000);
  out.repeat_duration = read.duration("stdout_repeat_duration", Duration(0));
  for (const char* key : {"driver_ip", "driver_advertise", "driver_port_map", "plugin_exit_after", "fs_isolation", "command", "args", "exec_command"}) read.ignore(key);
  STEPPE_TRY_VOID(read.finish());
  return out;
}

// What outlives the Task object: the "process".
struct Body {
  std::mutex mutex;
  Config config;
  drivers::TaskHandle handle;
  Fd timer;                // readable: ended
  bool armed_end = false;  // ends by itself
  int64_t ends_at_ns = 0;
  int killed_by = 0;
  bool destroyed = false;
};

Result<> arm(Body& body, MonoTime now, Duration after) {
  // A timer of zero would be disarmed.
  Duration wait = std::max(after, Duration(1));
  itimerspec when = {{0, 0}, {static_cast<time_t>(wait.count() / 1'000'000'000), static_cast<long>(wait.count() % 1'000'000'000)}};
  if (::timerfd_settime(body.timer.get(), 0, &when, nullptr) != 0) return Error::from_errno(errno, "arm a timer");
  body.armed_end = true;
  body.ends_at_ns = (now + wait).ns;
  return {};
}

class MockTask : public drivers::Task {
 public:
  MockTask(std::shared_ptr<Body> body, const Clock& clock) : body_(std::move(body)), clock_(clock) {}

  const drivers::TaskHandle& handle() const override { return body_->handle; }
  const std::vector<std::string>& warnings() const override { return warnings_; }
  int wait_fd() const override { return body_->timer.get(); }

  Result<ExitResult> reap() override {
    std::lock_guard lock(body_->mutex);
    if (!ended()) return {Code::kUnavailable, "the mock task still runs"};
    ExitResult out;
    out.at = clock_.wall();
    if (body_->killed_by != 0) {
      out.signal = body_->killed_by;
      out.code = 128 + out.signal;
      return out;
    }
    out.signal = static_cast<int>(body_->config.exit_signal);
    out.code = out.signal != 0 ? 128 + out.signal : static_cast<int>(body_->config.exit_code);
    out.error = body_->config.exit_error;
    return out;
  }

  Result<> stop(int signal, Duration grace) override {
    std::lock_guard lock(body_->mutex);
    if (ended()) return {};
    // With kill_after longer than the grace it plays a task that ignores its signal.
    bool obeys = body_->config.kill_after <= grace;
    body_->killed_by = obeys ? signal : SIGKILL;
    return arm(*body_, clock_.now(), obeys ? body_->config.kill_after : grace);
  }
  Result<> kill() override {
    std::lock_guard lock(body_->mutex);
    if (ended()) return {};
    body_->killed_by = SIGKILL;
    return arm(*body_, clock_.now(), Duration(0));
  }
  Result<> signal(int) override {
    std::lock_guard lock(body_->mutex);
    if (ended()) return {Code::kNotFound, "the mock task has ended"};
    if (!body_->config.signal_error.empty()) return {Code::kIo, body_->config.signal_error};
    return {};
  }
  Result<drivers::TaskStats> stats() override {
    drivers::TaskStats out;
    out.at = clock_.wall();
    out.memory_rss = out.memory_usage = Bytes::mib(1);
    out.cpu_total_ns = out.cpu_user_ns = out.cpu_system_ns = 0;
    return out;
  }
  Result<std::unique_ptr<drivers::ExecSession>> exec(drivers::ExecRequest) override {
    return {Code::kUnsupported, "the mock driver runs no commands"};
  }
  Result<> destroy() override {
    STEPPE_TRY_VOID(kill());
    std::lock_guard lock(body_->mutex);
    body_->destroyed = true;
    return {};
  }

 private:
  bool ended() const {
    pollfd one = {body_->timer.get(), POLLIN, 0};
    return ::poll(&one, 1, 0) == 1;
  }

  std::shared_ptr<Body> body_;
  const Clock& clock_;
  std::vector<std::string> warnings_;
};

class MockDriver : public drivers::Driver {
 public:
  explicit MockDriver(const Clock& clock) : clock_(clock) {}

  std::string_view name() const override { return "mock_driver"; }
  drivers::Capabilities capabilities() const override {
    drivers::Capabilities out;
    out.exec = false;
    return out;
  }
  drivers::Fingerprint fingerprint() override { return {drivers::Health::kHealthy, "Healthy", {{"driver.mock_driver", "1"}}}; }
  Result<> validate(const ConfigMap& config) const override {
    auto parsed = parse_config(config);
    return parsed.ok() ? Result<>() : Result<>(std::move(parsed).error());
  }

  Result<std::unique_ptr<drivers::Task>> start(TaskConfig config) override {
    STEPPE_TRY(Config parsed, parse_config(config.config));
    if (parsed.start_block_for.count() > 0) block(parsed.start_block_for);
    if (!parsed.start_error.empty()) return {parsed.recoverable ? Code::kUnavailable : Code::kInvalid, parsed.start_error};
    auto body = std::make_shared<Body>();
    body->timer = Fd(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!body->timer) return Error::from_errno(errno, "make a timer");
    body->config = parsed;
    body->handle.driver = name();
    body->handle.id = config.id;
    body->handle.started_at = clock_.wall();
    {
      std::lock_guard lock(mutex_);
      auto it = bodies_.find(config.id);
      if (it != bodies_.end() && !it->second->destroyed) return {Code::kExists, std::format("task {} was started before", config.id)};
      bodies_[config.id] = body;
    }
    STEPPE_TRY_VOID(print(config, parsed));
    if (parsed.run_for) STEPPE_TRY_VOID(arm(*body, clock_.now(), *parsed.run_for));
    return std::unique_ptr<drivers::Task>(new MockTask(body, clock_));
  }

  Result<std::unique_ptr<drivers::Task>> recover(const drivers::TaskHandle& handle) override { return recover_attempt(handle.id); }
  Result<std::unique_ptr<drivers::Task>> recover_attempt(std::string_view id) override {
    std::lock_guard lock(mutex_);
    auto it = bodies_.find(std::string(id));
    if (it == bodies_.end() || it->second->destroyed) return {Code::kNotFound, std::format("task {} is not running and left no result", id)};
    return std::unique_ptr<drivers::Task>(new MockTask(it->second, clock_));
  }

 private:
  static void block(Duration time) {
    timespec wait = {static_cast<time_t>(time.count() / 1'000'000'000), static_cast<long>(time.count() % 1'000'000'000)};
    (void)::ppoll(nullptr, 0, &wait, nullptr);
  }

  Result<> print(const TaskConfig& config, const Config& parsed) {
    if (parsed.stdout_text.empty() || !config.log_dir.valid()) return {};
    STEPPE_TRY(Fd directory, config.log_dir.duplicate());
    kernel::Beneath logs(std::move(directory), "the log directory");
    std::string text = parsed.stdout_text;
    for (int64_t i = 0; i < parsed.stdout_repeat; ++i) text += parsed.stdout_text;
    return logs.write(std::format("{}.stdout.0", config.task), as_bytes(text), 0644);
  }

  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Body>, std::less<>> bodies_;
};

}  // namespace

std::unique_ptr<drivers::Driver> make_driver(const Clock& clock) { return std::make_unique<MockDriver>(clock); }

}  // namespace steppe::mock
