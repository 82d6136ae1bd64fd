#pragma once

#include <memory>
#include <string>

#include "init/io/child.h"
#include "init/io/epoll_loop.h"
#include "init/machine/storage/hardware.h"

namespace steppe::node {

// This machine: /sys, /dev, the kernel and programs of the image.
class MachineHardware final : public storage::Hardware {
 public:
  // `root` is "/" but in tests.
  static Result<std::unique_ptr<MachineHardware>> create(std::string root = "/");

  Result<std::vector<device::Disk>> disks() override;
  std::string booted_partition() override;
  bool disks_may_come() override;
  Result<std::unique_ptr<machine::BlockWriter>> open(const std::string& path, Access access) override;
  Result<> add_partition(const std::string& disk, uint32_t number, Bytes offset, Bytes length) override;
  Result<> grow_partition(const std::string& disk, uint32_t number, Bytes offset, Bytes length) override;
  Result<> forget_partition(const std::string& disk, uint32_t number) override;
  Result<storage::ProgramEnd> run(const std::string& program, const std::vector<std::string>& arguments, Duration limit) override;
  Result<> mount(const kernel::MountRequest& request) override;
  Result<> grow(const std::string& target, Bytes size) override;
  MonoTime now() override;
  void rest(Duration time) override;
  Rng& rng() override;

 private:
  explicit MachineHardware(std::string root) : root_(std::move(root)) {}

  std::string root_;
  std::unique_ptr<io::EpollLoop> loop_;
  std::unique_ptr<io::Processes> processes_;
};

// What the boot loader put into an EFI variable, as text: four bytes of attributes, then UTF-16 with a zero at its end. "" when it is
// none of that. Pure.
std::string loader_text(std::string_view variable);

}  // namespace steppe::node
