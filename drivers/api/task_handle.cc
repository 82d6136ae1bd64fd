#include "drivers/api/task_handle.h"

#include "init/frame/frame.h"

namespace steppe::drivers {
namespace {

constexpr uint16_t kVersion = 1;
// Append-only; a number is never used for anything else.
enum Tag : uint16_t { kDriver = 1, kId = 2, kRunDir = 3, kCgroup = 4, kExecutorPid = 5, kTaskPid = 6, kStartedAt = 7, kData = 8 };

}  // namespace

std::string TaskHandle::encode() const {
  frame::Builder out(frame::kTaskHandle, kVersion);
  out.text(kDriver, driver).text(kId, id).text(kRunDir, run_dir).text(kCgroup, cgroup);
  out.integer(kExecutorPid, executor_pid).integer(kTaskPid, task_pid).integer(kStartedAt, started_at.unix_ns);
  out.text(kData, data);
  return out.finish();
}

Result<TaskHandle> TaskHandle::decode(ByteView bytes) {
  auto decoded = frame::decode(bytes, frame::kTaskHandle, kVersion);
  if (!decoded.ok()) {
    // A stored handle is complete; what is cut is damaged.
    if (decoded.error().code() == Code::kUnavailable) return {Code::kCorrupt, "task handle: cut short"};
    return std::move(decoded).error().wrap("task handle");
  }
  TaskHandle handle;
  handle.driver = decoded->text(kDriver);
  handle.id = decoded->text(kId);
  handle.run_dir = decoded->text(kRunDir);
  handle.cgroup = decoded->text(kCgroup);
  handle.executor_pid = static_cast<int32_t>(decoded->integer(kExecutorPid));
  handle.task_pid = static_cast<int32_t>(decoded->integer(kTaskPid));
  handle.started_at.unix_ns = decoded->integer(kStartedAt);
  handle.data = decoded->text(kData);
  if (handle.driver.empty() || handle.id.empty()) return {Code::kCorrupt, "task handle: names no driver or id"};
  return handle;
}

}  // namespace steppe::drivers
