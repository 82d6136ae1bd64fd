#include "init/machine/node/machine_hardware.h"

#include <unistd.h>

#include <format>

#include "init/io/posix_child.h"
#include "init/io/scope.h"
#include "init/io/wait.h"
#include "init/machine/network/program_output.h"
#include "init/sys/kernel/block_device.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::node {
namespace {

// systemd's Boot Loader Interface: the partition that the boot loader, or the image's own stub, was loaded from.
constexpr const char* kPartitionVariable = "sys/firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
constexpr size_t kMaxVariable = 256;

class Blocks final : public machine::BlockWriter {
 public:
  explicit Blocks(kernel::BlockDevice device) : device_(std::move(device)) {}
  uint32_t block_bytes() const override { return device_.block_bytes(); }
  uint64_t blocks() const override { return device_.bytes() / device_.block_bytes(); }
  Result<> read(uint64_t first, ByteSpan into) override { return device_.read(first * block_bytes(), into); }
  Result<> write(uint64_t first, ByteView from) override { return device_.write(first * block_bytes(), from); }
  Result<> flush() override { return device_.flush(); }

 private:
  kernel::BlockDevice device_;
};

io::Task<void> end_of(io::Loop& loop, io::Processes& processes, std::string program, std::vector<std::string> arguments, Duration limit,
                      Result<network::ProgramOutput>& out) {
  out = co_await network::output_of(loop, processes, std::move(program), std::move(arguments), io::Deadline::in(loop, limit));
}

io::Task<void> pause(io::Loop& loop, Duration time) { (void)co_await io::sleep_for(loop, time, {}); }

}  // namespace

std::string loader_text(std::string_view variable) {
  std::string out;
  for (size_t i = 4; i + 2 <= variable.size(); i += 2) {
    const char c = variable[i];
    if (variable[i + 1] != 0 || c < ' ' || c > '~') return c == 0 && variable[i + 1] == 0 ? out : "";
    out += c;
  }
  return out;
}

Result<std::unique_ptr<MachineHardware>> MachineHardware::create(std::string root) {
  std::unique_ptr<MachineHardware> out(new MachineHardware(std::move(root)));
  STEPPE_TRY(out->loop_, io::EpollLoop::create(1));
  out->processes_ = io::make_posix_processes(*out->loop_);
  return out;
}

Result<std::vector<device::Disk>> MachineHardware::disks() { return device::enumerate_disks(root_); }

std::string MachineHardware::booted_partition() {
  Result<std::string> variable = kernel::read_host_file(root_ + kPartitionVariable, Bytes(kMaxVariable));
  return variable.ok() ? loader_text(*variable) : "";
}

bool MachineHardware::disks_may_come() { return device::has_disk_controller(root_); }

Result<std::unique_ptr<machine::BlockWriter>> MachineHardware::open(const std::string& path, Access access) {
  STEPPE_TRY(kernel::BlockDevice device, kernel::BlockDevice::open(path, access == Access::kWrite ? kernel::BlockDevice::Access::kWrite : kernel::BlockDevice::Access::kRead));
  return std::make_unique<Blocks>(std::move(device));
}

Result<> MachineHardware::add_partition(const std::string& disk, uint32_t number, Bytes offset, Bytes length) {
  STEPPE_TRY(kernel::BlockDevice device, kernel::BlockDevice::open(disk, kernel::BlockDevice::Access::kRead));
  return device.add_partition(static_cast<int>(number), offset.count, length.count);
}

Result<> MachineHardware::grow_partition(const std::string& disk, uint32_t number, Bytes offset, Bytes length) {
  STEPPE_TRY(kernel::BlockDevice device, kernel::BlockDevice::open(disk, kernel::BlockDevice::Access::kRead));
  return device.grow_partition(static_cast<int>(number), offset.count, length.count);
}

Result<> MachineHardware::forget_partition(const std::string& disk, uint32_t number) {
  STEPPE_TRY(kernel::BlockDevice device, kernel::BlockDevice::open(disk, kernel::BlockDevice::Access::kRead));
  return device.forget_partition(static_cast<int>(number));
}

Result<storage::ProgramEnd> MachineHardware::run(const std::string& program, const std::vector<std::string>& arguments, Duration limit) {
  if (::access(program.c_str(), X_OK) != 0) return Error(Code::kNotFound, program + " is not there");
  Result<network::ProgramOutput> out = Error(Code::kCancelled, program);
  io::start_root(*loop_, end_of(*loop_, *processes_, program, arguments, limit, out), [this] { loop_->stop(); });
  loop_->run();
  if (!out.ok() && out.error().code() == Code::kTimeout) return Error(Code::kTimeout, std::format("{} did not end within {} s", program, limit / std::chrono::seconds(1)));
  if (!out.ok()) return std::move(out).error();
  return storage::ProgramEnd{out->status.code, out->status.signal, std::move(out->text)};
}

Result<> MachineHardware::mount(const kernel::MountRequest& request) { return kernel::mount_device(request); }
Result<> MachineHardware::grow(const std::string& target, Bytes size) { return kernel::grow_ext4(target, size); }
MonoTime MachineHardware::now() { return io::system_clock().now(); }

void MachineHardware::rest(Duration time) {
  io::start_root(*loop_, pause(*loop_, time), [this] { loop_->stop(); });
  loop_->run();
}

Rng& MachineHardware::rng() { return io::system_rng(); }

}  // namespace steppe::node
